"""Options of loadgen inside Locust, attributes of user classes, and mistakes in either."""

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from command import ROOT
from locusts import LOAD, PACED, Locust, Locusts
from optional import NEEDS_LOCUST, NEEDS_NATIVE, without_native

from loadgen.engine.choice import SCRIPTED
from loadgen.results.record import from_json
from loadgen.server.embedded import EmbeddedServer

pytestmark = NEEDS_LOCUST

PACES: Final = """
from locust import constant, constant_throughput, task

from loadgen.locust import ScriptedSocketUser, SocketUser


class Open(SocketUser):
    payloads = (bytes(64),)
    rate = 50


class Throughput(SocketUser):
    payloads = (bytes(64),)
    connections = 3
    wait_time = constant_throughput(20)


class Pause(SocketUser):
    payloads = (bytes(64),)
    connections = 3
    wait_time = constant(0.05)


class Script(ScriptedSocketUser):
    wait_time = constant_throughput(20)

    @task
    def say(self):
        self.client.request(bytes(64))
"""
PER_S: Final = 20


def test_the_masters_options_reach_its_workers(tmp_path: Path) -> None:
    file = (ROOT / "bench" / "locustfile.py").read_text(encoding="utf-8")
    form = r"delimiter:\r\n"
    options = ("--payload", r"PING\r\n", "--reply", form, "--connections-per-user", "3")
    with EmbeddedServer() as server, Locusts(tmp_path, file) as locusts:
        worker = locusts.worker()
        where = ("--host", f"tcp://{server.address}")
        master = locusts.master(1, "-u", "2", "-t", "5s", *where, *options, "--pipeline", "2")
        assert (master.end(), worker.end()) == (0, 0)
    found = locusts.accounts
    [record] = found.records.values()
    assert server.counts.accepted == record.actual.opened == 6
    assert (record.plan.reply, record.plan.pipeline) == (form, 2)
    assert found.check() * len(b"PING\r\n") == server.counts.bytes_received > 0


def engines_of_a_run(tmp_path: Path, *options: str) -> set[tuple[str, str]]:
    """Return what the records of two classes say, which are run until there are requests."""
    with EmbeddedServer() as server, Locusts(tmp_path, PACED) as locusts:
        locust = locusts.headless(*LOAD, "--host", f"tcp://{server.address}", *options)
        locust.wait_for_requests()
        locust.signal(signal.SIGINT)
        assert locust.end() == 0
    found = locusts.accounts
    found.check_against(server.counts)
    assert len(found.records) == 2
    return {(record.engine, record.why_python) for record in found.records.values()}


@pytest.mark.parametrize("engine", ["python", pytest.param("native", marks=NEEDS_NATIVE)])
def test_the_engine_is_that_which_was_asked_for(engine: str, tmp_path: Path) -> None:
    scripted = ("python", SCRIPTED if engine == "native" else "")
    assert engines_of_a_run(tmp_path, "--engine", engine) == {(engine, ""), scripted}


