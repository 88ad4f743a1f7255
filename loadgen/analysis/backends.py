"""Backends compared on one server: runs in turn, and figures over the rounds.

On a shared machine, two runs of the same program differ by several per cent, and the machine is
faster or slower for minutes; with one backend after the other, the difference may be that of the
machine. So in each round every backend runs once with every number of connections, and the next
round is in reverse order: drift affects all alike. Only runs that ended as planned count in the
medians, since runs in which every connection failed would distort them; the lowest and the highest
are given, too. A round has a run for each pair, so runs are few and short: they show a factor, not
a few per cent.
"""

from collections.abc import Callable, Iterable
from typing import Final, Self

import msgspec
import numpy as np

from loadgen.analysis.time_metric import TimeMetric
from loadgen.errors import LocalLimitError, UnreachableError
from loadgen.files import decoded
from loadgen.files.encoded import as_indented_json
from loadgen.plan import Plan
from loadgen.quantities import Amount, Bytes, Count, MeanNanoseconds, Moment, Seconds, Text
from loadgen.results.environment import Environment
from loadgen.results.instruments import EngineName, TimestampMode
from loadgen.results.record import FailureRecord, RunOutcome, RunRecord
from loadgen.results.verdict import SEVERITY, Verdict

SCHEMA: Final = "loadgen.backends/1"

CONNECTIONS: Final = (10, 100, 1000)
ROUNDS: Final = 3
DURATION_S: Final = 2.0

MeasureBackend = Callable[[str, int], RunRecord]
"""Carries out one run: (backend, number of connections) to its record."""


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared: backends, each with rising numbers of connections, in so many rounds."""

    backends: tuple[str, ...]
    connections: tuple[Count, ...]
    rounds: Count = ROUNDS

    def pairs(self) -> list[tuple[str, int]]:
        """Return every backend with every number of connections, by number."""
        return [(backend, count) for count in self.connections for backend in self.backends]

    def order(self, number: int) -> list[tuple[str, int]]:
        """Return the pairs in the order of round ``number``, the first of which is 1."""
        return self.pairs() if number % 2 else self.pairs()[::-1]


class BackendRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run; times in nanoseconds, null where it has too few values.

    evidence: that of the most severe finding; empty without findings.
    connections_up: how many came up, once at least.
    cpu_per_message_ns: processor time of this process, its own code and the kernel's, within the
    time of the load, over the messages answered (one way: sent) in it; null without any, and where
    it is less than `LEAST_CPU_S`.
    """

    round: Count
    started_at: Moment
    outcome: RunOutcome
    verdict: Verdict
    evidence: Text
    timestamps: TimestampMode
    connections_up: Count
    duration_s: Seconds
    messages: Count
    messages_per_s: Amount
    service_p50_ns: MeanNanoseconds | None
    service_p99_ns: MeanNanoseconds | None
    cpu_user_s: Amount
    cpu_system_s: Amount
    cpu_per_message_ns: Amount | None
    bytes_sent: Bytes
    bytes_received: Bytes
    failures: list[FailureRecord]
    engine: EngineName = "python"
    why_python: Text = ""

    @classmethod
    def of(cls, record: RunRecord, number: int) -> Self:
        """Return the figures of the run of round ``number``."""
        actual, health = record.actual, record.health
        findings = health.findings if health else []
        return cls(
            round=number,
            started_at=record.started_at,
            outcome=record.outcome,
            verdict=health.verdict if health else "inconclusive",
            evidence=findings[0].evidence if findings else "",
            timestamps=record.timestamps.mode,
            connections_up=actual.connections,
            duration_s=actual.duration_s,
            messages=actual.messages,
            messages_per_s=actual.messages_per_s,
            service_p50_ns=_known(record, 50),
            service_p99_ns=_known(record, 99),
            cpu_user_s=actual.cpu_user_s,
            cpu_system_s=actual.cpu_system_s,
            cpu_per_message_ns=actual.cpu_per_message_ns,
            bytes_sent=actual.bytes_sent,
            bytes_received=actual.bytes_received,
            failures=record.failures,
            engine=record.engine,
            why_python=record.why_python,
        )


