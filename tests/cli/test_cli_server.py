"""``loadgen server`` as a user starts it."""

import json
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from command import ended, loadgen, loadgen_here, running

from loadgen.cli import main
from loadgen.server.residence_log import read_residence_log


def address_of(process: subprocess.Popen[bytes]) -> tuple[str, int]:
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    assert line.startswith("listening on 127.0.0.1:")
    return "127.0.0.1", int(line.rpartition(":")[2])


@pytest.mark.parametrize(
    ("number", "processes"), [(signal.SIGINT, "2"), (signal.SIGTERM, "1"), (signal.SIGHUP, "2")]
)
def test_it_serves_until_a_signal_and_says_what_it_counted(
    number: signal.Signals, processes: str, tmp_path: Path
) -> None:
    ready, counts = tmp_path / "ready", tmp_path / "counts.json"
    arguments = ("--processes", processes, "--ready-file", str(ready), "--json", str(counts))
    with running("server", *arguments) as process:
        host, port = address_of(process)
        assert ready.read_text() == f"{host}:{port}\n"
        assert main([f"{host}:{port}", "-c", "5", "-n", "10"]) == 0
        process.send_signal(number)
        assert ended(process) == (0, "", "")
    assert json.loads(counts.read_bytes()) == {
        "accepted": 5,
        "closed": 5,
        "bytes_received": 3200,
        "bytes_sent": 3200,
    }
    assert list(tmp_path.iterdir()) == [counts]


def test_of_a_link_that_it_wrote_to_it_removes_the_file(tmp_path: Path) -> None:
    ready, link = tmp_path / "ready", tmp_path / "link"
    link.symlink_to(ready)
    with running("server", "--port", "0", "--ready-file", str(link)) as process:
        address_of(process)
        assert ready.is_file()
        process.terminate()
        ended(process)
    assert link.is_symlink()
    assert not ready.exists()


def test_it_says_in_words_what_it_counted() -> None:
    with running("server", "--port", "0") as process:
        address = address_of(process)
        with socket.create_connection(address, 20) as client:
            client.sendall(b"hello")
            assert client.recv(64) == b"hello"
        process.terminate()
        done = ended(process)
    assert done == (0, "served 1 connections: 5 B received, 5 B sent\n", "")


def test_counts_on_standard_output() -> None:
    with running("server", "--sink", "--json", "-") as process:
        address = address_of(process)
        with socket.create_connection(address, 20) as client:
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(64) == b""
        process.terminate()
        done = ended(process)
    assert json.loads(done.stdout)["bytes_received"] == 5
    assert json.loads(done.stdout)["bytes_sent"] == 0


def test_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "echo"
    with running("server", "--unix", str(path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"listening on unix://{path}\n".encode()
        assert main([f"unix://{path}", "-c", "2", "-n", "3"]) == 0
        process.terminate()
        assert ended(process).code == 0
    assert not path.exists()


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = loadgen("server", "--port", port)
    assert done.code == 2
    assert done.stderr == (
        f"loadgen server: --host 127.0.0.1 --port {port}: already in use; "
        "choose another port, or port 0 for a free one\n"
    )


def test_with_delays_stalls_and_a_ledger(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    arguments = ("--delay", "50%:1ms,50%:2ms", "--seed", "7", "--ledger", str(ledger))
    with running("server", *arguments, "--stall", "1ms@0", "--stall", "1ms/20ms") as process:
        with socket.create_connection(address_of(process), 20) as client:
            for _ in range(10):
                client.sendall(b"hello")
                assert client.recv(64) == b"hello"
        process.terminate()
        assert ended(process).code == 0
    residences_ns = read_residence_log(ledger)
    assert len(residences_ns) == 10
    assert min(residences_ns) >= 1_000_000


def test_a_stalled_server_obeys_a_signal() -> None:
    with (
        running("server", "--stall", "1h@0") as process,
        socket.create_connection(address_of(process), 20) as client,
    ):
        client.sendall(b"hello")
        process.send_signal(signal.SIGINT)
        assert ended(process).code == 0


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--delay", "later"], ["--delay", "'later'", "lognormal:1ms,0.5"]),
        (["--delay", "-1ms"], ["--delay", "'-1ms'", "10ms"]),
        (["--delay", "90%:1ms,8%:2ms"], ["--delay", "98 %", "100 %"]),
        (["--delay", "lognormal:1ms,-1"], ["--delay", "-1", "sigma"]),
        (["--seed", "dice"], ["--seed", "'dice'", "whole number"]),
        (["--stall", "1s"], ["--stall", "'1s'", "1s@5s"]),
        (["--stall", "2s/1s"], ["--stall", "2 s", "1 s", "below the period"]),
        (["--ledger", "/nowhere/ledger"], ["--ledger /nowhere/ledger", "No such file"]),
        (["--ledger", "/"], ["--ledger /", "directory"]),
        (["--sink", "--ledger", "ledger"], ["--sink", "--ledger"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("--") else None,
)
def test_what_it_cannot_do_is_one_line(
    arguments: list[str], parts: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    done = loadgen_here(capfd, "server", *arguments)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith("loadgen server: ")
    assert done.stderr.count("\n") == 1
    for part in parts:
        assert part in done.stderr


def test_its_help_shows_every_form(capfd: pytest.CaptureFixture[str]) -> None:
    done = loadgen_here(capfd, "server", "--help")
    for form in ("lognormal:1ms,0.5", "99%:200us,1%:20ms", "1s@5s", "100ms/1s", '"<i8"'):
        assert form in done.stdout
