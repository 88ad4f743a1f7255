"""The types of a record's fields, with their ranges, which are checked when it is read.

msgspec checks the ranges of annotated types when it decodes, and not when an object is made
(https://jcristharif.com/msgspec/constraints.html): they cost a run nothing. A float with a range is
neither NaN nor infinite. An integer of up to 2^63 - 1 fits in a column of numpy's int64. The ranges
are wide: they exclude what no run can measure, and what would overflow the arithmetic or make
reading endless, such as very long texts and lists. Merely unusual values are accepted.
"""

from typing import Annotated, Final

from msgspec import Meta

MOST_COUNTED: Final = 2**63 - 1

MOST_IN_HISTOGRAM: Final = 2**53
"""The most values of a histogram: floats represent every whole number up to it."""

MOST_CHARACTERS: Final = 2**20
MOST_PAYLOADS: Final = 2**20
MOST_WORKERS: Final = 65_536
MOST_FINDINGS: Final = 2**20
"""Those of all workers together."""
MOST_KINDS: Final = 1000
"""Of failures, checks, addresses, libraries, limits: each has a row of its own in outputs."""
MOST_INTERVALS: Final = 60 * 2**16
"""Those of 45 days, where each is a second."""

LONGEST_NS: Final = 2**62
LONGEST_S: Final = 2.0**32
"""Some 136 years each: the clocks of two machines that carry out a run together may differ by
decades, where one of them has lost its time."""

_LARGEST: Final = 2.0**80
_MOST_BYTES: Final = 2**63 - 1

Count = Annotated[int, Meta(ge=0, le=MOST_COUNTED)]
"""How often, or how many."""

ValueCount = Annotated[int, Meta(ge=0, le=MOST_IN_HISTOGRAM)]
"""How many values, in a histogram."""

Difference = Annotated[int, Meta(ge=-MOST_COUNTED, le=MOST_COUNTED)]
"""By how much a count differs from an earlier one; less than 0 where a process has ended since."""

Bytes = Annotated[int, Meta(ge=0, le=_MOST_BYTES)]
"""A size."""

Nanoseconds = Annotated[int, Meta(ge=0, le=LONGEST_NS)]
"""A duration."""

SignedNanoseconds = Annotated[int, Meta(ge=-LONGEST_NS, le=LONGEST_NS)]
"""By how much a clock was set."""

MeanNanoseconds = Annotated[float, Meta(ge=0, le=float(LONGEST_NS))]
"""A mean of durations."""

Seconds = Annotated[float, Meta(ge=0, le=LONGEST_S)]
"""A duration."""

MomentSeconds = Annotated[float, Meta(ge=-LONGEST_S, le=LONGEST_S)]
"""A moment of the run, counted from the start of the measured load; less than 0 before it."""

Amount = Annotated[float, Meta(ge=0, le=_LARGEST)]
"""A number of anything that need not be whole: a rate, connection-seconds, processor time."""

SignedAmount = Annotated[float, Meta(ge=-_LARGEST, le=_LARGEST)]
"""By how much an amount differs from an earlier one."""

Share = Annotated[float, Meta(ge=0, le=1 + 1e-6)]
"""A fraction of a whole, from 0 to 1, but for rounding."""

Text = Annotated[str, Meta(max_length=MOST_CHARACTERS)]
"""A name, or a sentence; not a payload."""

Texts = Annotated[list[Text], Meta(max_length=MOST_KINDS)]
"""A list of texts that has a row for each in outputs."""

Moment = Annotated[
    str,
    Meta(
        max_length=MOST_CHARACTERS,
        description="A moment with its time zone, in the form of ISO 8601.",
        extra_json_schema={"format": "date-time"},
    ),
]
"""When something began, by the wall clock."""