class UnreachableRound(msgspec.Struct, frozen=True, kw_only=True):
    """A round in which no connection came up, and why."""

    round: Count
    reason: Text


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A figure over several runs."""

    median: Amount
    lowest: Amount
    highest: Amount

    @classmethod
    def over(cls, values: Iterable[float | None]) -> Self | None:
        """Return the spread of ``values``; None if there are none, or one of them is unknown."""
        listed = list(values)
        known = [value for value in listed if value is not None]
        if not known or len(known) < len(listed):
            return None
        return cls(median=float(np.median(known)), lowest=min(known), highest=max(known))


class BackendRow(msgspec.Struct, frozen=True, kw_only=True):
    """One backend with one number of connections.

    refused: why this machine cannot do it; empty if it can.
    verdict: the most severe of the runs; null without any.
    The figures are over the runs that ended as planned; null if there are none, or one of them has
    too few values.
    rate_share: the median of the messages per second, over that of the best backend with as many
    connections. cpu_growth: the median of the processor time per message, over that of the same
    backend with the fewest connections that have one.
    """

    backend: Text
    connections: Count
    refused: Text = ""
    runs: list[BackendRun] = []
    unreachable: list[UnreachableRound] = []
    verdict: Verdict | None = None
    messages_per_s: Spread | None = None
    service_p50_ns: Spread | None = None
    service_p99_ns: Spread | None = None
    cpu_per_message_ns: Spread | None = None
    rate_share: Amount | None = None
    cpu_growth: Amount | None = None

    @property
    def rounds(self) -> int:
        """How many rounds there were, those without any connection included."""
        return len(self.runs) + len(self.unreachable)

    def with_figures(self) -> "BackendRow":
        """Return the row with what follows from its runs alone."""
        whole = [run for run in self.runs if run.outcome == "completed"]
        figures = ("messages_per_s", "service_p50_ns", "service_p99_ns", "cpu_per_message_ns")
        return msgspec.structs.replace(
            self,
            verdict=min((run.verdict for run in self.runs), key=SEVERITY.index, default=None),
            **{name: Spread.over(getattr(run, name) for run in whole) for name in figures},
        )


class BackendsRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="schema", tag=SCHEMA):
    """The result of a comparison of backends.

    plan: that of every run, except its backend and its connections.
    target: what was loaded; server: the embedded server's own counts, null if that was not it.
    rows: by number of connections, each backend in the order asked for.
    """

    plan: Plan
    grid: Grid
    is_interrupted: bool
    target: Text
    server: dict[Text, Count] | None
    environment: Environment
    rows: list[BackendRow]

    def to_json(self) -> bytes:
        """Return the record as indented JSON."""
        return as_indented_json(self)


def from_json(text: bytes) -> BackendsRecord:
    """Return the record that ``text`` holds. Raises RecordError."""
    return decoded.from_json(text, BackendsRecord, f"record of the form {SCHEMA}")


class BackendRuns:
    """Makes the runs of a grid: `run` makes them, `rows` has the figures so far."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._rows = {
            pair: BackendRow(backend=pair[0], connections=pair[1]) for pair in grid.pairs()
        }

    def run(
        self, measure: MeasureBackend, should_stop: Callable[[], bool], show: Callable[[int], None]
    ) -> None:
        """Make all runs, or those until ``should_stop`` says so; ``show`` is called with each
        round.

        What this machine refuses is not tried again. Raises UnreachableError if no connection came
        up in the very first run.
        """
        for number in range(1, self._grid.rounds + 1):
            if all(row.refused for row in self._rows.values()):
                return
            show(number)
            for pair in self._grid.order(number):
                if should_stop():
                    return
                if not self._rows[pair].refused:
                    self._run_once(measure, should_stop, pair, number)

    def rows(self) -> list[BackendRow]:
        """Return a row for each pair, whether it was run or not."""
        return list(_related([row.with_figures() for row in self._rows.values()]))

    def _run_once(
        self,
        measure: MeasureBackend,
        should_stop: Callable[[], bool],
        pair: tuple[str, int],
        number: int,
    ) -> None:
        row, replace = self._rows[pair], msgspec.structs.replace
        try:
            record = measure(*pair)
        except LocalLimitError as error:
            row = replace(row, refused=str(error))
        except UnreachableError as error:
            if not any(each.rounds for each in self._rows.values()):
                raise
            missed = UnreachableRound(round=number, reason=str(error))
            row = replace(row, unreachable=[*row.unreachable, missed])
        else:
            if should_stop():
                return  # the run was cut short, and means nothing
            row = replace(row, runs=[*row.runs, BackendRun.of(record, number)])
        self._rows[pair] = row


def _related(rows: list[BackendRow]) -> Iterable[BackendRow]:
    """Yield ``rows``, by number of connections, with the figures relative to other rows."""
    best_per_s: dict[int, float] = {}
    first_cpu_ns: dict[str, float] = {}
    for row in rows:
        if row.messages_per_s is not None:
            best = best_per_s.get(row.connections, 0.0)
            best_per_s[row.connections] = max(best, row.messages_per_s.median)
        if row.cpu_per_message_ns is not None:
            first_cpu_ns.setdefault(row.backend, row.cpu_per_message_ns.median)
    for row in rows:
        yield msgspec.structs.replace(
            row,
            rate_share=_ratio(row.messages_per_s, best_per_s.get(row.connections)),
            cpu_growth=_ratio(row.cpu_per_message_ns, first_cpu_ns.get(row.backend)),
        )


def _ratio(figure: Spread | None, base: float | None) -> float | None:
    return figure.median / base if figure is not None and base else None


def _known(record: RunRecord, percent: float) -> float | None:
    """Return that percentile of service time; None if it is not known."""
    figure = TimeMetric("service", percent)
    return None if figure.why_missing(record) else figure.measure(record)
