"""Runs with master and workers: late, interrupted, spoilt and killed ones."""

import re
import signal
from collections import Counter
from pathlib import Path
from typing import Any, Final

from locust_accounts import MESSAGE_BYTES, Accounts
from locusts import FULL_SPEED, LOAD, PACED, Locust, Locusts
from optional import NEEDS_LOCUST
from servers import ScriptedServer, echoes

from loadgen.server.embedded import EmbeddedServer

pytestmark = NEEDS_LOCUST

SWARM: Final = {"user_count": 12, "spawn_rate": 100}

HASTY: Final = """
import os

from locust import runners

runners.WORKER_REPORT_INTERVAL = 0.5
MINE = str(os.getpid()).encode().ljust(64)
"""
SIGNED: Final = PACED.replace(
    "payloads = (bytes(64),)", "\n    def payload(self):\n        return MINE\n"
).replace("bytes(64)", "MINE")
"""Each message contains the process that sent it."""

BUSY: Final = """
import gevent
from locust import events, runners


def work():
    try:
        while True:
            sum(range(300_000))  # for milliseconds: an interrupt nearly always arrives here
            gevent.sleep(0.001)
    except KeyboardInterrupt:
        print("torn apart", flush=True)


@events.init.add_listener
def keep_busy(environment, **_):
    if isinstance(environment.runner, runners.MasterRunner):
        gevent.spawn(work)
"""
"""The master has a greenlet that an interrupt must not end, like that of Locust's CSV files."""


SPOILT: Final = """
import itertools

import msgspec
from locust import events, runners
from locust.rpc import Message

from loadgen.locust.messages import decode, encode

runners.WORKER_REPORT_INTERVAL = 0.2


def out_of_date(content):
    return encode([
        msgspec.structs.replace(
            report, record=msgspec.structs.replace(report.record, started_at="1999-01-01T00:00:00Z")
        )
        for report in decode(content)
    ])


def of_no_class(content):
    return encode([
        msgspec.structs.replace(report, user_class="../elsewhere") for report in decode(content)
    ])


WAYS = itertools.cycle([
    lambda content: content[:-9],
    lambda content: 7,
    lambda content: bytes(2**25 + 1),
    lambda content: content * 2000,
    lambda content: b"\\xdf" + content,
    out_of_date,
    of_no_class,
])


@events.init.add_listener
def spoil(environment, **_):
    runner = environment.runner
    if isinstance(runner, runners.WorkerRunner):

        def spoil_report(client_id, data, **_):
            if runner.worker_index == 1 and "loadgen" in data:
                runner.client.send(Message("stats", dict(data), "a stranger"))
                data["loadgen"] = next(WAYS)(data["loadgen"])

        environment.events.report_to_master.add_listener(spoil_report)


"""
"""The second worker's reports are each invalid in another way; some have another name."""


def workers(found: Accounts) -> set[str]:
    return {worker.name for record in found.records.values() for worker in record.workers}


def messages(overview: Any) -> dict[str, int]:
    """Return the messages that each worker has reported, over all user classes."""
    reported: Counter[str] = Counter()
    for user_class in overview["user_classes"]:
        for each in user_class["workers"]:
            reported[each["name"]] += each["messages"]
    return reported


def are_at_work(master: Locust, count: int) -> bool:
    """Return whether ``count`` workers have reported messages of every user class."""
    found = master.overview()["user_classes"]
    return len(found) == 2 and all(
        len(each["workers"]) == count and all(one["messages"] for one in each["workers"])
        for each in found
    )


def test_an_interrupt_of_the_master_ends_its_workers_and_loses_nothing(tmp_path: Path) -> None:
    with EmbeddedServer() as server, Locusts(tmp_path, FULL_SPEED) as locusts:
        all_of_them = [locusts.worker(), locusts.worker()]
        master = locusts.master(2, *LOAD, "--host", f"tcp://{server.address}")
        master.wait_for_requests()
        master.signal(signal.SIGINT)
        assert [each.end() for each in (master, *all_of_them)] == [0, 0, 0]
    found = locusts.accounts
    found.check_against(server.counts)
    assert len(workers(found)) == 2


def test_an_interrupt_of_a_busy_master_ends_no_greenlet_at_work(
    tmp_path: Path,
) -> None:
    with EmbeddedServer() as server, Locusts(tmp_path, FULL_SPEED + BUSY) as locusts:
        worker = locusts.worker()
        master = locusts.master(1, *LOAD, "--host", f"tcp://{server.address}")
        master.wait_for_requests()
        master.signal(signal.SIGINT)
        assert [each.end() for each in (master, worker)] == [0, 0]
    assert "torn apart" not in master.text
    locusts.accounts.check_against(server.counts)


