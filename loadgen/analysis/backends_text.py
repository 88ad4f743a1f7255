"""The comparison of backends, as a table for people."""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from loadgen.analysis import engine_text
from loadgen.analysis.backends import (
    BackendRow,
    BackendsRecord,
    Grid,
    Spread,
)
from loadgen.analysis.lines import Line, Style, aligned, wrapped
from loadgen.net.failure import Failure
from loadgen.plan import Plan
from loadgen.units import format_count, format_duration_ns, format_duration_s, format_rate

_COLUMNS: Final = (
    *("", "messages/s", "of best", "service p50", "service p99", "CPU/message", "growth"),
    "verdict",
)
_SIDES: Final = "<>>>>>><"
_LEAST_WIDTHS: Final = (10, 14, 7, 14, 14, 14, 6, 0)
_REMARK_INDENT: Final = 4


def announcement(grid: Grid, plan: Plan, runnable: int) -> Iterator[Line]:
    """Yield what is going to be run, and how long that takes.

    runnable: how many of the backends this platform has.
    """
    backends, counts = grid.backends, grid.connections
    each = f"{format_count(plan.messages or 0)} messages per connection"
    about = ""
    if plan.duration_s is not None:
        at_most = "at most " if plan.messages is not None else ""
        each = f"{at_most}{format_duration_s(plan.duration_s)}"
        runs = grid.rounds * len(counts) * runnable
        about = f": {at_most}{_about((plan.warmup_s + plan.duration_s) * runs)}" if runs else ""
    words = (
        backends[0] if len(backends) == 1 else f"{len(backends)} backends",
        _several(counts[0], "connection")
        if len(counts) == 1
        else f"{len(counts)} numbers of connections",
        f"{_several(grid.rounds, 'round')} of {each}",
    )
    yield Line(f"  {', '.join(words)}{about}", "faint")
    if plan.rate_per_connection is not None and len(counts) > 1:
        first = _several(counts[0], "connection")
        yield Line(f"  (that rate is of {first}, and grows with their number)", "faint")
    if len(counts) == 1:
        yield Line("  (-c 10,100,1000 shows how the cost grows with the connections)", "faint")


def round_line(grid: Grid, number: int) -> Line:
    """Return which round begins, and in which order the backends run in it."""
    names = list(dict.fromkeys(backend for backend, _ in grid.order(number)))
    return Line(f"  round {number} of {grid.rounds}: {', '.join(names)}", "faint")


def table(record: BackendsRecord) -> Iterator[Line]:
    """Yield a block of rows for each number of connections, what was refused, and notes."""
    shown = [row for row in record.rows if row.rounds]
    if record.is_interrupted:
        so_far = "; until then:" if shown else " before a run was over"
        yield Line(f"interrupted{so_far}", "bad")
    if shown:
        yield from _in_columns(list(_blocks(shown, record.grid)))
    yield from _refused(record.rows)
    if shown:
        yield Line("")
        yield from _notes(record, shown)


class _Cells(NamedTuple):
    """A row of the table, before it is known how wide its columns are."""

    cells: tuple[str, ...]
    style: Style


def _in_columns(entries: list[_Cells | Line]) -> Iterator[Line]:
    """Yield ``entries`` with the cells of all rows in columns."""
    rows = [entry.cells for entry in entries if isinstance(entry, _Cells)]
    lines = iter(aligned(rows, _SIDES, _LEAST_WIDTHS))
    for entry in entries:
        yield Line(f"  {next(lines)}", entry.style) if isinstance(entry, _Cells) else entry


def _blocks(shown: list[BackendRow], grid: Grid) -> Iterator[_Cells | Line]:
    """Yield the names of the columns, and a block of rows for each number of connections."""
    yield _Cells(_COLUMNS, "faint")
    for count in grid.connections:
        block = [row for row in shown if row.connections == count]
        if block:
            yield Line(f"  {_several(count, 'connection')}", "heading")
        for row in block:
            yield from _row(row, grid.rounds)


# ---- a row --------------------------------------------------------------------------------


def _row(row: BackendRow, rounds: int) -> Iterator[_Cells | Line]:
    """Yield the medians of a row, below them the lowest and the highest, and what went wrong."""
    figures: tuple[tuple[Spread | None, Callable[[float], str]], ...] = (
        (row.messages_per_s, _number),
        (row.service_p50_ns, format_duration_ns),
        (row.service_p99_ns, format_duration_ns),
        (row.cpu_per_message_ns, format_duration_ns),
    )
    rate, p50, p99, cpu = (
        "-" if figure is None else in_words(figure.median) for figure, in_words in figures
    )
    share = "-" if row.rate_share is None else f"{100 * row.rate_share:.0f} %"
    growth = "-" if row.cpu_growth is None else f"{row.cpu_growth:.2f}"
    remarks = list(_remarks(row))
    style: Style = "bad" if remarks else "plain"
    fewer = f", {row.rounds} of {_several(rounds, 'round')}" if row.rounds < rounds else ""
    verdict = _verdict(row) + fewer
    yield _Cells((row.backend, rate, share, p50, p99, cpu, growth, verdict), style)
    if row.messages_per_s is not None and len(row.runs) > 1:
        rate, p50, p99, cpu = (
            "" if figure is None else _from_to(figure, in_words) for figure, in_words in figures
        )
        yield _Cells(("", rate, "", p50, p99, cpu, "", ""), "faint")
    for remark in remarks:
        yield from wrapped(remark, _REMARK_INDENT, "bad")


