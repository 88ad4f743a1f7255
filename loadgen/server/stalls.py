"""Stalls of the server: when and how long it neither accepts nor reads nor sends.

Times are nanoseconds since the first connection was accepted.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from loadgen.errors import UsageError
from loadgen.units import NS_PER_S, format_duration_ns, parse_duration_s, seconds_to_ns

_LONGEST_NS: Final = 24 * 3600 * NS_PER_S

STALL_FORM: Final = (
    "write LENGTH@START for one stall, such as 1s@5s, "
    "or LENGTH/PERIOD for one in every period, such as 100ms/1s"
)

_FORM: Final = re.compile(r"([^@/]+)([@/])([^@/]+)")


@dataclass(frozen=True, slots=True)
class Stall:
    """A stop of ``length_ns``, from ``start_ns`` on; again after every ``period_ns``, if not 0.

    Raises UsageError for a length of 0 or less, a start below 0, and a stall that is not over when
    the next one begins.
    """

    length_ns: int
    start_ns: int
    period_ns: int = 0

    def __post_init__(self) -> None:
        if self.length_ns <= 0:
            raise UsageError.of(
                "--stall", format_duration_ns(self.length_ns), "give a length above 0"
            )
        if self.start_ns < 0:
            raise UsageError.of(
                "--stall", format_duration_ns(self.start_ns), "give a start of 0 or more"
            )
        if self.period_ns and self.length_ns >= self.period_ns:
            raise UsageError(
                f"--stall: {format_duration_ns(self.length_ns)} in every "
                f"{format_duration_ns(self.period_ns)} leaves no time to serve; "
                "give a length below the period"
            )

    def until_ns(self, elapsed_ns: int) -> int:
        """Return when the stall that ``elapsed_ns`` falls into ends; ``elapsed_ns`` without one."""
        since_ns = elapsed_ns - self.start_ns
        if since_ns < 0:
            return elapsed_ns
        if self.period_ns:
            since_ns %= self.period_ns
        return elapsed_ns + max(0, self.length_ns - since_ns)


def stalled_until_ns(stalls: Iterable[Stall], elapsed_ns: int) -> int:
    """Return when the longest-lasting of the stalls at ``elapsed_ns`` ends, as `Stall.until_ns`."""
    return max((stall.until_ns(elapsed_ns) for stall in stalls), default=elapsed_ns)


def parse_stall(text: str) -> Stall:
    """Return the stall that ``text`` means: ``1s@5s`` or ``100ms/1s``.

    The first stall of a period comes at the end of the first period. Raises UsageError, which
    names the text and what is wrong with it.
    """
    match = _FORM.fullmatch(text)
    try:
        if match is None:
            raise ValueError(STALL_FORM)
        length_ns, other_ns = (seconds_to_ns(parse_duration_s(match[part])) for part in (1, 3))
    except (ValueError, OverflowError):
        raise UsageError.of("--stall", text, STALL_FORM) from None
    if length_ns > _LONGEST_NS:
        raise UsageError.of("--stall", text, "a stall lasts a day at most")
    if match[2] == "@":
        return Stall(length_ns, other_ns)
    if not other_ns:
        raise UsageError.of("--stall", text, "give a period above 0")
    return Stall(length_ns, other_ns, other_ns)
