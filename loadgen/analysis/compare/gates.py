"""Gates: how much worse a figure may become, such as ``p99>5%``, and their outcomes.

A gate fails only where the change is larger than it allows and its interval excludes no change. It
passes where the interval excludes more than it allows. Otherwise it is inconclusive.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from loadgen.errors import UsageError
from loadgen.units import NUMBER

GATE_FORM: Final = (
    "write FIGURE>PERCENT, by how much it may be worse, such as p99>5%, messages_per_s>5% or "
    "errors>0.1%"
)

Word = Literal["slower", "faster", "same", "inconclusive"]
Unit = Literal["ns", "per_s", "share"]
GateOutcome = Literal["passed", "failed", "inconclusive"]

_GATE: Final = re.compile(r"(\S.*?)\s*>\s*" + NUMBER + r"\s*%")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """How one figure has changed.

    base, head: its medians, in ``unit``: nanoseconds, per second, or a share from 0 to 1, of which
    they are the means.
    ratio: head over base; of shares, null.
    worse: by how much head is worse: 0.1 is a time that is 10 % longer, or a rate that is 10 %
    lower; of shares the difference. Negative is better.
    worse_low, worse_high: its interval; null where there is none.
    rounds_needed: about how many of each side would make the interval conclusive; null if it is, or
    if they would be too many.
    why: why it is inconclusive, if the interval does not show that.
    """

    figure: str
    title: str
    unit: Unit
    base: float
    head: float
    ratio: float | None
    worse: float | None
    worse_low: float | None
    worse_high: float | None
    word: Word
    rounds_needed: int | None = None
    why: str = ""


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one gate for one figure."""

    gate: str
    figure: str
    outcome: GateOutcome
    reason: str


@dataclass(frozen=True)
class Gate:
    """How much worse a figure may be: ``limit`` 0.05 is 5 %. ``text`` is what the user wrote."""

    text: str
    figure: str
    limit: float


def parse(text: str, option: str = "--fail-on") -> Gate:
    """Return the gate that ``text`` means. Raises UsageError, which names ``option``."""
    match = _GATE.fullmatch(text.strip())
    if match is None:
        raise UsageError.of(option, text, GATE_FORM)
    return Gate(text, match[1], float(match[2]) / 100)


def figures_of(
    gate: Gate, aliases: Mapping[str, tuple[str, ...]], known: set[str]
) -> tuple[str, ...]:
    """Return the figures that ``gate`` is about, of those ``known``. Raises UsageError."""
    meant = tuple(name for name in aliases.get(gate.figure, (gate.figure,)) if name in known)
    if meant:
        return meant
    if gate.figure in aliases:
        absent = " or ".join(aliases[gate.figure]) or "of all figures"
        raise UsageError(
            f"--fail-on {gate.text}: {gate.figure} is {absent}, which no round here has (figures "
            f"are {', '.join(sorted(known))})"
        )
    names = sorted({*known, *aliases})
    close = difflib.get_close_matches(gate.figure, names, n=1, cutoff=0.4)
    suggestion = f"; did you mean {close[0]}?" if close else ""
    raise UsageError(
        f"--fail-on {gate.text}: no figure here is called {gate.figure}{suggestion} "
        f"(figures are {', '.join(names)})"
    )


def judge(gate: Gate, name: str, change: Change | None, missing: Mapping[str, str]) -> GateResult:
    """Return the outcome of ``gate``; if there is no ``change``, ``missing`` says why."""
    outcome: GateOutcome = "inconclusive"
    if change is None:
        return GateResult(gate=gate.text, figure=name, outcome=outcome, reason=missing[name])
    low, high = change.worse_low, change.worse_high
    if change.worse is None or low is None or high is None:
        reason = change.why
    else:
        if change.worse > gate.limit and low > 0:
            outcome = "failed"
        elif high <= gate.limit:
            outcome = "passed"
        reason = f"{change.title} is {in_words(change)}"
    return GateResult(gate=gate.text, figure=name, outcome=outcome, reason=reason)


def in_words(change: Change) -> str:
    """Return how much worse or better a figure is, with the interval, in words."""
    if change.worse is None or change.worse_low is None or change.worse_high is None:
        return change.why
    if change.worse == change.worse_low == change.worse_high == 0:
        return "what it was in every round"
    word = "better" if change.worse < 0 else "worse"
    size = amount(change.unit, abs(change.worse)).removeprefix("+")
    low, high = amount(change.unit, change.worse_low), amount(change.unit, change.worse_high)
    return f"{size} {word} (worse by {low} to {high})"


def amount(unit: Unit, change: float) -> str:
    """Return a change in words: ``+9.8 %``, and of a share ``+9.8 points`` (percentage points)."""
    if unit == "share":
        return f"{100 * change:+.3g} points" if change else "0 points"
    return f"{100 * change:+.1f} %"
