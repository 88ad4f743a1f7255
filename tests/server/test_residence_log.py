import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from echoing import connect, echo, receive_exactly, serving

from loadgen.errors import LoadgenError, UsageError
from loadgen.server import ServerOptions
from loadgen.server.processes import ServerProcesses
from loadgen.server.residence_log import ResidenceLog, create_residence_log, read_residence_log

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")


@pytest.mark.parametrize("count", [0, 1, 8192, 20_000])
def test_what_is_noted_down_is_read_back(tmp_path: Path, count: int) -> None:
    path = tmp_path / "ledger"
    ledger = ResidenceLog(path)
    for number in range(count):
        ledger.append(number * 1_000_000_007)
    ledger.close()
    expected = [number * 1_000_000_007 for number in range(count)]
    assert list(read_residence_log(path)) == expected
    assert np.fromfile(path, "<i8").tolist() == expected
    assert np.asarray(read_residence_log(path)).tolist() == expected


def test_a_new_ledger_replaces_an_old_one_and_a_shared_one_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.write_bytes(bytes(80))
    create_residence_log(path)
    for residence_ns in (1, 2):
        ledger = ResidenceLog(path, is_shared=True)
        ledger.append(residence_ns)
        ledger.close()
    assert list(read_residence_log(path)) == [1, 2]


def test_a_ledger_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "ledger"
    for options in (
        ServerOptions(ledger=path),
        ServerOptions(ledger=path, path=str(tmp_path / "s")),
    ):
        with pytest.raises(UsageError, match=f"--ledger {path}: No such file"), serving(options):
            pytest.fail("it serves")
    with pytest.raises(UsageError, match=f"--ledger {path}"):
        ServerProcesses(ServerOptions(ledger=path, processes=2))
    assert list(tmp_path.iterdir()) == []


@only_linux
def test_a_full_disk_is_an_error_that_names_the_ledger() -> None:
    ledger = ResidenceLog(Path("/dev/full"))
    ledger.append(1)
    with pytest.raises(LoadgenError, match="--ledger /dev/full: No space left"):
        ledger.close()


@only_linux
def test_a_process_whose_ledger_is_full_says_so() -> None:
    with ServerProcesses(ServerOptions(ledger=Path("/dev/full"), processes=2)) as server:
        assert echo(server.address, b"hello") == b"hello"
        server.stop()
        with pytest.raises(LoadgenError, match="--ledger /dev/full: No space left"):
            server.serve()


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with pytest.raises(UsageError, match="No such file"):
        read_residence_log(path)
    path.write_bytes(bytes(9))
    with pytest.raises(UsageError, match="not a ledger: 9 bytes"):
        read_residence_log(path)


def test_several_processes_write_one_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.write_bytes(bytes(8000))
    with ServerProcesses(ServerOptions(ledger=path, processes=2)) as server:
        thread = threading.Thread(target=server.serve)
        thread.start()
        for _ in range(20):
            with connect(server.address) as client:
                client.sendall(b"hello")
                assert receive_exactly(client, 5) == b"hello"
        server.stop()
        thread.join()
    residences_ns = read_residence_log(path)
    assert len(residences_ns) == 20
    assert min(residences_ns) > 0
