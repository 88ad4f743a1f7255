"""The comparison of two sides, with noise taken into account: slower, faster, same, inconclusive.

Facts. The same program on the same machine runs at rates that differ by a few percent from one run
to the next, by half where the machine is shared. A threshold on one number fails at random.

Danger. Of many figures, one differs by chance: at 95 % each, 1 in 20. And "not shown to be slower"
is not "the same": few rounds can show nothing at all.

Decision. For each figure: the ratio of the medians, or where the rounds were taken in turn the
median of the ratios of neighbours, with a bootstrap interval on the logarithm
(`loadgen.analysis.compare.bootstrap`); for shares the difference of the means. The level of each
interval is such that all together contain the true values at the level asked for (O. J. Dunn,
"Multiple Comparisons Among Means", Journal of the American Statistical Association 56, 1961). The
result is

same: the whole interval is within the margin;
slower, faster: the interval excludes no change;
inconclusive: neither, or there are fewer than two rounds of each.
"""

import math
from dataclasses import dataclass
from typing import Final

import msgspec

from loadgen.analysis.compare.bootstrap import (
    ConfidenceInterval,
    Method,
    of_groups,
    of_pairs,
)
from loadgen.analysis.compare.gates import (
    Change,
    Gate,
    GateResult,
    Word,
    figures_of,
    judge,
)
from loadgen.analysis.compare.rounds import (
    Kind,
    Rounds,
    Values,
    are_pairs,
    unlike,
)
from loadgen.errors import UsageError
from loadgen.files.encoded import as_indented_json

SCHEMA: Final = "loadgen.comparison/1"
DEFAULT_LEVEL: Final = 0.95
DEFAULT_MARGIN: Final = 0.05
SHARE_MARGIN: Final = 0.001
"""Shares that differ by less, such as one error in a thousand messages, are the same."""

_NOTHING_LEFT: Final = ConfidenceInterval(-math.inf, -math.inf, -math.inf, 0.0, 2)
"""Of the logarithm of a rate that was above 0 in all rounds of base, and is 0 in all of head."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True, tag_field="schema", tag=SCHEMA):
    """Two sides compared. The first, ``base``, is what the second, ``head``, is measured against.

    rounds: of base and head, including those left out of figures. in_turn: whether neighbours were
    compared. level: how often all intervals together contain the true values. margin: what counts
    as the same.
    missing: figures that could not be compared, and why.
    unlike: what the two do not have in common.
    """

    base: str
    head: str
    rounds: tuple[int, int]
    in_turn: bool
    level: float
    margin: float
    changes: list[Change]
    missing: dict[str, str]
    gates: list[GateResult]
    unlike: list[str]
    remarks: list[str]

    def to_json(self) -> bytes:
        """Return the comparison as indented JSON."""
        return as_indented_json(self)


@dataclass(frozen=True)
class Terms:
    """How two sides are compared, and whether they may be unlike."""

    gates: tuple[Gate, ...] = ()
    level: float = DEFAULT_LEVEL
    margin: float = DEFAULT_MARGIN
    also_unlike: bool = False


def compare(base: Rounds, head: Rounds, terms: Terms | None = None) -> Comparison:
    """Return how ``head`` differs from ``base``.

    Raises UsageError if they are unlike, have no figure in common, or lack the figure of a gate.
    """
    terms = terms or Terms()
    differences = unlike(base, head)
    if differences and not terms.also_unlike:
        raise UsageError(
            f"{base.label} and {head.label} are not alike, so that a change would mean nothing; "
            f"{'; '.join(differences)} (--force compares them all the same)"
        )
    names = [name for name in base.figures if name in head.figures]
    if not names:
        raise UsageError(f"{base.label} and {head.label} have no figure in common")
    aim = _Aim(terms.margin, 1 - (1 - terms.level) / len(names), are_pairs(base, head))
    changes = {name: _change(name, base, head, aim) for name in names}
    missing = _missing(base, head)
    return Comparison(
        base=base.label,
        head=head.label,
        rounds=(len(base.taken_at), len(head.taken_at)),
        in_turn=aim.in_turn,
        level=terms.level,
        margin=terms.margin,
        changes=list(changes.values()),
        missing=missing,
        gates=[
            judge(gate, name, changes.get(name), missing)
            for gate in terms.gates
            for name in figures_of(gate, base.aliases, {*changes, *missing})
        ],
        unlike=differences,
        remarks=[
            *(f"A: {remark}" for remark in base.remarks),
            *(f"B: {remark}" for remark in head.remarks),
        ],
    )


# ---- one figure ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Aim:
    """The margin and the level of one interval, and whether it is of pairs."""

    margin: float
    level: float
    in_turn: bool


def _change(name: str, base: Rounds, head: Rounds, aim: _Aim) -> Change:
    kind, before, after = base.kinds[name], base.figures[name], head.figures[name]
    margin = SHARE_MARGIN if kind.is_share else aim.margin
    interval, why = _interval(kind, before, after, aim)
    word = "inconclusive" if interval is None else _word(kind, interval, margin)
    ends = [] if interval is None else sorted(map(kind.worse, (interval.low, interval.high)))
    needed = None
    if interval is not None and word == "inconclusive":
        scaled_margin = margin if kind.is_share else math.log1p(margin)
        needed = interval.rounds_to_tell(scaled_margin, aim.level)
    return Change(
        figure=name,
        title=kind.title,
        unit=kind.unit,
        base=float(kind.middle(_known(before))),
        head=float(kind.middle(_known(after))),
        ratio=None if kind.is_share or interval is None else math.exp(interval.estimate),
        worse=None if interval is None else kind.worse(interval.estimate),
        worse_low=ends[0] if ends else None,
        worse_high=ends[1] if ends else None,
        word=word,
        rounds_needed=needed,
        why=why,
    )


def _interval(
    kind: Kind, before: Values, after: Values, aim: _Aim
) -> tuple[ConfidenceInterval | None, str]:
    """Return the interval of the scaled difference, or None and why there is none."""
    if aim.in_turn:
        pairs = zip(before, after, strict=True)
        whole = [pair for pair in pairs if pair[0] is not None and pair[1] is not None]
        before, after = [pair[0] for pair in whole], [pair[1] for pair in whole]
    base, head = _known(before), _known(after)
    if min(len(base), len(head)) < 2:
        return None, "fewer than two rounds do not show how much rounds differ"
    if kind.unit == "per_s" and all(base) and not any(head):
        return _NOTHING_LEFT, ""
    if not kind.can_scale([*base, *head]):
        return None, "0 in some rounds: there is no ratio"
    base, head = kind.scaled(base), kind.scaled(head)
    method = Method(aim.level, kind.middle, kind.resolution)
    if aim.in_turn:
        differences = [later - earlier for earlier, later in zip(base, head, strict=True)]
        return of_pairs(differences, method), ""
    return of_groups(base, head, method), ""


def _known(values: Values) -> list[float]:
    return [value for value in values if value is not None]


def _word(kind: Kind, interval: ConfidenceInterval, margin: float) -> Word:
    low, high = sorted(map(kind.worse, (interval.low, interval.high)))
    if -margin <= low and high <= margin:
        return "same"
    return "slower" if low > 0 else "faster" if high < 0 else "inconclusive"


def _missing(base: Rounds, head: Rounds) -> dict[str, str]:
    """Return the figures that are not on both sides, each with the reason."""
    missing = {**head.missing, **base.missing}
    for one, other in ((base, head), (head, base)):
        for name in one.figures.keys() - other.figures.keys():
            missing.setdefault(name, f"only in {one.label}")
    return missing