def _verdict(row: BackendRow) -> str:
    """Return the most severe verdict, with how many of the rounds have it unless all do."""
    if row.verdict is None:
        return "-"
    count = sum(run.verdict == row.verdict for run in row.runs)
    return row.verdict + (f" {count}/{row.rounds}" if count < row.rounds else "")


def _remarks(row: BackendRow) -> Iterator[str]:
    """Yield what went wrong in some of the rounds, or in all."""
    made = _several(row.rounds, "round")
    if row.refused:
        yield f"then refused: {row.refused}"
    if row.unreachable:
        reasons = "; ".join(dict.fromkeys(each.reason for each in row.unreachable))
        yield f"{len(row.unreachable)} of {made} unreachable: {reasons}"
    doubtful = [run for run in row.runs if run.verdict == "inconclusive"]
    if doubtful:
        evidence = "; ".join(dict.fromkeys(run.evidence for run in doubtful))
        yield f"{len(doubtful)} of {made} inconclusive: {evidence}"
    failures: dict[str, int] = {}
    for run in row.runs:
        for seen in run.failures:
            kind = str(Failure(seen.phase, seen.cause))
            failures[kind] = failures.get(kind, 0) + seen.count
    if failures:
        kinds = "; ".join(f"{kind}: {format_count(count)}" for kind, count in failures.items())
        yield f"failures in all rounds together: {kinds}"


# ---- below the rows -----------------------------------------------------------------------


def _refused(rows: list[BackendRow]) -> Iterator[Line]:
    """Yield what this machine refused, each reason once."""
    reasons = dict.fromkeys(row.refused for row in rows if row.refused and not row.rounds)
    for reason in reasons:
        counts: dict[str, list[str]] = {}
        for row in rows:
            if row.refused == reason:
                counts.setdefault(row.backend, []).append(format_count(row.connections))
        pairs = "; ".join(f"{name} with {', '.join(each)}" for name, each in counts.items())
        yield from wrapped(f"refused: {pairs} connections", style="bad")
        yield from wrapped(reason, _REMARK_INDENT)


def _notes(record: BackendsRecord, shown: list[BackendRow]) -> Iterator[Line]:
    """Yield what the columns mean, and what they do not show."""
    runs = [run for row in shown for run in row.runs]
    if any(run.timestamps == "user" for run in runs):
        yield Line("  times are user-space: they contain this process's own queue", "bad")
    yield from engine_text.notes(runs)
    notes = []
    if record.grid.rounds > 1:
        notes.append(
            "medians of the rounds; below them the lowest and the highest: where these overlap, no "
            "difference was measured"
        )
    notes.append(
        "CPU: user and system time of this process; growth: over that of the same backend with the "
        "fewest connections"
    )
    if any(row.verdict == "generator-bound" for row in shown):
        notes.append(
            "generator-bound: this process was the limit; its rate is what the backend allows, "
            "not what the server can do"
        )
    if any(row.verdict in ("valid", "busy", "server-bound") for row in shown):
        notes.append(
            "other verdicts: the server, or the load asked for, set the rate; CPU per message "
            "tells the backends apart"
        )
    for note in notes:
        yield from wrapped(f"({note})", style="faint")


# ---- words --------------------------------------------------------------------------------


def _number(per_s: float) -> str:
    return format_rate(per_s).removesuffix("/s")


def _from_to(figure: Spread, in_words: Callable[[float], str]) -> str:
    """Return the lowest and the highest, with the unit once if they share it."""
    lowest, highest = in_words(figure.lowest), in_words(figure.highest)
    if lowest == highest:
        return lowest
    number, space, unit = lowest.rpartition(" ")
    shared = space and highest.endswith(f" {unit}")
    return f"{number if shared else lowest}\N{EN DASH}{highest}"


def _several(number: int, noun: str) -> str:
    return f"{format_count(number)} {noun}{'s' if number != 1 else ''}"


def _about(seconds: float) -> str:
    """Return a duration, rounded: about 20 s, about a minute, about 5 minutes."""
    if seconds < 45:
        return f"about {max(1, round(seconds))} s"
    minutes = max(1, round(seconds / 60))
    return "about a minute" if minutes == 1 else f"about {format_count(minutes)} minutes"
