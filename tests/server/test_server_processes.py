import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from echoing import echo

from loadgen.errors import LoadgenError, UsageError
from loadgen.server import ServerCounts, ServerOptions
from loadgen.server.embedded import EmbeddedServer
from loadgen.server.processes import ServerProcesses
from loadgen.server.program import run_server


def test_several_processes_share_a_port_and_their_counts_are_summed() -> None:
    with ServerProcesses(ServerOptions(processes=2)) as server:
        thread = threading.Thread(target=server.serve)
        thread.start()
        for _ in range(20):
            assert echo(server.address, b"hello") == b"hello"
        server.stop()
        thread.join()
    assert server.counts == ServerCounts(20, 20, 100, 100)


def test_a_process_that_dies_is_an_error() -> None:
    with ServerProcesses(ServerOptions(processes=2)) as server:
        os.kill(server.process_ids[0], signal.SIGKILL)
        with pytest.raises(LoadgenError, match="ended with exit code -9"):
            server.serve()
    assert server.process_ids == ()


def test_a_process_that_stops_unasked_is_an_error() -> None:
    with ServerProcesses(ServerOptions(processes=2)) as server:
        os.kill(server.process_ids[0], signal.SIGTERM)
        with pytest.raises(LoadgenError, match="without being told"):
            server.serve()


def test_a_process_that_cannot_serve_says_why() -> None:
    with pytest.raises(UsageError, match="magic"):
        ServerProcesses(ServerOptions(processes=2, backend="magic"))


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_run_server_serves_until_a_signal(
    tmp_path: Path, processes: int, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    ready_file = tmp_path / "ready"
    clients = []

    def load(address: str) -> None:
        assert ready_file.read_text() == f"{address}\n"
        assert list(tmp_path.iterdir()) == [ready_file]

        def client() -> None:
            clients.append(echo(address, b"hello"))
            os.kill(os.getpid(), number)

        threading.Thread(target=client).start()

    options = ServerOptions(processes=processes)
    try:
        counts = run_server(options, ready_file=ready_file, on_ready=load)
        after = signal.getsignal(number)
    finally:
        signal.signal(number, before)
    assert clients == [b"hello"]
    assert counts == ServerCounts(1, 1, 5, 5)
    assert not ready_file.exists()
    assert after is (signal.SIG_IGN if number == signal.SIGHUP else before)


@pytest.mark.parametrize("processes", [1, 2])
def test_run_server_hears_a_signal_that_does_not_interrupt_its_wait(processes: int) -> None:
    wakes_before = signal.set_wakeup_fd(-1)

    def load(address: str) -> None:
        def client() -> None:
            echo(address, b"hello")
            # In another thread: the one that waits goes on, as with a signal just before its wait.
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

        threading.Thread(target=client).start()

    counts = run_server(ServerOptions(processes=processes), on_ready=load)
    assert counts == ServerCounts(1, 1, 5, 5)
    assert signal.set_wakeup_fd(wakes_before) == -1


SERVE_TWO = """
import msgspec
from loadgen.server import ServerOptions
from loadgen.server.program import run_server

counts = run_server(
    ServerOptions(processes=2), on_ready=lambda address: print(address, flush=True)
)
print(msgspec.json.encode(counts).decode())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_whole_process_group_stops_all_in_order(number: signal.Signals) -> None:
    command = [sys.executable, "-c", SERVE_TWO]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, start_new_session=True, text=True
    ) as process:
        assert process.stdout is not None
        assert echo(process.stdout.readline().strip(), b"hello") == b"hello"
        os.killpg(process.pid, number)
        counts = msgspec.json.decode(process.stdout.read(), type=ServerCounts)
    assert process.returncode == 0
    assert counts == ServerCounts(1, 1, 5, 5)


@pytest.mark.parametrize("processes", [1, 2])
def test_run_server_stops_with_its_parent(processes: int) -> None:
    reader, writer = os.pipe()
    counts = run_server(
        ServerOptions(processes=processes), on_ready=lambda _: os.close(writer), stop_on=reader
    )
    os.close(reader)
    assert counts == ServerCounts()


def test_a_ready_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    ready_file = tmp_path / "nowhere" / "ready"
    with pytest.raises(UsageError, match=f"--ready-file {ready_file}"):
        run_server(ServerOptions(), ready_file=ready_file, on_ready=pytest.fail)


def test_an_embedded_server_echoes_and_leaves_its_counts() -> None:
    with EmbeddedServer(("--delay", "1ms")) as server:
        assert os.getsid(server.pid) == server.pid
        assert echo(server.address, b"hello") == b"hello"
    assert server.counts == ServerCounts(1, 1, 5, 5)


def test_an_embedded_server_that_does_not_start_says_why() -> None:
    with (
        pytest.raises(LoadgenError, match=r"did not start: .*--host 192\.0\.2\.1"),
        EmbeddedServer(("--host", "192.0.2.1")),
    ):
        pytest.fail("it started")


def test_an_embedded_server_that_dies_leaves_no_counts() -> None:
    with EmbeddedServer() as server:
        os.kill(server.pid, signal.SIGKILL)
    with pytest.raises(LoadgenError, match="exit code -9"):
        _ = server.counts
