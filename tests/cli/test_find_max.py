"""The search for the highest rate: its plan, its record, its lines, and the command."""

import signal
from pathlib import Path
from typing import Any

import pytest
from command import ended, loadgen, loadgen_here, running
from optional import NEEDS_NATIVE
from searches import PROMISE, record_of, wall_at
from servers import ScriptedServer, closes_after, echoes

from loadgen.analysis import checks, max_rate_text
from loadgen.analysis.max_rate import (
    check_plan,
    check_promise,
    from_json,
    plan_of_step,
)
from loadgen.errors import RecordError, UsageError
from loadgen.plan import Plan


@pytest.mark.parametrize("rate", [{}, {"rate": "3k"}, {"rate_per_connection": 30}], ids=str)
def test_a_step_has_a_rate_of_its_own(rate: dict[str, Any]) -> None:
    plan = Plan(target="127.0.0.1:1", pipeline=3, **rate)
    assert check_plan(plan) == (3000 if rate else 1000)
    step = plan_of_step(plan, 123.0, 4.5)
    profile = step.profile()
    assert profile is not None
    assert (profile.peak_per_s, step.duration_s, step.pipeline) == (123.0, 4.5, 3)


@pytest.mark.parametrize(
    "promise",
    ["messages_per_s>=5k", "connections>5", "service_p50==1ms", "errors>5", "errors>=1%"],
)
def test_a_promise_that_no_rate_is_too_high_for_is_refused(promise: str) -> None:
    with pytest.raises(UsageError, match="--find-max"):
        check_promise(checks.parse_all(promise))
    check_promise(checks.parse_all("errors==0,service_p99<5ms"))


def test_a_record_survives_json() -> None:
    record = record_of(wall_at(7300).search())
    text = record.to_json()
    assert b'"schema": "loadgen.find-max/1"' in text
    assert from_json(text) == record


@pytest.mark.parametrize("text", [b"", b"{}", b'{"schema": "loadgen.run/2"}', b"\xff"])
def test_what_is_no_record_is_refused(text: bytes) -> None:
    with pytest.raises(RecordError, match=r"loadgen\.find-max/1"):
        from_json(text)


def test_a_record_with_a_plan_that_cannot_be_is_refused() -> None:
    text = record_of(wall_at(7300).search()).to_json()
    with pytest.raises(RecordError, match="--connections"):
        from_json(text.replace(b'"connections": 100', b'"connections": 0'))


def test_the_curve_stands_in_columns() -> None:
    heading = max_rate_text.heading(PROMISE, "native")
    lines = [max_rate_text.step_line(step) for step in wall_at(7300).search().steps]
    width = len(heading[-1].text)
    outcomes = {line.text[width:].strip().partition(":")[0] for line in lines}
    assert outcomes == {"kept", "broken"}
    assert max(len(line.text) for line in lines) <= 110
    assert {line.style for line in lines} == {"good", "bad"}


# ---- the command ------------------------------------------------------------------------------


@pytest.mark.parametrize(("sample", "rates"), [("1", [8, 4, 2]), ("3", [8])])
def test_a_promise_that_fails_at_once(
    sample: str, rates: list[float], capfd: pytest.CaptureFixture[str]
) -> None:
    """Every run loses its one connection with the first reply, and takes no time.

    No step at a lower rate would have the replies that a verdict needs, stamped.
    """
    with ScriptedServer(closes_after(1, 64)) as server:
        load = ("-c", "1", "--rate", "8", "-d", "100ms", "--timestamp-sample", sample)
        options = ("--find-max", "errors<1", "--json", "-")
        done = loadgen_here(capfd, server.address, *load, *options)
    assert done.code == 1
    record = from_json(done.stdout.encode())  # and nothing else is on standard output
    assert record.promise == ["errors<1"]
    assert (record.found_per_s, record.limited_by) == (None, "server")
    assert [step.rate_per_s for step in record.steps] == rates
    assert {step.outcome for step in record.steps} == {"broken"}
    assert done.stderr.count("broken") >= len(rates)
    assert "no rate that was tried keeps errors<1" in done.stderr


@pytest.mark.parametrize("engine", ["python", pytest.param("native", marks=NEEDS_NATIVE)])
def test_it_is_written_to_a_file_too(
    engine: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "max.json"
    with ScriptedServer(closes_after(1, 64)) as server:
        options = ("-c", "1", "--rate", "1", "-d", "100ms", "--find-max", "errors<1")
        chosen = ("--engine", engine, "--json", str(path))
        done = loadgen_here(capfd, server.address, *options, *chosen)
    assert done.stderr == ""
    first, *_ = done.stdout.splitlines()
    name = {"native": "native engine", "python": "Python engine"}[engine]
    assert first == f"looking for the highest rate with errors<1, {name}"
    assert [step.engine for step in from_json(path.read_bytes()).steps] == [engine]


def test_each_step_sends_what_came_from_standard_input() -> None:
    with ScriptedServer(closes_after(1, 64)) as server:
        load = ("-c", "1", "--rate", "8", "-d", "100ms", "--payload-file", "-")
        options = ("--find-max", "errors<1", "--json", "-")
        done = loadgen(server.address, *load, *options, stdin=bytes(64))
    assert done.code == 1
    assert len(from_json(done.stdout.encode()).steps) > 1


def test_an_interrupt_ends_it_with_what_was_found() -> None:
    with (
        ScriptedServer(echoes) as server,
        running(
            *(server.address, "-c", "5", "--rate", "200", "-d", "40s"),
            *("--find-max", "errors<1", "--json", "-"),
        ) as process,
    ):
        server.wait_for(lambda: server.bytes_received >= 640)
        process.send_signal(signal.SIGINT)
        done = ended(process)
    assert done.code == 130
    record = from_json(done.stdout.encode())
    assert (record.steps, record.found_per_s, record.limited_by) == ([], None, "nothing")
    assert "ended" in done.stderr
