"""Sides of a comparison, made by hand."""

from collections.abc import Sequence
from typing import Any, Final

from loadgen.analysis.compare.rounds import Kind, Rounds, Values

TIME: Final = Kind("a time")
RATE: Final = Kind("a rate", "per_s")
SHARE: Final = Kind("a share", "share")

STEADY: Final = (100.0, 101.0, 99.0, 100.5, 99.5)


def in_turn(count: int, is_head: bool) -> tuple[str, ...]:
    """Return the moments of rounds that are taken A B B A A B and so on."""
    places = (4 * (number // 2) + 3 * (number % 2) for number in range(count))
    if is_head:
        places = (4 * (number // 2) + 1 + number % 2 for number in range(count))
    return tuple(f"2026-01-01T12:{place:02}" for place in places)


def side(values: Values, kind: Kind = TIME, *, head: bool = False, **changes: Any) -> Rounds:
    """Return a side with one figure, called ``figure``."""
    fields: dict[str, Any] = {
        "label": "head" if head else "base",
        "taken_at": in_turn(len(values), head),
        "kinds": {"figure": kind},
        "figures": {"figure": tuple(values)},
        **changes,
    }
    return Rounds(**fields)


def times(values: Sequence[float], factor: float) -> list[float]:
    """Return ``values``, each times ``factor``."""
    return [value * factor for value in values]