def test_an_interrupt_of_all_processes_at_once_loses_nothing(tmp_path: Path) -> None:
    with EmbeddedServer() as server, Locusts(tmp_path, FULL_SPEED) as locusts:
        locust = locusts.headless(*LOAD, "--processes", "2", "--host", f"tcp://{server.address}")
        locust.wait_for_requests()
        locust.interrupt_group()
        assert locust.end() == 0
    found = locusts.accounts
    found.check_against(server.counts)
    assert len(workers(found)) == 2


def test_late_workers_and_second_runs_have_complete_counts(tmp_path: Path) -> None:
    with EmbeddedServer() as server, Locusts(tmp_path, HASTY + PACED) as locusts:
        all_of_them = [locusts.worker()]
        master = locusts.master_with_page("--host", f"tcp://{server.address}")
        master.wait_for_line("1 workers connected")
        master.ask("POST", "/swarm", **SWARM)
        master.wait_for(lambda: are_at_work(master, 1))
        all_of_them.append(locusts.worker())
        master.wait_for(lambda: are_at_work(master, 2))
        master.ask("POST", "/stop")
        overview, first = master.overview(), locusts.records

        master.ask("POST", "/swarm", **SWARM, size=128)
        master.wait_for(lambda: "128 B" in str(master.overview()) and are_at_work(master, 2))
        master.ask("POST", "/stop")
        master.signal(signal.SIGTERM)
        assert [each.end() for each in (master, *all_of_them)] == [0, 0, 0]

    second = locusts.accounts
    second.check()
    assert len(workers(second)) == 2
    for user_class in overview["user_classes"]:
        mine = first[user_class["user_class"]].actual.messages
        assert mine == user_class["messages"] == sum(each["count"] for each in user_class["names"])
        assert mine == sum(each["messages"] for each in user_class["workers"])
    sent = MESSAGE_BYTES * sum(each.actual.messages for each in (*first.values(), second.script))
    assert sent + 128 * second.talk.actual.messages == server.counts.bytes_received


def test_a_worker_with_invalid_reports_does_not_affect_the_others(
    tmp_path: Path,
) -> None:
    with EmbeddedServer() as server, Locusts(tmp_path, SPOILT + PACED) as locusts:
        all_of_them = [locusts.worker(), locusts.worker()]
        master = locusts.master_with_page("--host", f"tcp://{server.address}")
        master.wait_for_line("2 workers connected")
        master.ask("POST", "/swarm", **SWARM)
        bad = master.wait_for_line("worker (.*): a report is dropped: ")[1]

        def have_all_been_tried() -> bool:
            found = [each["findings"] for each in master.overview()["user_classes"]]
            counts = re.findall(r"worker-reports-dropped.*?: (\d+) reports dropped", str(found))
            return len(found) == 2 and any(int(count) > 7 for count in counts)

        master.wait_for(have_all_been_tried)
        master.ask("POST", "/stop")
        master.signal(signal.SIGTERM)
        assert [each.end() for each in (master, *all_of_them)] == [0, 0, 0]
    for record in locusts.records.values():
        [good] = record.workers
        assert good.messages == record.actual.messages > 0
        assert record.actual.messages == sum(interval.messages for interval in record.intervals)
        assert 0 < record.actual.duration_s < 3600
        assert record.team is not None
        [dropped] = record.team.dropped
        assert (dropped.name, dropped.reports > 7) == (bad, True)
        assert record.health is not None
        assert record.health.verdict == "inconclusive"
        assert "worker-reports-dropped" in [each.code for each in record.health.findings]
    assert locusts.records.keys() == {"Talk", "Script"}
    assert master.text.count("a report is dropped") == 1


def test_the_reports_of_a_killed_worker_count(tmp_path: Path) -> None:
    with ScriptedServer(echoes) as server, Locusts(tmp_path, HASTY + SIGNED) as locusts:
        doomed, survivor = locusts.worker(), locusts.worker()
        master = locusts.master_with_page("--host", f"tcp://{server.address}")
        master.wait_for_line("2 workers connected")
        master.ask("POST", "/swarm", **SWARM)
        master.wait_for(lambda: are_at_work(master, 2))
        doomed.kill()
        dead = master.wait_for_line("Worker (.*) failed to send heartbeat")[1]
        reported = messages(master.overview())[dead]
        master.ask("POST", "/stop")
        master.signal(signal.SIGTERM)
        assert (master.end(), survivor.end()) == (0, 0)
        server.settle(12)

    found = locusts.accounts
    shares: Counter[str] = Counter()
    for record in found.records.values():
        assert record.actual.messages == sum(interval.messages for interval in record.intervals)
        for worker in record.workers:
            shares[worker.name] += worker.messages
    served = Counter(
        int(stream[at : at + MESSAGE_BYTES])
        for stream in server.streams
        for at in range(0, len(stream), MESSAGE_BYTES)
    )
    assert found.agree() == shares.total()
    assert shares.pop(dead) == reported <= served[doomed.process.pid]
    [share] = shares.values()
    assert share == served[survivor.process.pid]
