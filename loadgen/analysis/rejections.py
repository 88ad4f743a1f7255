"""Rejected replies: whole, and a failure all the same, such as an error status.

They are the server's answer, and their times are measured like any other. But a server that rejects
without doing the work is fast: the rate that is compared leaves rejected messages out, and times
that are mostly those of rejections are not compared at all.
"""

from typing import Final

from loadgen.results.record import RunRecord
from loadgen.units import format_count, format_share

MOST: Final = 0.5
"""The share of messages above which the figures are those of rejections."""


def are_most(record: RunRecord) -> bool:
    """Return whether most of the messages were rejected."""
    return record.actual.rejected_share > MOST


def in_words(record: RunRecord) -> str:
    """Return how many of the messages were rejected."""
    actual = record.actual
    return (
        f"{format_count(actual.rejected)} of {format_count(actual.messages)} messages "
        f"({format_share(actual.rejected_share)})"
    )


def causes(record: RunRecord) -> str:
    """Return why messages were rejected, the most frequent cause first."""
    return "; ".join(failure.cause.text for failure in record.failures if failure.is_rejection)
