"""Lines of text for people."""

import pytest

from loadgen.analysis.lines import LABEL_COLUMNS, aligned, labelled

ROWS = [("", "p50", "verdict"), ("epoll", "1 ms", "valid"), ("io", "12.5 ms", "busy")]


class TestRowsInColumns:
    def test_are_as_wide_as_their_widest_cell(self) -> None:
        assert aligned(ROWS, "<><") == [
            "           p50  verdict",
            "epoll     1 ms  valid",
            "io     12.5 ms  busy",
        ]

    def test_are_no_narrower_than_asked_and_wider_where_a_cell_is(self) -> None:
        assert aligned(ROWS, "<><", (3, 9, 0), gap_columns=1) == [
            "            p50 verdict",
            "epoll      1 ms valid",
            "io      12.5 ms busy",
        ]

    def test_of_a_table_printed_row_by_row_are_the_same(self) -> None:
        widths = (5, 7, 7)
        one_by_one = [line for row in ROWS for line in aligned([row], "<><", widths)]
        assert one_by_one == aligned(ROWS, "<><", widths)

    def test_without_rows_are_none(self) -> None:
        assert aligned([], "<>") == []

    def test_have_a_side_for_each_cell(self) -> None:
        with pytest.raises(ValueError, match="zip"):
            aligned(ROWS, "<>")


def test_labelled_lines_say_what_they_say_in_one_column() -> None:
    for label in ("messages", "this process"):
        line = labelled(label, "said", "bad")
        assert (line.text.index("said"), line.style) == (LABEL_COLUMNS, "bad")
