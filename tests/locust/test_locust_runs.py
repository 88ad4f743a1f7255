"""Messages are counted alike by Locust, loadgen and the target, however a run ends."""

import json
import signal
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from locust_accounts import MESSAGE_BYTES, Count
from locusts import FULL_SPEED, LOAD, PACED, Locusts
from optional import NEEDS_LOCUST
from servers import ScriptedServer, closes_after, echoes

from loadgen.server.embedded import EmbeddedServer

pytestmark = NEEDS_LOCUST

FOR_A_WHILE: Final = ("-t", "5s")
"""Longer than the imports, which gevent's timer includes: it counts from the loop's cached time."""

SHAPE: Final = """

from locust import LoadTestShape


class Hill(LoadTestShape):
    steps = iter([20, 50, 10, 0])

    def tick(self):
        users = next(self.steps, None)
        return users if users is None else (users, 1000)
"""

LISTENER: Final = """

import json
from collections import Counter

from locust import events

heard = {}


@events.request.add_listener
def hear(name, exception, **_):
    requests, failures = heard.get(name, (0, 0))
    heard[name] = (requests + 1, failures + (exception is not None))


@events.quit.add_listener
def tell(**_):
    print("heard:", json.dumps(heard), flush=True)
"""


def has_open(server: ScriptedServer, connections: int) -> bool:
    return server.accepted - server.closed == connections


def drained_for(drain_s: float) -> str:
    return PACED.replace("wait_time", f"drain_s = {drain_s}\n    wait_time")


class TestLocalRun:
    @pytest.mark.parametrize(
        ("delay", "drain_s", "options"),
        [
            pytest.param("0", 1.0, (), id="replies-at-once"),
            pytest.param("200ms", 1.0, (), id="slow-replies"),
            pytest.param("300ms", 0.1, ("-s", "2"), id="slow-replies-and-time-to-stop"),
        ],
    )
    def test_loses_nothing_in_flight(
        self, delay: str, drain_s: float, options: tuple[str, ...], tmp_path: Path
    ) -> None:
        file = drained_for(drain_s)
        with EmbeddedServer(("--delay", delay)) as server, Locusts(tmp_path, file) as locusts:
            where = ("--host", f"tcp://{server.address}")
            assert locusts.run(*LOAD, *FOR_A_WHILE, *where, *options) == 0
        found = locusts.accounts
        found.check_against(server.counts)
        assert found.records.keys() == {"Talk", "Script"}
        assert found.names.keys() == {"Talk", "first", "second"}
        assert found.names["Talk"] == (found.records["Talk"].actual.messages, 0)

    def test_cuts_off_replies_that_exceed_the_drain(self, tmp_path: Path) -> None:
        file = drained_for(0.01)
        with EmbeddedServer(("--delay", "30s")) as server, Locusts(tmp_path, file) as locusts:
            where = ("--host", f"tcp://{server.address}")
            assert locusts.run(*LOAD, *FOR_A_WHILE, *where) == 0
        found = locusts.accounts
        cut_off = sum(record.actual.cut_off for record in found.records.values())
        assert found.check() == 0
        assert cut_off * MESSAGE_BYTES == server.counts.bytes_received
        assert cut_off == 12

    def test_ramps_up_and_down(self, tmp_path: Path) -> None:
        with ScriptedServer(echoes) as server, Locusts(tmp_path, PACED + SHAPE) as locusts:
            locust = locusts.headless("--host", f"tcp://{server.address}")
            for users in (20, 50, 10, 0):
                server.wait_for(partial(has_open, server, users))
            assert locust.end() == 0
            assert server.accepted == server.closed == 50
        found = locusts.accounts
        assert found.check() * MESSAGE_BYTES == server.bytes_received
        assert sum(record.actual.opened for record in found.records.values()) == 50


def test_an_interrupt_during_a_run_loses_nothing(tmp_path: Path) -> None:
    with EmbeddedServer() as server, Locusts(tmp_path, FULL_SPEED) as locusts:
        locust = locusts.headless(*LOAD, "--host", f"tcp://{server.address}")
        locust.wait_for_requests()
        locust.signal(signal.SIGINT)
        assert locust.end() == 0
    locusts.accounts.check_against(server.counts)


def test_a_listener_is_called_for_each_request_once(tmp_path: Path) -> None:
    file = PACED.replace("self.client.request", "self.try_to") + LISTENER
    file = file.replace(
        "    @task",
        "    def try_to(self, message, name):\n"
        "        try:\n"
        "            self.client.request(message, name)\n"
        "        except ConnectionError:\n"
        "            pass\n\n"
        "    @task",
    )
    script = closes_after(30, MESSAGE_BYTES)
    with ScriptedServer(script) as server, Locusts(tmp_path, file) as locusts:
        locust = locusts.headless(*LOAD, *FOR_A_WHILE, "--host", f"tcp://{server.address}")
        assert locust.end() == 1
    found = locusts.accounts
    found.check()
    assert found.total.failures > 0
    told = locust.wait_for_line("^heard: (.*)$")[1]
    assert {name: Count(*each) for name, each in json.loads(told).items()} == found.names
    assert locust.text.count("events.request is fired for every request, since hear listens") == 1


@pytest.mark.parametrize("processes", [(), ("--processes", "2")])
def test_requests_before_all_users_run_can_be_left_out(
    processes: tuple[str, ...], tmp_path: Path
) -> None:
    with EmbeddedServer() as server, Locusts(tmp_path, PACED) as locusts:
        load = ("-u", "12", "-r", "4", "-t", "6s", "--reset-stats", *processes)
        assert locusts.run(*load, "--host", f"tcp://{server.address}") == 0
    found = locusts.accounts
    if (
        not processes
    ):  # a report that is under way when Locust's master clears its tables is in them
        found.agree()
    records = found.records.values()
    answered = sum(record.actual.messages for record in records)
    before = sum(record.actual.warmup_messages for record in records)
    assert min(answered, before) > 0
    assert (answered + before) * MESSAGE_BYTES == server.counts.bytes_received
