"""What a run prints and writes, and where."""

import csv
import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from accounts import check
from command import (
    LOADGEN,
    PYTHON,
    ROOT,
    Ended,
    close_output,
    ended,
    environment,
    loadgen,
    loadgen_here,
    running,
)
from servers import ScriptedServer, answers_garbage, answers_too_much, echoes

import loadgen as package
from loadgen.results.record import from_json

SMALL = ("-c", "5", "-n", "20")

Here = Callable[..., Ended]


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str]) -> Here:
    """The command line in this process, for what does not need one of its own."""
    return lambda *arguments: loadgen_here(capfd, *arguments)


def test_without_a_target_an_embedded_server_is_loaded_and_named() -> None:
    done = loadgen("--conns", "50", "-n", "10", "--backend", "poll")
    assert done.code == 0
    assert done.stderr == ""
    assert "embedded" in done.stdout
    assert "on poll" in done.stdout
    assert re.search(r"connections +50 of 50 up", done.stdout)
    assert re.search(r"messages +500 ", done.stdout)
    assert re.search(r"failures +none", done.stdout)
    for column in ("p50", "p90", "p99", "p99.9", "max"):
        assert column in done.stdout


def test_run_is_the_long_form(here: Here) -> None:
    with ScriptedServer(echoes) as server:
        done = here("run", server.address, *SMALL)
    assert done.code == 0
    assert server.address in done.stdout
    assert server.bytes_received == 6400


@pytest.mark.parametrize("form", ["{}", "tcp://{}", "tcp://{}/"])
def test_forms_of_a_target(form: str, here: Here) -> None:
    with ScriptedServer(echoes) as server:
        done = here(form.format(server.address), *SMALL)
    assert done.code == 0
    assert server.bytes_received == 6400


def test_json_on_standard_output_is_json_and_nothing_else() -> None:
    done = loadgen(*SMALL, "--json", "-")
    assert done.code == 0
    assert json.loads(done.stdout)["schema"] == "loadgen.run/2"
    check(done.record)
    assert done.record.actual.messages == 100
    assert "100" in done.stderr
    assert "p99" in done.stderr


def test_json_in_a_file(tmp_path: Path, here: Here) -> None:
    path = tmp_path / "run.json"
    path.write_text("what was there before")
    with ScriptedServer(echoes) as server:
        done = here(server.address, *SMALL, "--json", str(path))
    assert done.code == 0
    assert "p99" in done.stdout
    check(from_json(path.read_bytes()))
    assert list(tmp_path.iterdir()) == [path]


