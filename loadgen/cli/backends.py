"""``loadgen --backend epoll,poll``: backends compared on the same server."""

import contextlib
from collections.abc import Callable, Iterable, Iterator

import msgspec

from loadgen._version import __version__
from loadgen.analysis import backends_text, engine_text
from loadgen.analysis.backends import BackendRuns, BackendsRecord, Grid
from loadgen.analysis.lines import Line, wrapped
from loadgen.analysis.summary import plan_in_words
from loadgen.engine import choice
from loadgen.errors import LocalLimitError, UsageError
from loadgen.net import backends
from loadgen.net.target import Target
from loadgen.plan import Plan
from loadgen.plan.payloads import PayloadQueue
from loadgen.plan.redaction import as_recorded, target_as_recorded
from loadgen.results.record import RunRecord
from loadgen.runner import environment
from loadgen.server.embedded import EmbeddedServer

CarryOut = Callable[[Plan, PayloadQueue], RunRecord]
Say = Callable[[Iterable[Line]], None]


def compare_backends(
    plan: Plan,
    grid: Grid,
    carry_out: CarryOut,
    should_stop: Callable[[], bool],
    say: Say,
) -> BackendsRecord:
    """Make the runs, and ``say`` which round begins. Raises UsageError, UnreachableError.

    If this machine cannot make any of them, the UsageError has the reasons.
    """
    queue = plan.queue()  # once: standard input can be read only once
    plans = {
        (backend, count): msgspec.structs.replace(plan, backend=backend, connections=count)
        for backend, count in grid.pairs()
    }
    turns = BackendRuns(grid)
    with contextlib.ExitStack() as cleanup:
        server = None
        if plan.target is None:
            server = cleanup.enter_context(EmbeddedServer())
        address = server.address if server else plan.target or ""
        target = target_as_recorded(plan, Target.parse(address))
        say(_heading(plan, grid, target))

        def measure(backend: str, connections: int) -> RunRecord:
            each = msgspec.structs.replace(plans[backend, connections], target=address)
            return carry_out(each, queue)

        def show(number: int) -> None:
            say([backends_text.round_line(grid, number)])

        turns.run(measure, should_stop, show)
    record = BackendsRecord(
        plan=as_recorded(plan),
        grid=grid,
        is_interrupted=should_stop(),
        target=target,
        server=server.counts_if_known() if server else None,
        environment=environment.observe(),
        rows=turns.rows(),
    )
    _check_any(record)
    return record


def table(record: BackendsRecord) -> Iterator[Line]:
    """Return the lines of the result, below those of the rounds."""
    yield Line("")
    yield from backends_text.table(record)


def _heading(plan: Plan, grid: Grid, target: str) -> Iterator[Line]:
    embedded = "" if plan.target else " (the embedded echo server; no target was named)"
    yield Line(f"loadgen {__version__}: {target}{embedded}", "heading")
    yield from wrapped(f"{plan_in_words(as_recorded(plan))}{_engine(plan, grid)}", style="faint")
    runnable = len(set(grid.backends) & set(backends.available()))
    yield from backends_text.announcement(grid, plan, runnable)


def _engine(plan: Plan, grid: Grid) -> str:
    """Return which engine all runs are going to have, in words; empty if that differs."""
    engines = set()
    for backend in grid.backends:
        with contextlib.suppress(LocalLimitError):  # it is refused in its own row
            engines.add(choice.of(msgspec.structs.replace(plan, backend=backend)).engine)
    return f", {engine_text.name(engines.pop())}" if len(engines) == 1 else ""


def _check_any(record: BackendsRecord) -> None:
    """Raise UsageError if this machine could make none of the runs."""
    if not record.is_interrupted and all(row.refused and not row.rounds for row in record.rows):
        raise UsageError("; ".join(dict.fromkeys(row.refused for row in record.rows)))
