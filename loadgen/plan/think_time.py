"""Think time: how long a connection waits between a reply and its next message."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from loadgen import units
from loadgen.plan.profile import LONGEST_S, refusing

ThinkKind = Literal["fixed", "exponential"]

_THINK_FORM: Final = (
    "write a duration such as 10ms, or exp:10ms for random ones of that mean; "
    "more than 0, and at most 8760h"
)


@dataclass(frozen=True)
class ThinkTime:
    """Think times that are all ``mean_ns``, or ``exponential``: random with that mean.

    An exponential distribution is that of waits which end independently of how long they lasted.
    """

    mean_ns: int
    kind: ThinkKind = "fixed"

    @classmethod
    def parse(cls, text: str) -> "ThinkTime":
        """Return what ``10ms`` (fixed) or ``exp:10ms`` (exponential) means. Raises UsageError."""
        with refusing("--think", text, _THINK_FORM):
            mean_s = units.parse_duration_s(text.removeprefix("exp:"))
            if not 0 < mean_s <= LONGEST_S:
                raise ValueError
        kind: ThinkKind = "exponential" if text.startswith("exp:") else "fixed"
        return cls(units.seconds_to_ns(mean_s), kind)

    def draws(self, seed: int) -> Iterator[int]:
        """Return endless think times in nanoseconds, the same for the same ``seed``."""
        if self.kind == "fixed":
            return itertools.repeat(self.mean_ns)
        draw = np.random.Generator(np.random.PCG64(seed)).standard_exponential
        chunks = (np.rint(self.mean_ns * draw(256)) for _ in itertools.repeat(None))
        return itertools.chain.from_iterable(chunk.astype(np.int64).tolist() for chunk in chunks)

    def describe(self) -> str:
        """Return it in words: ``10 ms``, ``10 ms on average, exponential``."""
        mean = units.format_duration_ns(self.mean_ns)
        return mean if self.kind == "fixed" else f"{mean} on average, exponential"