def test_a_line_for_each_connection(tmp_path: Path, here: Here) -> None:
    path = tmp_path / "connections.csv"
    with ScriptedServer(echoes) as server:
        done = here(server.address, *SMALL, "--connections-csv", str(path), "--json", "-")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    ledger = done.record.connections.ledger
    assert list(rows[0]) == list(ledger)
    assert [row["index"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert [int(row["answered"]) for row in rows] == ledger["answered"] == [20] * 5
    assert [int(row["bytes_sent"]) for row in rows] == ledger["bytes_sent"] == [1280] * 5


def test_csv_on_standard_output_is_csv_and_nothing_else(here: Here) -> None:
    with ScriptedServer(echoes) as server:
        done = here(server.address, *SMALL, "--connections-csv", "-")
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert lines[0].startswith("index,")
    assert "p99" in done.stderr


def test_what_was_measured_is_written_although_the_summary_has_no_reader(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with running(*SMALL, "--json", str(path)) as process:
        close_output(process)
        ended(process)
    check(from_json(path.read_bytes()))


@pytest.mark.parametrize("arguments", [(), ("--json", "-"), ("--help",)])
def test_a_reader_that_has_gone_is_no_traceback(arguments: tuple[str, ...]) -> None:
    with running(*SMALL, *arguments) as process:
        close_output(process)
        done = ended(process)  # which looks for a traceback
    assert "Error" not in done.stderr
    assert "Exception" not in done.stderr
    assert done.code in {0, 141}  # as if SIGPIPE had ended it; 1 would be a failed check


def test_a_mismatch_is_a_failed_check(here: Here) -> None:
    with ScriptedServer(answers_garbage) as server:
        done = here(server.address, *SMALL, "--verify")
    assert done.code == 1
    assert "verify: the echo differs from what was sent" in done.stdout


def test_a_check_of_echoes_that_never_came_is_failed(here: Here) -> None:
    with ScriptedServer(answers_too_much) as server:
        assert here(server.address, *SMALL, "--verify").code == 1


def test_an_echo_that_is_right_passes_the_check(here: Here) -> None:
    with ScriptedServer(echoes) as server:
        done = here(server.address, *SMALL, "--verify")
    assert done.code == 0
    assert re.search(r"failures +none", done.stdout)


def test_verbose_logs_each_life() -> None:
    done = loadgen(*SMALL, "-v")
    assert done.code == 0
    for index in range(5):
        events = re.findall(rf"connection {index}: (\w+)", done.stderr)
        assert events == ["connected", "closed"]


def test_the_bytes_of_one_connection(here: Here) -> None:
    with ScriptedServer(echoes) as server:
        done = here(server.address, "-c", "3", "-n", "2", "--payload", r"hi\r\n", "--dump-one")
    lines = [line.split(maxsplit=1)[1] for line in done.stderr.splitlines()]
    assert lines == [
        r"> 4 bytes b'hi\r\n'",
        r"< 4 bytes b'hi\r\n'",
        r"> 4 bytes b'hi\r\n'",
        r"< 4 bytes b'hi\r\n'",
        "closed",
    ]


def test_one_way_has_no_latency_to_show(here: Here) -> None:
    with ScriptedServer(lambda peer: peer.receive_all()) as server:
        done = here(server.address, *SMALL, "--reply", "none")
        server.settle(5)
    assert done.code == 0
    assert "one way" in done.stdout
    assert server.bytes_received == 6400


# ---- help ---------------------------------------------------------------------------------


def test_help_shows_the_groups(here: Here) -> None:
    done = here("--help")
    assert done.code == 0
    for group in ("target", "connections", "load", "message", "reply", "output"):
        assert re.search(rf"^{group}\b.*:$", done.stdout, re.MULTILINE), group
    for option in ("--conns", "--pipeline", "--payload-lines", "--verify", "--drain", "--json"):
        assert option in done.stdout
    assert "exit codes" in done.stdout


def test_help_of_the_server(here: Here) -> None:
    done = here("server", "--help")
    assert done.code == 0
    for option in ("--port", "--delay", "--processes", "--sink", "--ready-file"):
        assert option in done.stdout


def test_version() -> None:
    assert loadgen("--version") == Ended(0, f"loadgen {package.__version__}\n", "")


SCRIPT = Path(sys.executable).parent / "loadgen"


def test_the_installed_script_is_the_same() -> None:
    """Where it is not installed, what it would contain."""
    call = "import sys; from loadgen.cli import main; sys.exit(main())"
    command = [str(SCRIPT)] if SCRIPT.exists() else [*PYTHON, "-c", call]
    for arguments, code in ((["--conns", "0"], 2), (["server", "--help"], 0)):
        done = [_run([*start, *arguments]) for start in (command, LOADGEN)]
        assert done[0] == done[1]
        assert done[0].code == code


def _run(command: list[str]) -> Ended:
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def test_importing_it_installs_no_handler_and_starts_nothing() -> None:
    code = (
        "import signal, threading\n"
        "before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)]\n"
        "import loadgen, loadgen.cli, loadgen.cli.run\n"
        "after = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)]\n"
        "print(before == after, threading.active_count())\n"
    )
    assert _run([sys.executable, "-c", code]).stdout.split() == ["True", "1"]


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [(), ("--json", "-")])
def test_an_output_that_is_full_is_one_line(arguments: tuple[str, ...]) -> None:
    with (
        Path("/dev/full").open("wb") as full,
        subprocess.Popen(
            [sys.executable, "-m", "loadgen", *SMALL, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        stderr = process.communicate(timeout=60)[1].decode()
    assert stderr.splitlines()[-1] == "loadgen: standard output: No space left on device"
    assert "Traceback" not in stderr
    assert process.returncode == 2


def test_a_verbose_run_leaves_no_handler_behind(capfd: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("loadgen")
    before = (logger.level, list(logger.handlers))
    with ScriptedServer(echoes) as server:
        done = loadgen_here(capfd, server.address, "-c", "1", "-n", "1", "--verbose")
    assert "connection 0: connected" in done.stderr
    assert (logger.level, list(logger.handlers)) == before
