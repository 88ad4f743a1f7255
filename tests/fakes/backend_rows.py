"""Backends beside each other, with runs that are made up."""

from collections.abc import Callable
from typing import Any

import msgspec
from records import HEALTHY, LONG, closed_loop, generator, plan

from loadgen.analysis import backends_text
from loadgen.analysis.backends import (
    BackendRow,
    BackendRuns,
    BackendsRecord,
    Grid,
)
from loadgen.analysis.verdict import judging
from loadgen.results.record import RunRecord

US = 1000
MS = 1_000_000
GRID = Grid(backends=("epoll", "poll"), connections=(10, 100), rounds=3)
BUSY: dict[str, Any] = {"generator": generator(polls=10_000, waiting_share=0.02)}

Made = Callable[[str, int, int], RunRecord]


def made_up(messages_per_s: float = 1000.0, cpu_s: float = 1.0, **changes: Any) -> RunRecord:
    """A run of 10 s; its times tell 10 000 messages."""
    actual = msgspec.structs.replace(
        LONG["actual"],
        messages_per_s=messages_per_s,
        cpu_user_s=cpu_s / 4,
        cpu_system_s=cpu_s * 3 / 4,
    )
    record = closed_loop(actual=actual, **changes)
    return msgspec.structs.replace(record, health=judging.judge(record))


class Runs:
    """Carries out runs: ``made`` says what comes of (backend, connections, how many before)."""

    def __init__(self, made: Made) -> None:
        self.done: list[tuple[str, int]] = []
        self.shown: list[int] = []
        self._made = made

    def measure(self, backend: str, connections: int) -> RunRecord:
        before = self.done.count((backend, connections))
        self.done.append((backend, connections))
        return self._made(backend, connections, before)

    def rows(self, grid: Grid = GRID, stop_after: int | None = None) -> list[BackendRow]:
        turns = BackendRuns(grid)
        turns.run(self.measure, lambda: len(self.done) == stop_after, self.shown.append)
        return turns.rows()


def rows_of(made: Made, grid: Grid = GRID) -> list[BackendRow]:
    return Runs(made).rows(grid)


def same(**changes: Any) -> Made:
    return lambda backend, connections, before: made_up(**changes)


def record_of(
    rows: list[BackendRow], grid: Grid = GRID, is_interrupted: bool = False
) -> BackendsRecord:
    return BackendsRecord(
        plan=plan(),
        grid=grid,
        is_interrupted=is_interrupted,
        target="10.0.0.5:9999",
        server=None,
        environment=HEALTHY.environment,
        rows=rows,
    )


def text_of(rows: list[BackendRow], **options: Any) -> str:
    return "\n".join(line.text for line in backends_text.table(record_of(rows, **options)))
