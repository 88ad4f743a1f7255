"""A figure of the page, with the words that go with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from matplotlib.figure import Figure

from loadgen.results.record import RunRecord

Source_contra = TypeVar("Source_contra", contravariant=True)

Sides = Mapping[str, RunRecord | Sequence[RunRecord]]
"""What is set side by side, by its label: one run, or all rounds of a side."""


@dataclass(frozen=True)
class Panel(Generic[Source_contra]):
    """One figure: what it shows, how to read it, and how it is made.

    name: stem of the files it is written to. title: what is seen. caption: how to read it, in a
    sentence.
    draw: makes the figure; None where there is nothing to show.
    note: what else the reader must know: why there is no figure, or what of it has been thinned or
    left out; mostly empty.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[Source_contra], Figure | None]
    note: Callable[[Source_contra], str]
