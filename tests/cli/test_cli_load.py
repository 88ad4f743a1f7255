"""The options of the load and of its measurement: each reaches the plan; outcomes of checks."""

import re
from typing import Any

import msgspec
import pytest
from accounts import check
from command import check_refused, loadgen_here
from records import closed_loop
from servers import ScriptedServer, closes_after, echoes

import loadgen
from loadgen.cli.run_options import new_parser, plan_of
from loadgen.plan import Plan
from loadgen.results.verdict import (
    CheckOutcome,
    CheckResult,
    Health,
    Verdict,
)


def plan(*arguments: str) -> Plan:
    return plan_of(new_parser().parse_args(list(arguments)))


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ("--rate 50k", {"rate": "50k"}),
        ("--rate 0..50k/30s", {"rate": "0..50k/30s", "duration_s": 30.0}),
        ("--rate-per-conn 5", {"rate_per_connection": "5"}),
        ("--stages 10s:5k,5s:0", {"stages": "10s:5k,5s:0", "duration_s": 15.0}),
        ("--rate 5k --arrivals poisson", {"rate": "5k", "arrivals": "poisson"}),
        ("--rate 5k --open", {"rate": "5k", "unlimited": True}),
        ("--think 10ms", {"think": "10ms"}),
        ("--think exp:10ms", {"think": "exp:10ms"}),
        ("--seed 7", {"seed": 7}),
        ("--seed 0", {"seed": 0}),
        ("--pacing precise", {"pacing": "precise"}),
        ("--warmup 2s", {"warmup_s": 2.0}),
        ("--half-close", {"half_close": True}),
        (r"--expect +PONG --expect /^[+:].*\r\n$/", {"expect": ("+PONG", r"/^[+:].*\r\n$/")}),
        (r"--greeting delimiter:\n", {"greeting": r"delimiter:\n"}),
        ("--timestamps user", {"timestamps": "user"}),
        ("--timestamp-sample 10", {"timestamp_sample": 10}),
        ("--probe", {"probe": True}),
        ("--no-probe", {"probe": False}),
        ("", {"probe": None, "checks": ()}),
        (
            "--check errors<0.1% --check service_p99<=5ms",
            {"checks": ("errors<0.1%", "service_p99<=5ms")},
        ),
    ],
)
def test_an_option_reaches_the_plan(arguments: str, fields: dict[str, Any]) -> None:
    assert plan(*arguments.split()) == Plan(**fields)


