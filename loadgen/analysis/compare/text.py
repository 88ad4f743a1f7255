"""A comparison for people: as lines for a terminal, and as Markdown for a pull request."""

import re
from collections.abc import Callable, Iterator
from typing import Final

from loadgen.analysis.compare.comparison import SHARE_MARGIN, Comparison
from loadgen.analysis.compare.gates import (
    Change,
    GateOutcome,
    Unit,
    Word,
    amount,
)
from loadgen.analysis.lines import Line, Style, aligned, wrapped
from loadgen.text import as_line, readable
from loadgen.units import format_duration_ns, format_rate, format_share

_STYLES: Final[dict[Word, Style]] = {
    "slower": "bad",
    "faster": "good",
    "same": "plain",
    "inconclusive": "faint",
}
_GATE_WORDS: Final[dict[GateOutcome, tuple[str, Style]]] = {
    "failed": ("FAILED", "bad"),
    "inconclusive": ("undecided", "bad"),
    "passed": ("passed", "good"),
}
_SIGNS: Final[dict[Word, str]] = {
    "slower": "🔴 slower",
    "faster": "🟢 faster",
    "same": "same",
    "inconclusive": "inconclusive",
}
_WRITERS: Final[dict[Unit, Callable[[float], str]]] = {
    "ns": format_duration_ns,
    "per_s": format_rate,
    "share": format_share,
}
_APART: Final = "&#8203;"
_MARKED: Final = {
    **{each: f"\\{each}" for each in r"\`*_[]|~"},
    **{each: f"{each}{_APART}" for each in "@#"},
    "&": "&amp;",
    "<": "&lt;",
    "$": "<span>$</span>",
}
_IN_ADDRESSES: Final = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)", re.IGNORECASE)
HEADINGS: Final = ("", "A", "B", "B is worse by", "interval", "")
_SIDES: Final = "<>>>><"


def lines(comparison: Comparison) -> Iterator[Line]:
    """Yield the comparison for a terminal."""
    yield Line(f"A is {comparison.base}", "heading")
    yield Line(f"B is {comparison.head}", "heading")
    yield from wrapped(rounds_in_words(comparison), style="faint")
    for each in comparison.unlike:
        yield from wrapped(f"not alike: {each}", style="bad")
    yield Line("")
    heading, *rows = aligned([HEADINGS, *map(cells, comparison.changes)], _SIDES)
    yield Line(f"  {heading}", "faint")
    for change, row in zip(comparison.changes, rows, strict=True):
        yield Line(f"  {row}", _STYLES[change.word])
    yield Line("")
    for note in notes(comparison):
        yield from wrapped(note, style="faint")
    for remark in comparison.remarks:
        yield from wrapped(remark, style="bad")
    yield Line("")
    yield Line(conclusion(comparison), "heading")
    for gate in comparison.gates:
        word, style = _GATE_WORDS[gate.outcome]
        yield from wrapped(f"{word} {gate.gate}: {gate.reason}", style=style)


def markdown(comparison: Comparison) -> str:
    """Return the comparison as a comment for a pull request."""
    rows = [cells(change)[:-1] for change in comparison.changes]
    words = [_SIGNS[change.word] + _needed(change) for change in comparison.changes]
    table = [
        _markdown_row(HEADINGS),
        "|---|---:|---:|---:|---:|---|",
        *(_markdown_row((*row, word)) for row, word in zip(rows, words, strict=True)),
    ]
    gates = [
        f"- **{_GATE_WORDS[gate.outcome][0]}** {_code(gate.gate)}: {_escaped(gate.reason)}"
        for gate in comparison.gates
    ]
    remarks = [f"- {_escaped(remark)}" for remark in (*comparison.unlike, *comparison.remarks)]
    names = f"A is {_code(comparison.base)}, B is {_code(comparison.head)}"
    about = f"{names}; {rounds_in_words(comparison)}."
    small = f"<sub>{_escaped('; '.join(notes(comparison)))}</sub>"
    title = f"### loadgen compare: {_escaped(conclusion(comparison))}"
    blocks = ([title], [about], gates, table, remarks, [small])
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def conclusion(comparison: Comparison) -> str:
    """Return the comparison in one line."""
    by_word: dict[Word, list[str]] = {}
    for change in comparison.changes:
        by_word.setdefault(change.word, []).append(change.title)
    clauses = [
        f"{word}: {', '.join(by_word[word])}" for word in ("slower", "faster") if word in by_word
    ]
    undecided = len(by_word.get("inconclusive", ()))
    if undecided == len(comparison.changes):
        return "inconclusive"
    if not clauses:
        clauses = ["the same" if not undecided else "the same where it can be told"]
    if undecided:
        clauses.append(f"inconclusive: {undecided} of {len(comparison.changes)}")
    return "; ".join(clauses)


def rounds_in_words(comparison: Comparison) -> str:
    """Return how many rounds there are, and how they were taken."""
    base, head = comparison.rounds
    if comparison.in_turn:
        return f"{base} rounds of each, taken in turn: neighbours are compared"
    return (
        f"{base} and {head} rounds, not taken in turn: a change of the machine in between "
        "looks like a change of what is compared"
    )


def notes(comparison: Comparison) -> Iterator[str]:
    """Yield how to read the table, and what is not in it."""
    yield (
        "worse: a longer time, or a lower rate; a minus is better; all intervals together hold the "
        f"truth in {100 * comparison.level:g} of 100 comparisons; same: within "
        f"{100 * comparison.margin:g} % (of shares, {100 * SHARE_MARGIN:g} points)"
    )
    if comparison.missing:
        reasons = (f"{name}: {why}" for name, why in comparison.missing.items())
        yield f"not compared: {'; '.join(reasons)}"


def cells(change: Change) -> tuple[str, ...]:
    """Return a row of the table, below `HEADINGS`."""
    write = _WRITERS[change.unit]
    if change.worse is None or change.worse_low is None or change.worse_high is None:
        worse, interval = "-", "-"
    else:
        worse = amount(change.unit, change.worse)
        low, high = (amount(change.unit, end) for end in (change.worse_low, change.worse_high))
        interval = f"{low} to {high}"
    result = change.word + _needed(change)
    return readable(change.title), write(change.base), write(change.head), worse, interval, result


def _needed(change: Change) -> str:
    if change.why:
        return f" ({change.why})"
    if change.word != "inconclusive":
        return ""
    needed = change.rounds_needed
    return f" (about {needed} rounds would tell)" if needed else " (too noisy to tell)"


def _markdown_row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _code(text: str) -> str:
    """Return ``text`` as code, whichever characters it contains."""
    one_line = " ".join(as_line(text).split())
    longest = max(map(len, re.findall("`+", one_line)), default=0)
    fence, pad = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{pad}{one_line}{pad}{fence}"


def _escaped(text: str) -> str:
    """Return ``text`` such that no character of it is taken for markup, and nothing is linked.

    GitHub links names of people (``@``), other issues (``#``) and addresses once all
    else is done, so that escapes have no effect: a zero-width space (U+200B) keeps them apart, as
    in the comments of Renovate. A dollar begins a formula
    (https://docs.github.com/en/get-started/writing-on-github/working-with-advanced-formatting/writing-mathematical-expressions).
    """
    marked = "".join(_MARKED.get(each, each) for each in as_line(text))
    return _IN_ADDRESSES.sub(_APART, marked)
