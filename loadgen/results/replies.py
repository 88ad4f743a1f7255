"""What is known of replies beside their times: their kinds, and the parts in which they came."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from loadgen.quantities import MOST_KINDS, Text
from loadgen.results.counts import Counts, sum_of
from loadgen.results.distribution import Distribution


class StatusesRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The replies of the measured load and of the drain, by their status, where they have one.

    counts: how many had each status, such as ``404``. classes: the service time of those of each
    class, such as ``4xx``: an error page is often faster than what was asked for.
    """

    counts: Counts
    classes: Annotated[dict[Text, Distribution], msgspec.Meta(max_length=MOST_KINDS)]

    def count_of(self, form: str) -> int:
        """Return how many had the status ``form``, or one of its class (``5xx``).

        Those above 599 are of the class 5xx (RFC 9110, 15).
        """
        begins = tuple("56789") if form == "5xx" else form.removesuffix("xx")
        return sum(count for status, count in self.counts.items() if status.startswith(begins))

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self.counts.values())

    @classmethod
    def of_all(cls, records: Sequence["StatusesRecord"]) -> "StatusesRecord":
        """Return the sums."""
        counts = sum_of(record.counts for record in records)
        names = sorted({name for record in records for name in record.classes})
        return cls(
            counts=dict(sorted(counts.items())),
            classes={
                name: Distribution.of_all(
                    each.classes[name] for each in records if name in each.classes
                )
                for name in names
            },
        )


class PartsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The replies of the measured load that were read in several parts.

    first_byte_ns, whole_ns: the times from the send until the first part of each had arrived, and
    until it was whole. The kernel stamps the last byte of a read (socket(7), SO_TIMESTAMPNS), so
    the first one may have arrived a little earlier. Replies of which either time is not known are
    left out.
    """

    first_byte_ns: Distribution
    whole_ns: Distribution

    @classmethod
    def of_all(cls, records: Sequence["PartsRecord"]) -> "PartsRecord":
        """Return the distributions of all of them."""
        return cls(
            first_byte_ns=Distribution.of_all(each.first_byte_ns for each in records),
            whole_ns=Distribution.of_all(each.whole_ns for each in records),
        )
