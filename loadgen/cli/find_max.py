"""``loadgen --find-max``: the highest rate at which the conditions hold."""

import argparse
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from loadgen.analysis import checks, max_rate_text
from loadgen.analysis.lines import Line
from loadgen.analysis.max_rate import (
    SHORTEST_STEP_S,
    LoadStep,
    MaxRecord,
    MeasureRate,
    Search,
    check_plan,
    check_promise,
    plan_of_step,
)
from loadgen.engine import choice
from loadgen.errors import UsageError
from loadgen.plan import Plan
from loadgen.plan.redaction import as_recorded
from loadgen.results.record import RunRecord
from loadgen.runner.run import run
from loadgen.runner.surroundings import Surroundings

Say = Callable[[Iterable[Line]], None]
_OPTION: Final = "--find-max"


def search(
    plan: Plan, chosen: argparse.Namespace, surroundings: Surroundings, say: Say
) -> MaxRecord:
    """Search, and ``say`` a line for each step. Raises UsageError, LocalLimitError."""
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
    engine = choice.of(plan, surroundings.stand_in).engine
    say(max_rate_text.heading(chosen.find_max, engine))

    def show(step: LoadStep) -> None:
        say([max_rate_text.step_line(step)])

    looking.run(_measuring(plan, surroundings), surroundings.should_stop, show)
    return MaxRecord(
        promise=[check.text for check in promise],
        plan=as_recorded(plan),
        target=as_recorded(plan).target,
        found_per_s=looking.found_per_s,
        limited_by=looking.limited_by,
        steps=looking.steps,
    )


def conclusion(record: MaxRecord, is_interrupted: bool) -> Iterator[Line]:
    """Return the lines of the result, below those of the steps."""
    if is_interrupted:
        yield Line("the search was interrupted; until then:", "bad")
    yield Line("")
    yield from max_rate_text.conclusion(record)


def _measuring(plan: Plan, surroundings: Surroundings) -> MeasureRate:
    queue = plan.queue()  # once: standard input can be read only once

    def measure(rate_per_s: float, duration_s: float) -> RunRecord:
        return run(plan_of_step(plan, rate_per_s, duration_s), surroundings, queue)

    return measure
