"""A terminal that closes: the run ends in good order, and every file is there."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from accounts import check
from closing_terminal import ClosingTerminal
from command import LOADGEN, ended, running
from locust_accounts import Accounts
from locusts import FULL_SPEED, LOAD, Locusts
from optional import NEEDS_LOCUST
from servers import ScriptedServer, echoes

from loadgen.results.record import from_json
from loadgen.results.worker_records import TeamRecord
from loadgen.server.embedded import EmbeddedServer


@pytest.mark.parametrize("repeated", [False, True], ids=["once", "passed on by a shell"])
def test_a_closed_terminal_ends_a_run_with_every_file(tmp_path: Path, repeated: bool) -> None:
    record, ledger, log = (tmp_path / name for name in ("run.json", "run.csv", "run.hlog"))
    files = ("--json", record, "--connections-csv", ledger, "--hdr-log", log)
    words = [*LOADGEN, "-c", "10", "-d", "40s", *map(str, files)]
    with ClosingTerminal(words) as terminal:
        terminal.read_until("messages/s")  # the live progress
        terminal.close()
        while repeated and terminal.process.poll() is None:
            terminal.process.send_signal(signal.SIGHUP)
        assert terminal.ended() == 130
    found = from_json(record.read_bytes())
    check(found)
    assert found.outcome == "interrupted"
    assert found.actual.messages > 0
    assert len(ledger.read_text().splitlines()) == 11
    assert log.stat().st_size > 0
    assert set(tmp_path.iterdir()) == {record, ledger, log}


def test_a_run_under_nohup_goes_on_to_its_end_without_its_terminal(tmp_path: Path) -> None:
    record = tmp_path / "run.json"
    words = [*LOADGEN, "-c", "10", "-d", "2s", "--think", "10ms", "--json", str(record)]
    with ClosingTerminal(words, nohup=True) as terminal:
        terminal.read_until("messages/s")
        terminal.close()
        terminal.process.send_signal(signal.SIGHUP)
        assert terminal.ended() == 0
    found = from_json(record.read_bytes())
    assert found.outcome == "completed"
    assert found.actual.duration_s >= 2


def test_a_search_for_the_highest_rate_ends_with_its_record(tmp_path: Path) -> None:
    record = tmp_path / "found.json"
    words = [*LOADGEN, "-c", "10", "--find-max", "service_p99<10s", "-d", "1s"]
    with ClosingTerminal([*words, "--json", str(record)]) as terminal:
        terminal.read_until("kept")
        terminal.close()
        assert terminal.ended() == 130
    assert record.stat().st_size > 0


def test_a_hangup_of_the_group_spares_the_embedded_server() -> None:
    with running("-c", "10", "-d", "40s", "-v", "--json", "-") as process:
        assert process.stderr is not None
        while b"connected" not in process.stderr.readline():
            assert process.poll() is None
        _signal_group(process, signal.SIGHUP)
        done = ended(process)
    assert done.code == 130
    assert done.record.failures == []
    assert done.record.target.server is not None
    assert done.record.target.server["bytes_received"] == done.record.actual.bytes_sent


@NEEDS_LOCUST
@pytest.mark.parametrize("whom", ["alone", "master", "all"])
def test_a_hangup_ends_locust_as_an_interrupt_does(tmp_path: Path, whom: str) -> None:
    page = tmp_path / "page.html"
    with EmbeddedServer() as server, Locusts(tmp_path, FULL_SPEED) as locusts:
        options = (*LOAD, "--host", f"tcp://{server.address}", "--html", str(page))
        match whom:
            case "alone":
                locust, workers = locusts.headless(*options), []
            case "master":
                workers = [locusts.worker(), locusts.worker()]
                locust = locusts.master(2, *options)
            case _:
                locust, workers = locusts.headless("--processes", "2", *options), []
        locust.wait_for_requests()
        if whom == "all":
            _signal_group(locust.process, signal.SIGHUP)
        locust.signal(signal.SIGHUP)
        assert [each.end() for each in (locust, *workers)] == [0] * (1 + len(workers))
    found = locusts.accounts
    found.check_against(server.counts)
    whole = None if whom == "alone" else TeamRecord(expected=2, reported=2, lost=[], ended_early=[])
    assert [record.team for record in found.records.values()] == [whole, whole]
    assert page.stat().st_size > 0
    assert re.search(r"^ *service time ", locust.text, re.MULTILINE)


@NEEDS_LOCUST
def test_a_closed_terminal_ends_locust_with_every_file(tmp_path: Path) -> None:
    locustfile, out = tmp_path / "locustfile.py", str(tmp_path / "out")
    locustfile.write_text(FULL_SPEED, encoding="utf-8")
    files = ("--csv", out, "--json-file", out, "--loadgen-json", f"{out}.record.json")
    with ScriptedServer(echoes) as server:
        host = f"tcp://{server.address}"
        words = [sys.executable, "-m", "locust", "-f", str(locustfile), "--headless"]
        with ClosingTerminal([*words, *LOAD, "--host", host, *files]) as terminal:
            terminal.read_until("All users spawned")
            server.wait_for(lambda: server.bytes_received >= 64_000)
            terminal.close()
            assert terminal.ended() == 0
    assert Accounts.of(tmp_path).check() > 0


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    os.killpg(process.pid, number)
