"""What a run says of itself: the verdict, and what became of the checks."""

import socket
from typing import Any

import msgspec
import pytest
from accounts import check, check_against
from servers import ScriptedServer, closes_after, echoes, never_answers

import loadgen
from loadgen.analysis.summary import summarise
from loadgen.analysis.verdict import generator_rules, judging


def plan(server: ScriptedServer, **fields: Any) -> loadgen.Plan:
    return loadgen.Plan(target=server.address, **{"connections": 5, "probe": False, **fields})


def codes(record: loadgen.RunRecord) -> set[str]:
    assert record.health is not None
    return {finding.code for finding in record.health.findings}


@pytest.mark.parametrize("load", [{}, {"rate": 2000}, {"think": "1ms"}], ids=str)
@pytest.mark.parametrize("script", [echoes, never_answers, closes_after(1, 64)])
def test_every_record_is_judged_by_the_rules(script: Any, load: dict[str, Any]) -> None:
    with ScriptedServer(script) as server:
        record = loadgen.run(plan(server, messages=30, duration_s=0.1, drain_s=0.05, **load))
        check(record)
    assert record.health == judging.judge(msgspec.structs.replace(record, health=None))


def test_an_unreachable_target_is_judged_too() -> None:
    with ScriptedServer(echoes) as server:
        server.die()
        with pytest.raises(loadgen.UnreachableTargetError) as caught:
            loadgen.run(plan(server, messages=1, checks=("errors<1", "connections>=5")))
    record = caught.value.record
    assert codes(record) >= {"unreachable"}
    assert [result.outcome for result in record.checks] == ["failed", "failed"]


def test_a_lost_load_is_inconclusive() -> None:
    with ScriptedServer(closes_after(1, 64)) as server:
        record = loadgen.run(plan(server, messages=3))
    assert record.health is not None
    assert record.health.verdict == "inconclusive"
    assert "lost" in codes(record)


def test_times_of_user_space_hold_only_where_the_generator_had_time_to_spare() -> None:
    with ScriptedServer(echoes) as server:
        record = loadgen.run(plan(server, timestamps="user", messages=100))
        check_against(record, server)
    assert record.health is not None
    [finding] = [each for each in record.health.findings if each.code == "user-space"]
    assert "as --timestamps user asks" in finding.evidence
    if record.health.verdict == "valid":
        assert record.generator.waiting_share >= generator_rules.AMPLE_WAITING


# ---- checks ---------------------------------------------------------------------------------


def test_checks_stand_in_the_record_in_their_order() -> None:
    texts = ("connections>=5", "errors<1", "errors<=0%", "service_p99<1h", " connections > 5 ")
    with ScriptedServer(echoes) as server:
        record = loadgen.run(plan(server, messages=100, checks=texts))
        check_against(record, server)
    assert [result.check for result in record.checks] == [text.strip() for text in texts]
    assert record.checks == [loadgen.check(record, text) for text in texts]
    assert record.checks[0].measured == "5"
    assert record.checks[-1].outcome in ("failed", "inconclusive")
    lines = [line.text for line in summarise(record)]
    assert all(any(text.strip() in line for line in lines) for text in texts)


def test_errors_that_came_fail_their_check_whatever_the_verdict() -> None:
    with ScriptedServer(closes_after(1, 64)) as server:
        record = loadgen.run(plan(server, messages=3, checks=("errors<1",)))
    assert record.health is not None
    assert record.health.verdict == "inconclusive"
    [result] = record.checks
    assert (result.outcome, result.measured) == ("failed", "5")


def test_checks_of_an_open_loop_are_of_response_time() -> None:
    texts = ("response_max<1h", "blocked_max<1h", "generator_lag_max<1h", "schedule_lag_p50<1h")
    with ScriptedServer(echoes) as server:
        record = loadgen.run(plan(server, rate=2000, messages=40, checks=texts))
    assert all(result.measured for result in record.checks)
    assert {result.outcome for result in record.checks} <= {"passed", "inconclusive"}


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("service_p99<fast", {}),
        ("service_p99", {}),
        ("servise_p99<5ms", {}),
        ("response_p99<5ms", {}),
        ("blocked_max<5ms", {"think": "5ms"}),
        ("service_p99<5ms", {"reply": "none"}),
    ],
)
def test_a_check_that_no_run_could_answer_is_refused_before_there_is_a_connection(
    text: str, fields: dict[str, Any]
) -> None:
    made: list[int] = []

    def note(family: int, kind: int) -> Any:
        made.append(family)
        return socket.socket(family, kind)

    with ScriptedServer(echoes) as server, pytest.raises(loadgen.UsageError, match=r"^--check: "):
        loadgen.run(
            plan(server, checks=("errors<1", text), **fields),
            loadgen.Surroundings(socket_factory=note),
        )
    assert (made, server.accepted) == ([], 0)
