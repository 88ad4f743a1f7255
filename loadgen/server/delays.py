"""Delays of the answers: fixed, lognormal or mixed, and how ``--delay`` is parsed.

A delay is a value; its sampler draws from a random generator of its own, so that the same seed
gives the same sequence.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Final, NamedTuple

from loadgen.errors import UsageError
from loadgen.units import NS_PER_S, format_duration_ns, parse_duration_s, seconds_to_ns

DELAY_FORM: Final = (
    "write a duration such as 500us or 10ms, lognormal:MEDIAN,SIGMA such as lognormal:1ms,0.5, "
    "or shares such as 99%:200us,1%:20ms"
)

LONGEST_NS: Final = 24 * 3600 * NS_PER_S
"""No delay and no stall is longer than a day."""

LARGEST_SIGMA: Final = 5.0

Sampler = Callable[[], int]
"""Returns the next delay, in nanoseconds."""

_PEAK = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*%\s*:(.*)")


@dataclass(frozen=True, slots=True)
class FixedDelay:
    """The same delay for every message. Raises UsageError outside 0 to `LONGEST_NS`."""

    delay_ns: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.delay_ns <= LONGEST_NS:
            raise UsageError.of(
                "--delay", format_duration_ns(self.delay_ns), "give a duration from 0 to 24h"
            )

    def sampler(self, seed: int) -> Sampler:
        """Return a function that always returns ``delay_ns``."""
        delay_ns = self.delay_ns
        return lambda: delay_ns


@dataclass(frozen=True, slots=True)
class LognormalDelay:
    """Delays whose logarithm is normally distributed: many short ones and a long tail.

    Half of them are below ``median_ns``; ``sigma`` is the standard deviation of the natural
    logarithm, so that the 99th percentile is the median times exp(2.33 sigma). Raises UsageError
    for a median of 0 or a sigma outside 0 to `LARGEST_SIGMA`.
    """

    median_ns: int
    sigma: float

    def __post_init__(self) -> None:
        if not 0 < self.median_ns <= LONGEST_NS:
            raise UsageError.of(
                "--delay", format_duration_ns(self.median_ns), "give a median above 0, up to 24h"
            )
        if not 0 <= self.sigma <= LARGEST_SIGMA:
            raise UsageError.of("--delay", self.sigma, f"give a sigma from 0 to {LARGEST_SIGMA:g}")

    def sampler(self, seed: int) -> Sampler:
        """Return a function that draws the next delay."""
        median_ns, sigma, exp = self.median_ns, self.sigma, math.exp
        gauss = Random(seed).gauss  # noqa: S311 - a model, no secret
        return lambda: round(median_ns * exp(sigma * gauss(0.0, 1.0)))


class Peak(NamedTuple):
    """A share of the messages, in percent, and their delay."""

    share_percent: float
    delay_ns: int


@dataclass(frozen=True, slots=True)
class MixedDelay:
    """One of several fixed delays for each message, at random, each with its share.

    Raises UsageError if a share is 0 or less, if the shares do not add up to 100 %, or for a delay
    that `FixedDelay` refuses.
    """

    peaks: tuple[Peak, ...]

    def __post_init__(self) -> None:
        for peak in self.peaks:
            FixedDelay(peak.delay_ns)
            if not peak.share_percent > 0:
                raise UsageError.of("--delay", f"{peak.share_percent:g}%", "give shares above 0 %")
        total_percent = math.fsum(peak.share_percent for peak in self.peaks)
        if not math.isclose(total_percent, 100.0, abs_tol=1e-6):
            raise UsageError(
                f"--delay: the shares add up to {total_percent:g} %; make them add up to 100 %"
            )

    def sampler(self, seed: int) -> Sampler:
        """Return a function that draws the next delay."""
        uniform = Random(seed).random  # noqa: S311 - a model, no secret
        delays_ns = [peak.delay_ns for peak in self.peaks]
        bounds = [percent / 100.0 for percent in accumulate(p.share_percent for p in self.peaks)]
        last = len(bounds) - 1  # whatever the last bound was rounded to, the last peak ends there
        return lambda: delays_ns[bisect_right(bounds, uniform(), 0, last)]


Delay = FixedDelay | LognormalDelay | MixedDelay

NO_DELAY: Final = FixedDelay(0)


def parse_delay(text: str) -> Delay:
    """Return the delay that ``text`` means, in one of the forms of `DELAY_FORM`.

    Raises UsageError, which names the text and what is wrong with it.
    """
    bare = text.strip().lower()
    name, colon, rest = bare.partition(":")
    if colon and name == "lognormal":
        return _parse_lognormal(text, rest)
    if "%" in bare:
        return MixedDelay(tuple(_parse_peak(text, part) for part in bare.split(",")))
    return FixedDelay(_parse_duration_ns(text, bare))


def _parse_lognormal(text: str, parameters: str) -> LognormalDelay:
    median, _, sigma = parameters.partition(",")
    try:
        spread = float(sigma)
    except ValueError:
        advice = "write MEDIAN,SIGMA after lognormal:, such as lognormal:1ms,0.5"
        raise UsageError.of("--delay", text, advice) from None
    return LognormalDelay(_parse_duration_ns(text, median), spread)


def _parse_peak(text: str, part: str) -> Peak:
    match = _PEAK.fullmatch(part.strip())
    if match is None:
        advice = "write every share as PERCENT%:DURATION, such as 99%:200us,1%:20ms"
        raise UsageError.of("--delay", text, advice)
    return Peak(float(match[1]), _parse_duration_ns(text, match[2]))


def _parse_duration_ns(text: str, part: str) -> int:
    try:
        return seconds_to_ns(parse_duration_s(part))
    except (ValueError, OverflowError):
        raise UsageError.of("--delay", text, DELAY_FORM) from None
