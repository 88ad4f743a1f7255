"""Counts by name, such as of statuses or of ciphers."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec

from loadgen.quantities import MOST_KINDS, Count, Text

Counts = Annotated[dict[Text, Count], msgspec.Meta(max_length=MOST_KINDS)]


def sum_of(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the sums, in the order in which the names are met."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)
