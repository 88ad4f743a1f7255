"""Workers of Locust that are killed, delayed, or end during a run: what the record says."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from locust_accounts import MESSAGE_BYTES
from locusts import Locust, Locusts
from optional import NEEDS_LOCUST
from servers import ScriptedServer, echoes

from loadgen.results.record import RunRecord
from loadgen.server.embedded import EmbeddedServer

pytestmark = NEEDS_LOCUST

OFTEN: Final = 0.5
NEVER: Final = 3600.0
"""Seconds between the reports of a worker; the last report is sent at the end in any case."""

RATE_PER_S: Final = 20

STEADY: Final = """
from locust import runners

from loadgen.locust import SocketUser

runners.WORKER_REPORT_INTERVAL = {report_s}


class Ping(SocketUser):
    payloads = (bytes(64),)
    rate = {rate_per_s}
"""
SWARM: Final = {"user_count": 4, "spawn_rate": 100}
ASKED_PER_S: Final = 4 * RATE_PER_S


def steady(report_s: float = OFTEN) -> str:
    return STEADY.format(report_s=report_s, rate_per_s=RATE_PER_S)


def codes(record: RunRecord) -> list[str]:
    assert record.health is not None
    return [finding.code for finding in record.health.findings]


def class_seen(master: Locust) -> Any:
    """What the page shows of the user class; {} before the first report."""
    found = master.overview()["user_classes"]
    return found[0] if found else {}


def start(locusts: Locusts, address: str, *options: str) -> tuple[Locust, Locust, Locust]:
    """Start a master with a page and two workers, and a run."""
    workers = locusts.worker(), locusts.worker()
    master = locusts.master_with_page("--host", f"tcp://{address}", *options)
    master.wait_for_line("2 workers connected")
    master.ask("POST", "/swarm", **SWARM)
    return master, *workers


def wait_for_reports(master: Locust, enough: Callable[[list[int]], bool] = all) -> None:
    """Return when both workers have reported ``enough`` messages."""

    def have_reported() -> bool:
        messages = [each["messages"] for each in class_seen(master).get("workers", [])]
        return len(messages) == 2 and enough(messages)

    master.wait_for(have_reported)


def record_of(locusts: Locusts) -> RunRecord:
    [record] = locusts.records.values()
    return record


@pytest.mark.parametrize("is_rebalanced", [False, True], ids=["left", "rebalanced"])
def test_a_killed_worker_is_a_finding_with_its_time_and_share(
    tmp_path: Path, is_rebalanced: bool
) -> None:
    options = ("--enable-rebalancing",) if is_rebalanced else ()
    with EmbeddedServer() as server, Locusts(tmp_path, steady()) as locusts:
        master, doomed, survivor = start(locusts, server.address, *options)
        wait_for_reports(master)
        doomed.kill()
        dead = master.wait_for_line("worker (.*) is lost: last heard of .* 50 % of the users")[1]
        users_left = 4 if is_rebalanced else 2
        master.wait_for(lambda: class_seen(master)["users"] == users_left)
        seen = class_seen(master)
        master.ask("POST", "/stop")
        master.signal(signal.SIGTERM)
        assert (master.end(), survivor.end()) == (0, 0)

    lost_at_s = {each["name"]: each["lost_at_s"] for each in seen["workers"]}
    assert seen["workers_expected"] == 2
    assert seen["verdict"] == "inconclusive"
    assert [name for name, at_s in lost_at_s.items() if at_s is not None] == [dead]
    record = record_of(locusts)
    assert record.team is not None
    assert (record.team.expected, record.team.reported) == (2, 1)
    [lost] = record.team.lost
    assert (lost.name, lost.load_share) == (dead, 0.5)
    assert 0 < lost.at_s < record.actual.duration_s
    assert 0 < (lost.message_share or 0) < 1
    assert (lost.relieved_at_s is not None) == is_rebalanced
    assert record.health is not None
    assert record.health.verdict == "inconclusive"
    assert codes(record)[0] == "worker-lost"
    if not is_rebalanced:
        assert record.requested.rate_per_s == pytest.approx(ASKED_PER_S, rel=0.2)
        assert record.actual.messages_per_s < 0.9 * (record.requested.rate_per_s or 0)
    assert master.text.count(f"worker {dead} is lost") == 1
    assert "1 of 2 have given their last report, 1 lost" in master.text


def test_a_delayed_worker_is_late_and_all_that_it_reports_counts(tmp_path: Path) -> None:
    with EmbeddedServer() as server, Locusts(tmp_path, steady()) as locusts:
        master, held_up, other = start(locusts, server.address)
        wait_for_reports(master)
        held_up.signal(signal.SIGSTOP)
        late = master.wait_for_line("worker (.*) is lost")[1]
        held_up.signal(signal.SIGCONT)
        master.wait_for_line(f"worker {late} is back")
        master.ask("POST", "/stop")
        master.signal(signal.SIGTERM)
        assert [each.end() for each in (master, held_up, other)] == [0, 0, 0]
    locusts.accounts.check_against(server.counts)
    team = record_of(locusts).team
    assert team is not None
    assert (team.expected, team.reported, team.lost) == (2, 2, [])


def test_a_worker_that_ends_its_run_late_is_in_the_record(tmp_path: Path) -> None:
    with EmbeddedServer() as server, Locusts(tmp_path, steady()) as locusts:
        master, held_up, other = start(locusts, server.address)
        wait_for_reports(master)
        held_up.signal(signal.SIGSTOP)
        master.ask("POST", "/stop")
        late = master.wait_for_line("worker (.*) is lost")[1]
        master.wait_for(lambda: locusts.records)
        without = record_of(locusts)
        held_up.signal(signal.SIGCONT)
        master.wait_for_line(f"worker {late} is late: its last report has arrived, and counts")
        master.wait_for(lambda: "worker-lost" not in codes(record_of(locusts)))
        record = record_of(locusts)
        master.signal(signal.SIGTERM)
        assert [each.end() for each in (master, held_up, other)] == [0, 0, 0]
    assert without.team is not None
    assert [each.name for each in without.team.lost] == [late]
    assert record.team is not None
    assert (record.team.reported, record.team.lost) == (2, [])
    assert record.actual.messages * MESSAGE_BYTES == server.counts.bytes_received


def test_a_worker_that_quits_normally_leaves_a_complete_record(tmp_path: Path) -> None:
    with EmbeddedServer() as server, Locusts(tmp_path, steady()) as locusts:
        master, leaving, other = start(locusts, server.address)
        wait_for_reports(master)
        leaving.signal(signal.SIGTERM)
        assert leaving.end() == 0
        so_far = sum(each["messages"] for each in class_seen(master)["workers"])
        # Well after, by the other worker's messages: more than its users send in three seconds.
        enough = so_far + 3 * ASKED_PER_S
        wait_for_reports(master, lambda messages: sum(messages) > enough)
        master.ask("POST", "/stop")
        master.signal(signal.SIGTERM)
        assert (master.end(), other.end()) == (0, 0)
    locusts.accounts.check_against(server.counts)
    record = record_of(locusts)
    assert record.team is not None
    assert (record.team.expected, record.team.reported, record.team.lost) == (2, 2, [])
    [early] = record.team.ended_early
    assert (early.load_share, early.relieved_at_s is not None) == (0.5, True)
    assert "worker-ended-early" in codes(record)


def test_a_worker_that_never_reported_is_only_counted(tmp_path: Path) -> None:
    with (
        ScriptedServer(echoes) as server,
        Locusts(tmp_path, steady(report_s=NEVER)) as locusts,
    ):
        master, doomed, survivor = start(locusts, server.address)
        master.wait_for_line("All users spawned")
        server.wait_for(lambda: server.accepted == 4)
        doomed.kill()
        master.ask("POST", "/stop")
        dead = master.wait_for_line("worker (.*) is lost")[1]
        master.signal(signal.SIGTERM)
        assert (master.end(), survivor.end()) == (0, 0)
    record = record_of(locusts)
    assert record.team is not None
    assert (record.team.expected, record.team.reported) == (2, 1)
    [lost] = record.team.lost
    assert (lost.name, lost.host) == (dead, os.uname().nodename)
    assert (lost.load_share, lost.message_share) == (0.5, None)
    assert record.requested.connections == 4
    assert codes(record)[0] == "worker-lost"


def test_a_record_of_lost_workers_alone_says_that_all_are_lost(tmp_path: Path) -> None:
    with EmbeddedServer() as server, Locusts(tmp_path, steady()) as locusts:
        master, *workers = start(locusts, server.address)
        wait_for_reports(master)
        for worker in workers:
            worker.kill()
        master.wait_for_line("The last worker went missing")
        master.wait_for(lambda: locusts.records)
        master.signal(signal.SIGTERM)
        assert master.end() == 0
    record = record_of(locusts)
    assert record.team is not None
    assert (record.team.expected, record.team.reported, len(record.team.lost)) == (2, 0, 2)
    assert codes(record)[:2] == ["worker-lost", "worker-lost"]
    assert record.actual.messages > 0
