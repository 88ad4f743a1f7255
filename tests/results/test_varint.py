"""Integers as varints."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.results.varint import from_varints, to_varint, to_varints


def array(*numbers: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(numbers, np.int64)


@given(st.lists(st.integers(0, 300) | st.integers(0, 2**63 - 1)))
def test_come_back_as_they_were(numbers: list[int]) -> None:
    assert from_varints(to_varints(array(*numbers))).tolist() == numbers


@pytest.mark.parametrize(
    ("number", "content"),
    [  # of DWARF 5, appendix C, and of Wikipedia's page on LEB128
        (2, b"\x02"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (129, b"\x81\x01"),
        (12857, b"\xb9\x64"),
        (624485, b"\xe5\x8e\x26"),
        (2**63 - 1, b"\xff" * 8 + b"\x7f"),
    ],
)
def test_are_in_the_form_that_dwarf_has_given_them(number: int, content: bytes) -> None:
    assert to_varint(number) == to_varints(array(number)) == content
    assert from_varints(content).tolist() == [number]


@pytest.mark.parametrize("content", [b"\x80", b"\x01\xff", b"\xff" * 9 + b"\x01"])
def test_that_are_cut_off_or_too_long_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="packed number"):
        from_varints(content)
