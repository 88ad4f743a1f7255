"""A comparison as people read it."""

from typing import Any

import pytest
from sides import RATE, STEADY, TIME, side, times

from loadgen.analysis.compare import gates
from loadgen.analysis.compare.comparison import Comparison, Terms, compare
from loadgen.analysis.compare.text import conclusion, lines, markdown

NAMES = ("slow", "quick", "even", "loud")
HEAD = (1.2, 0.8, 1.0, None)


def compared(**changes: object) -> Comparison:
    """Return a comparison in which every word occurs."""
    kinds = {"slow": TIME, "quick": TIME, "even": RATE, "loud": TIME}
    loud = [60.0, 170.0, 90.0, 140.0, 100.0]
    head = {
        name: loud if factor is None else times(STEADY, factor)
        for name, factor in zip(NAMES, HEAD, strict=True)
    }
    return compare(
        side(STEADY, kinds=kinds, figures=dict.fromkeys(NAMES, STEADY), remarks=("a remark",)),
        side(STEADY, head=True, kinds=kinds, figures=head, missing={"rare": "left to chance"}),
        Terms(gates=tuple(map(gates.parse, ("slow>5%", "quick>5%", "loud>5%")))),
    )


def test_a_terminal_shows_every_figure_with_its_word() -> None:
    shown = list(lines(compared()))
    text = "\n".join(line.text for line in shown)
    styles = {line.text.split()[-1]: line.style for line in shown if "% to" in line.text}
    assert styles["slower"] == "bad"
    assert styles["faster"] == "good"
    assert styles["same"] == "plain"
    assert "5 rounds of each, taken in turn" in text
    assert "100/s" in text
    assert "rare: left to chance" in text
    assert "A: a remark" in text
    assert "slower: a time; faster: a time; inconclusive: 1 of 4" in text
    assert "FAILED slow>5%: a time is 20.0 % worse" in text
    assert "passed quick>5%: a time is 20.0 % better" in text
    assert "undecided loud>5%" in text


def test_a_terminal_says_when_rounds_were_not_taken_in_turn() -> None:
    apart = side(STEADY, head=True, taken_at=tuple("vwxyz"))
    text = "\n".join(line.text for line in lines(compare(side(STEADY), apart)))
    assert "not taken in turn" in text


def test_markdown_is_a_table_with_a_heading() -> None:
    text = markdown(compared())
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(NAMES)
    assert {row.count("|") for row in rows} == {7}
    assert text.startswith("### loadgen compare: slower: a time")
    assert "- **FAILED** `slow>5%`" in text
    assert "taken in turn" in text


def test_markdown_takes_no_name_for_markup() -> None:
    name = "test[a|b_c*<script>`]"
    kinds = {name: TIME.__class__(name)}
    both: dict[str, Any] = {"kinds": kinds, "figures": {name: STEADY}}
    text = markdown(compare(side(STEADY, **both), side(STEADY, head=True, **both)))
    assert r"test\[a\|b\_c\*&lt;script>\`\]" in text


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (STEADY, "the same"),
        (times(STEADY, 2), "slower: a time"),
        ([60, 170, 90, 140, 100], "inconclusive"),
    ],
)
def test_the_conclusion_is_one_line(head: list[float], said: str) -> None:
    assert conclusion(compare(side(STEADY), side(head, head=True))) == said


def test_a_command_with_backticks_stays_code_and_a_tilde_stays_one() -> None:
    base = side(STEADY, label="sh -c '``ls``'", kinds={"figure": TIME})
    head = side(STEADY, head=True, label="a~~b~~", remarks=("~~struck~~",))
    text = markdown(compare(base, head))
    assert "A is ``` sh -c '``ls``' ```, B is `a~~b~~`;" in text
    assert r"\~\~struck\~\~" in text
