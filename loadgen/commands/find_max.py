"""``loadgen --find-max``: the highest rate that keeps a promise."""

import argparse
from typing import Final, TextIO

import msgspec

from loadgen import checks, curve, payload
from loadgen.errors import UsageError
from loadgen.find_max import (
    SHORTEST_STEP_S,
    LoadStep,
    MaxRecord,
    Measure,
    Search,
    check_plan,
    check_promise,
    plan_of_step,
)
from loadgen.plan import Plan
from loadgen.record import RunRecord
from loadgen.runner import run
from loadgen.summary_times import Line
from loadgen.surroundings import Surroundings
from loadgen.terminal import print_lines

_OPTION: Final = "--find-max"


def search(
    plan: Plan, chosen: argparse.Namespace, surroundings: Surroundings, for_people: TextIO
) -> MaxRecord:
    """Search, with a line on ``for_people`` for each step. Raises UsageError."""
    promise = checks.parse_all(chosen.find_max, _OPTION)
    for option, path in (
        ("--connections-csv", chosen.connections_csv),
        ("--hdr-log", chosen.hdr_log),
        ("--report", chosen.report),
    ):
        if path is not None:
            raise UsageError(f"--find-max keeps the figures of its steps only; leave out {option}")
    check_promise(promise)
    if chosen.strict:
        raise UsageError("--find-max judges each step by itself; leave out --strict")
    if plan.checks:
        raise UsageError("--find-max has conditions of its own; leave out --check")
    shortest_s = SHORTEST_STEP_S if chosen.duration_s is None else chosen.duration_s
    looking = Search(promise, check_plan(plan), shortest_s, plan.timestamp_sample)
    print_lines(curve.heading(chosen.find_max), for_people)

    def show(step: LoadStep) -> None:
        print_lines([curve.step_line(step)], for_people)
        for_people.flush()

    looking.run(_measuring(plan, surroundings), surroundings.should_stop, show)
    record = MaxRecord(
        promise=[check.text for check in promise],
        plan=plan,
        target=plan.target,
        found_per_s=looking.found_per_s,
        limited_by=looking.limited_by,
        steps=looking.steps,
    )
    if surroundings.should_stop():
        print_lines([Line("the search was interrupted; until then:", "bad")], for_people)
    print_lines([Line(""), *curve.conclusion(record)], for_people)
    return record


def _measuring(plan: Plan, surroundings: Surroundings) -> Measure:
    items = payload.load(plan.payloads).items  # once: standard input can be read only once
    loaded = msgspec.structs.replace(plan, payloads=items)

    def measure(rate_per_s: float, duration_s: float) -> RunRecord:
        return run(plan_of_step(loaded, rate_per_s, duration_s), surroundings)

    return measure
