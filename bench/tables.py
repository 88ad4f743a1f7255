"""How figures are printed: medians with their spread, in tables, and beside the aims."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Judgement:
    """An aim, in words, and what was found."""

    aim: str
    found: str
    is_met: bool


def at_least(what: str, aim: float, values: Sequence[float]) -> Judgement:
    """Judge whether the median of ``values`` reaches ``aim``."""
    text = f"{what}: at least {aim:g}"
    return Judgement(text, spread(values), statistics.median(values) >= aim)


def at_most(
    what: str, aim: float, values: Sequence[float], unit: str, digits: int = 2
) -> Judgement:
    """Judge whether the median of ``values`` stays within ``aim``."""
    text = f"{what}: at most {aim:g} {unit}"
    return Judgement(text, spread(values, digits), statistics.median(values) <= aim)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the median, and in brackets the lowest and the highest."""
    median = statistics.median(values)
    return f"{median:,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def aims_table(judgements: Sequence[Judgement], is_markdown: bool) -> list[str]:
    """Return each aim beside what was found."""
    rows = [(one.aim, one.found if one.is_met else f"{one.found}: MISSED") for one in judgements]
    return formatted(("aim", "found"), rows, is_markdown)


def formatted(
    columns: Sequence[str], rows: Sequence[Sequence[str]], is_markdown: bool
) -> list[str]:
    """Return the lines of a table, after an empty one."""
    if is_markdown:
        lines = [columns, ["---"] * len(columns), *rows]
        return ["", *(f"| {' | '.join(cells)} |" for cells in lines)]
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    return [
        "",
        *(
            "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
            for cells in (columns, *rows)
        ),
    ]