class TestWithoutTheNativeModule:
    @pytest.fixture(autouse=True)
    def hidden(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in without_native(tmp_path).items():
            monkeypatch.setenv(name, value)

    def test_a_record_says_why_it_was_made_in_python(self, tmp_path: Path) -> None:
        [(engine, why_python)] = engines_of_a_run(tmp_path)
        assert engine == "python"
        assert "was not compiled" in why_python

    def test_a_run_that_must_be_native_is_refused_in_one_line(self, tmp_path: Path) -> None:
        with EmbeddedServer() as server, Locusts(tmp_path, PACED) as locusts:
            where = ("--host", f"tcp://{server.address}")
            locust = locusts.headless(*LOAD, *where, "--engine", "native")
            assert locust.end() == 2
        assert server.counts.accepted == 0
        lines = [line for line in locust.text.splitlines() if "--engine native: " in line]
        assert len(lines) == 1
        assert lines[0].endswith("(python3-dev), then loadgen again, or choose auto or python")


def test_a_rate_and_wait_times_pace_each_connection(tmp_path: Path) -> None:
    with EmbeddedServer() as server, Locusts(tmp_path, PACES) as locusts:
        load = ("-u", "8", "-r", "100", "-t", "5s")
        assert locusts.run(*load, "--host", f"tcp://{server.address}") == 0
    found = locusts.accounts
    found.check_against(server.counts)

    scheduled = found.records.pop("Open")
    actual, response = scheduled.actual, scheduled.response_time_ns
    assert actual.due is not None
    assert actual.overdue is not None
    assert response is not None
    assert actual.due == actual.messages + actual.overdue > 0
    assert actual.due <= 2 * 50 * actual.duration_s + 1
    delayed = scheduled.generator.delayed  # by pauses, and left out
    responses = response.count + (delayed.response_ns.count if delayed else 0)
    services = scheduled.service_time_ns.count + (delayed.service_ns.count if delayed else 0)
    assert responses == services
    for name, record in found.records.items():
        answered = record.connections.ledger["answered"]
        assert len(answered) == (2 if name == "Script" else 6)
        # The first is sent at once, and Locust counts from the start of the user.
        assert max(answered) <= PER_S * record.actual.duration_s + 2, name
        assert 2 * min(answered) >= max(answered) > 1, name


def test_a_record_keeps_names_that_are_not_utf_8(tmp_path: Path) -> None:
    cafe = tmp_path / os.fsdecode(b"caf\xe9")
    with EmbeddedServer(("--unix", str(cafe))), Locusts(tmp_path, PACES) as locusts:
        locust = locusts.headless(
            *("-u", "1", "-t", "5s", "--host", f"unix://{cafe}", "Open"),
            *("--loadgen-json", f"{cafe}.record.json"),
        )
        assert locust.end() == 0, locust.text
    assert "Traceback" not in locust.text
    record = from_json(Path(f"{cafe}.record.json").read_bytes())
    assert record.target.address == rf"unix://{tmp_path}/caf\xe9"
    assert record.failures == []


@pytest.mark.parametrize("name", ["locustfile.py", "link.py", "queue.txt"])
def test_the_record_does_not_overwrite_a_file_that_is_read(name: str, tmp_path: Path) -> None:
    file = PACED.replace("(bytes(64),)", "(LinesPayload('{queue}'),)", 1)
    file = f"from loadgen import LinesPayload\n{file}".replace("{queue}", f"{tmp_path}/queue.txt")
    (tmp_path / "queue.txt").write_text("PING\n")
    (tmp_path / "link.py").symlink_to("locustfile.py")
    with Locusts(tmp_path, file) as locusts:
        before = (tmp_path / name).read_bytes()
        host = ("--host", "tcp://127.0.0.1:9")
        locust = locusts.headless("-t", "20s", *host, "--loadgen-json", f"{tmp_path}/{name}")
        assert locust.end() == 2, locust.text
    [line] = [line for line in locust.text.splitlines() if "/ERROR/" in line]
    assert "it is read, and would be lost; name another file" in line
    assert (tmp_path / name).read_bytes() == before


def test_a_record_of_one_class_of_several_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"before")
    (tmp_path / "out.record.Talk.json").symlink_to("precious")
    with EmbeddedServer() as server, Locusts(tmp_path, PACED) as locusts:
        assert locusts.run(*LOAD, "-t", "5s", "--host", f"tcp://{server.address}") == 0
    assert locusts.records["Talk"].actual.messages > 0
    assert (tmp_path / "precious").read_bytes() == b"before"


class Mistake(NamedTuple):
    """A user's mistake, and the line that Locust then logs."""

    message: str
    options: tuple[str, ...] = ()
    file: str = PACED
    host: str = "tcp://127.0.0.1:9"


def in_talk(line: str) -> str:
    """Return a Locust file whose SocketUser has that line instead of its wait_time."""
    return PACED.replace("    wait_time = constant(0.005)", f"    {line}", 1)


# One of each kind: what is wrong with each word is seen in under_gevent, within one process.
MISTAKES: Final = {
    "reply": Mistake(
        "Talk: --reply: 'nonsense' is not accepted; write echo, ", ("--reply", "nonsense")
    ),
    "descriptors": Mistake(
        "needs 10000000064 file descriptors", ("--connections-per-user", "10000m")
    ),
    "no-place": Mistake(
        "--loadgen-json: '/proc/x' is not accepted; it cannot be written: ",
        ("--loadgen-json", "/proc/x"),
    ),
    "spelling": Mistake(
        r"Talk\.pipelines is not a plan's attribute.* did you mean pipeline\?",
        file=in_talk("pipelines = 3"),
    ),
    "unknown-host": Mistake("nowhere.invalid", host="tcp://nowhere.invalid:1"),
}


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Locust]]:
    """One Locust for each mistake; all start together, since each takes a second."""
    with contextlib.ExitStack() as stack:
        started = {}
        for name, mistake in MISTAKES.items():
            locusts = stack.enter_context(Locusts(tmp_path_factory.mktemp(name), mistake.file))
            options = ("-u", "4", "-t", "20s", "--host", mistake.host, *mistake.options)
            started[name] = locusts.headless(*options)
        yield started


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_the_run_with_one_line(name: str, mistaken: dict[str, Locust]) -> None:
    locust = mistaken[name]
    assert locust.end() == 2, locust.text
    [line] = [line for line in locust.text.splitlines() if "/ERROR/" in line]
    assert re.search(MISTAKES[name].message, line), line
