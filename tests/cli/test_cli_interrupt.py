"""^C and its like: the full report at once; a second one ends it hard."""

import contextlib
import fcntl
import os
import signal
import struct
import subprocess
import termios
from pathlib import Path

import pytest
from accounts import check
from command import ended, running
from servers import ScriptedServer, echoes, never_answers

from loadgen.results.record import from_json


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_ends_it_with_the_full_report(number: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with (
        ScriptedServer(echoes) as server,
        running(server.address, "-c", "10", "-d", "40s", "--json", str(path)) as process,
    ):
        server.wait_for(lambda: server.bytes_received >= 64_000)
        process.send_signal(number)
        done = ended(process)
        server.settle(10)
        record = from_json(path.read_bytes())
        check(record)
        assert record.actual.bytes_sent == server.bytes_received
        assert record.actual.bytes_received == server.bytes_sent
    assert done.code == 130
    assert done.stderr == ""
    assert "interrupted" in done.stdout
    assert "p99" in done.stdout
    assert record.outcome == "interrupted"
    assert record.failures == []
    assert record.actual.messages == record.actual.submitted >= 1000
    assert record.actual.duration_s < 40


def test_an_interrupt_of_the_whole_group_spares_the_embedded_server() -> None:
    """As a terminal does it: every process in the foreground gets the signal."""
    with running("-c", "10", "-d", "40s", "-v", "--json", "-") as process:
        wait_until_loading(process)
        os.killpg(process.pid, signal.SIGINT)
        done = ended(process)
    assert done.code == 130
    check(done.record)
    assert done.record.outcome == "interrupted"
    assert done.record.failures == []
    assert done.record.target.server is not None
    assert done.record.target.server["bytes_received"] == done.record.actual.bytes_sent


def wait_until_loading(process: subprocess.Popen[bytes]) -> None:
    assert process.stderr is not None
    connected = 0
    while connected < 10:
        line = process.stderr.readline()
        assert line, "it ended before it had loaded"
        connected += b"connected" in line


def test_an_interrupt_while_replies_are_awaited_drains_and_ends() -> None:
    with (
        ScriptedServer(never_answers) as server,
        running(server.address, "-c", "3", "--drain", "0.2s", "--json", "-") as process,
    ):
        server.wait_for(lambda: server.bytes_received == 3 * 64)
        process.send_signal(signal.SIGINT)
        done = ended(process)
    assert done.code == 130
    assert done.record.actual.cut_off == 3
    assert done.record.failures == []


def test_an_interrupt_while_opening() -> None:
    with (
        ScriptedServer(echoes) as server,
        running(*(server.address, "-c", "10k", "--connect-rate", "20", "--json", "-")) as process,
    ):
        server.wait_for(lambda: server.accepted >= 3)
        process.send_signal(signal.SIGINT)
        done = ended(process)
    assert done.code == 130
    check(done.record)
    assert done.record.outcome == "interrupted"


def test_a_second_interrupt_ends_it_at_once() -> None:
    with (
        ScriptedServer(never_answers) as server,
        running(server.address, "-c", "3", "-d", "40s", "--drain", "40s") as process,
    ):
        server.wait_for(lambda: server.bytes_received == 3 * 64)
        # Two signals of one number that are both pending are one (signal(7)): send until it ends.
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
        done = ended(process)
    # One more may meet the interpreter on its way out, whose death of it is 130 to a shell.
    assert done.code in {130, -signal.SIGINT}
    assert done.stdout == ""


def test_an_interrupt_while_standard_input_is_read() -> None:
    with ScriptedServer(echoes) as server, contextlib.ExitStack() as stack:
        reader, writer = os.pipe()
        stack.callback(os.close, reader)
        stack.callback(os.close, writer)
        os.write(writer, b"part of a payload")
        with running(server.address, "--payload-file", "-", stdin=reader) as process:
            while _unread_bytes(reader):  # once it has read that, it waits for more
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130


def _unread_bytes(pipe: int) -> int:
    size: int = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]
    return size