def test_what_is_no_part_of_the_plan() -> None:
    chosen = new_parser().parse_args(["--strict", "--find-max", "errors<1"])
    assert (chosen.strict, chosen.find_max) == (True, "errors<1")
    chosen = new_parser().parse_args([])
    assert (chosen.strict, chosen.find_max) == (False, None)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--rate", "fast"], ["--rate:", "'fast'", "2.5k", "0..50k/30s"]),
        (["--rate", "-5"], ["--rate:", "'-5'", "2.5k"]),
        (["--rate", "0"], ["--rate:", "'0'", "above 0"]),
        (["--rate-per-conn", "fast"], ["--rate-per-conn:", "'fast'", "2.5k"]),
        (["--rate", "5", "--rate-per-conn", "5"], ["--rate and --rate-per-conn", "give one"]),
        (["--rate", "5", "--stages", "1s:5"], ["--rate and --stages", "give one"]),
        (["--stages", "5k"], ["--stages:", "'5k'", "10s:5k"]),
        (["--arrivals", "odd", "--rate", "5"], ["--arrivals:", "'odd'", "poisson"]),
        (["--arrivals", "poisson"], ["--arrivals", "--rate"]),
        (["--open"], ["--open", "--rate"]),
        (["--think", "long"], ["--think:", "'long'", "exp:10ms"]),
        (["--think", "1ms", "--rate", "5"], ["--think", "--rate"]),
        (["--seed", "-1"], ["--seed:", "'-1'", "whole number"]),
        (["--seed", "x"], ["--seed:", "'x'", "whole number"]),
        (["--pacing", "lazy"], ["--pacing:", "'lazy'", "eco, normal, precise"]),
        (["--warmup", "long"], ["--warmup:", "'long'", "10ms"]),
        (["--warmup", "-1s"], ["--warmup:", "'-1s'", "10ms"]),
        (["--timestamps", "mine"], ["--timestamps:", "'mine'", "auto, kernel, user"]),
        (["--timestamp-sample", "0"], ["--timestamp-sample:", "0", "1 or more"]),
        (["--timestamp-sample", "x"], ["--timestamp-sample:", "'x'", "whole number"]),
        (["--probe", "--no-probe"], ["--probe", "--no-probe"]),
        (["--check", "fast"], ["--check:", "'fast'", "service_p99<=5ms"]),
        (["--check", "service_p98x<5ms"], ["--check:", "service_p98x", "did you mean"]),
        (["--check", "response_p99<5ms"], ["--check:", "response_p99<5ms", "--rate"]),
        (["--find-max", "fast"], ["--find-max:", "'fast'", "service_p99<=5ms"]),
        (["--find-max", "errors<1", "--think", "1s"], ["--find-max", "--think"]),
        (["--find-max", "errors<1", "-n", "5"], ["--find-max", "--messages"]),
        (["--find-max", "errors<1", "--stages", "1s:5"], ["--find-max", "--stages"]),
        (["--find-max", "errors<1", "--rate", "1..5/1s"], ["--rate", "'1..5/1s'", "begin with"]),
        (
            ["--find-max", "errors<1", "--rate-per-conn", "1..5/1s"],
            ["--rate-per-conn:", "'1..5/1s'", "begin with"],
        ),
        (["--find-max", "errors>5"], ["--find-max:", "'errors>5'", "<="]),
        (["--find-max", "errors<1", "--reply", "none"], ["--find-max", "--reply none"]),
        (["--find-max", "errors<1", "--check", "errors<1"], ["--find-max", "--check"]),
        (["--find-max", "errors<1", "--strict"], ["--find-max", "--strict"]),
        (["--find-max", "errors<1", "--connections-csv", "-"], ["--find-max", "-csv"]),
        (["--find-max", "messages_per_s>5"], ["--find-max:", "messages_per_s>5", "<="]),
    ],
    ids=lambda value: " ".join(value)[:40] if value[0].startswith("--") else None,
)
def test_one_line_says_what_was_wrong_before_any_socket_is_there(
    arguments: list[str], parts: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    check_refused(capfd, arguments, parts)


# ---- help ---------------------------------------------------------------------------------


def test_help_stays_within_a_hundred_columns_and_has_a_group_for_each_subject(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    code, text, _ = loadgen_here(capfd, "--help")
    assert code == 0
    assert max(map(len, text.splitlines())) <= 100
    groups = dict(re.findall(r"^(\w[^\n]*):\n((?:  .*\n)+)", text, re.MULTILINE))
    for group, options in {
        "connections (how to connect)": ("-c", "--backend", "--rounds", "--io-timeout"),
        "load (how much to send)": (
            *("--warmup", "--duration", "--pipeline", "--find-max"),
            *("--rate", "--rate-per-conn", "--stages", "--arrivals", "--open", "--think"),
            *("--pacing", "--seed"),
        ),
        "message (what to send)": ("--payload", "--size", "--first-reply", "--raw"),
        "measurement and checks (what to measure)": (
            *("--timestamps", "--timestamp-sample", "--probe", "--no-probe"),
            *("--check", "--strict", "--watch", "--watch-pid"),
        ),
    }.items():
        for option in options:
            assert re.search(rf"^  (-\w.*, )?{option}\b", groups[group], re.MULTILINE), option


# ---- exit codes ---------------------------------------------------------------------------


TOO_FEW = ("-c", "5", "-n", "10")  # replies for any verdict but inconclusive


@pytest.mark.parametrize(
    ("arguments", "code", "outcomes"),
    [
        (("--check", "connections>=5", "--check", "connections==5"), 0, ["passed", "passed"]),
        (("--check", "connections>=5", "--check", "connections<5"), 1, ["passed", "failed"]),
        (("--check", "service_max<1h"), 4, ["inconclusive"]),
        (("--check", "connections>5", "--check", "service_p99<1h"), 1, ["failed", "inconclusive"]),
        (("--strict",), 4, []),
        (("--strict", "--check", "connections==5"), 4, ["passed"]),
        (("--strict", "--check", "connections>5"), 1, ["failed"]),
        ((), 0, []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_exit_codes_of_a_real_run_too_short_to_be_believed(
    arguments: tuple[str, ...],
    code: int,
    outcomes: list[str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    with ScriptedServer(echoes) as server:
        done = loadgen_here(capfd, server.address, *TOO_FEW, *arguments, "--json", "-")
    check(done.record)  # and nothing else is on standard output
    assert done.record.health is not None
    assert done.record.health.verdict == "inconclusive"
    assert [each.outcome for each in done.record.checks] == outcomes
    assert done.code == code
    for each in done.record.checks:
        assert f"{each.check}   {each.outcome}" in done.stderr


def test_errors_that_came_break_a_check_however_short_the_run(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with ScriptedServer(closes_after(1, 64)) as server:
        done = loadgen_here(capfd, server.address, "-c", "3", "--check", "errors<1", "--strict")
    assert done.code == 1
    assert "errors<1   failed: 3" in done.stdout


def test_a_check_that_cannot_be_read_is_a_usage_error_of_the_api_too() -> None:
    with ScriptedServer(echoes) as server:
        plan = loadgen.Plan(target=server.address, checks=("service_p99<fast",))
        with pytest.raises(loadgen.UsageError, match=r"^--check: 'service_p99<fast' "):
            loadgen.run(plan)
    assert server.accepted == 0


@pytest.mark.parametrize(
    ("verdict", "outcomes", "plain", "strict"),
    [
        ("valid", [], 0, 0),
        ("busy", ["passed"], 0, 0),
        ("server-bound", ["passed"], 0, 0),
        ("generator-bound", [], 0, 4),
        ("generator-bound", ["passed", "inconclusive"], 4, 4),
        ("generator-bound", ["inconclusive", "failed"], 1, 1),
        ("inconclusive", ["passed"], 0, 4),
        ("valid", ["passed", "failed", "inconclusive"], 1, 1),
        ("valid", ["inconclusive"], 4, 4),
    ],
)
def test_exit_codes_of_every_verdict(
    verdict: Verdict,
    outcomes: list[CheckOutcome],
    plain: int,
    strict: int,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a run finds is made up here; what the command makes of it is not."""
    results = [
        CheckResult(check="errors<1", outcome=outcome, measured=None, reason="")
        for outcome in outcomes
    ]
    record = closed_loop(checks=results, health=Health(verdict=verdict, findings=[]))
    monkeypatch.setattr("loadgen.cli.run.run", lambda *_: record)
    assert loadgen_here(capfd, "127.0.0.1:1").code == plain
    assert loadgen_here(capfd, "127.0.0.1:1", "--strict").code == strict
    record = msgspec.structs.replace(record, outcome="interrupted")
    assert loadgen_here(capfd, "127.0.0.1:1", "--strict").code == 130
