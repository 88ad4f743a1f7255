"""The rounds of one side of a comparison: their figures, and what both sides must share.

A round is one run of a process: a RunRecord, or one file of pytest-benchmark. Measurements within
one run do not show how much the next run differs.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from loadgen.analysis.compare.gates import Unit
from loadgen.results.histogram import PRECISION_BITS

Values = Sequence[float | None]
"""A value for each round; None for one that was left out."""

_RESOLUTION: Final = 2.0 ** -(PRECISION_BITS + 1)
"""Of logarithms: half a bucket of a histogram. No value is taken to be known better."""

_LONGEST_VALUE: Final = 60


@dataclass(frozen=True)
class Kind:
    """A figure that is compared: its title for people, and its unit.

    For times and shares more is worse, for rates less. A share may be 0: shares are compared by
    their difference, all else by the ratio. Rare events count in a share, so that its middle is the
    mean; elsewhere it is the median.
    """

    title: str
    unit: Unit = "ns"

    @property
    def is_share(self) -> bool:
        """Whether values run from 0 to 1."""
        return self.unit == "share"

    @property
    def middle(self) -> Callable[..., Any]:
        """What stands for several values: `numpy.mean` or `numpy.median`."""
        return np.mean if self.is_share else np.median

    @property
    def resolution(self) -> float:
        """The resolution of scaled values. Shares are of counts, and exact."""
        return 0.0 if self.is_share else _RESOLUTION

    def can_scale(self, values: Iterable[float]) -> bool:
        """Return whether ``scaled`` takes all ``values``."""
        return self.is_share or all(value > 0 for value in values)

    def scaled(self, values: Iterable[float]) -> list[float]:
        """Return ``values`` on the scale on which they are subtracted: logarithms, or shares."""
        return list(values) if self.is_share else list(map(math.log, values))

    def worse(self, difference: float) -> float:
        """Return by how much a ``difference`` of scaled values is worse: 0.1 is 10 %."""
        if self.is_share:
            return difference
        return -math.expm1(difference) if self.unit == "per_s" else math.expm1(difference)


@dataclass(frozen=True)
class Rounds:
    """One side of a comparison.

    taken_at: when each round began, as text that sorts by time.
    figures: a value for each round, by the name that ``--fail-on`` uses, in the order of time, of
        which one at least is known; kinds: what each is; missing: why others are missing.
        aliases: names for some of them.
    facts: what the other side must share, by the name that a user knows; each with the values
        that occur. remarks: notes for readers of the comparison.
    """

    label: str
    taken_at: tuple[str, ...]
    kinds: Mapping[str, Kind]
    figures: Mapping[str, Values]
    missing: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    facts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def facts(of_rounds: Iterable[Mapping[str, object]]) -> dict[str, frozenset[str]]:
    """Return the values of each fact in ``of_rounds``."""
    found: dict[str, set[str]] = {}
    for each in of_rounds:
        for name, value in each.items():
            found.setdefault(name, set()).add(str(value))
    return {name: frozenset(values) for name, values in found.items()}


def unlike(base: Rounds, head: Rounds) -> list[str]:
    """Return the facts in which the rounds of both differ, each with its values, in words."""
    found = []
    for name in {**base.facts, **head.facts}:
        before, after = base.facts.get(name, frozenset()), head.facts.get(name, frozenset())
        if len(before | after) > 1:
            found.append(f"{name}: {_either(before)} and {_either(after)}")
    return found


def are_pairs(base: Rounds, head: Rounds) -> bool:
    """Return whether the rounds were taken in turn, so that each has a neighbour on the other side.

    That is so if, in the order of time, each two in a row are one of each side.
    """
    if len(base.taken_at) != len(head.taken_at):
        return False
    times = [(at, "base") for at in base.taken_at] + [(at, "head") for at in head.taken_at]
    sides = [side for _, side in sorted(times)]
    return all(one != other for one, other in zip(sides[::2], sides[1::2], strict=True))


def _either(values: frozenset[str]) -> str:
    return " or ".join(_shortened(value) for value in sorted(values)) or "nothing"


def _shortened(value: str) -> str:
    return value if len(value) <= _LONGEST_VALUE else f"{value[: _LONGEST_VALUE - 1]}…"
