"""The offered rate over time, and how many messages are due when.

How the messages are spread at that rate: `loadgen.plan.arrivals`.
"""

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from loadgen import units
from loadgen.errors import UsageError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

LONGEST_S: Final = 8760 * 3600.0
"""A year: the longest duration that is accepted."""

_NEVER_S: Final = 1e9  # in nanoseconds, well within int64

_RATE_FORM: Final = f"{units.RATE_FORM}, or a ramp such as 0..50k/30s"
_STAGES_FORM: Final = "write duration:rate, separated by commas, such as 10s:5k,20s:50k,10s:0"


class RateStage(NamedTuple):
    """The rate moves evenly to ``target_per_s`` within ``duration_s``; within 0 s, it jumps."""

    duration_s: float
    target_per_s: float


@dataclass(frozen=True)
class Profile:
    """The offered rate over time: from ``start_per_s`` through the stages; the last rate holds.

    Times are seconds from the start of the load; earlier ones count as the start. Raises
    ValueError for values that are not accepted: its text says what is.
    """

    start_per_s: float
    stages: tuple[RateStage, ...] = ()

    def __post_init__(self) -> None:
        """Check every value."""
        if not all(rate == 0 or 1e-6 <= rate <= 1e9 for rate in self._rates_per_s):
            raise ValueError("a rate is 0, or from 0.000001 to 1000m per second")
        shortest_s = min((stage.duration_s for stage in self.stages), default=0.0)
        if self.stages and not (shortest_s >= 0 and 0 < self.duration_s <= LONGEST_S):
            raise ValueError("it must take more than 0 s in all, and at most 8760h")
        if not self.expected_by_s(_NEVER_S):
            raise ValueError("the rate must be above 0 for some time")

    @classmethod
    def constant(cls, rate_per_s: float, option: str = "--rate") -> "Profile":
        """Return the profile of one unchanging rate. Raises UsageError, which names ``option``."""
        with refusing(option, rate_per_s):
            return cls(float(rate_per_s))

    @classmethod
    def parse_rate(cls, rate: str | float, option: str = "--rate") -> "Profile":
        """Return the profile of a rate per second or a ramp: ``5000``, ``2.5k/s``, ``0..50k/30s``.

        Raises UsageError, which names ``option``.
        """
        if not isinstance(rate, str):
            return cls.constant(rate, option)
        first, dots, ramp = rate.partition("..")
        target, _, duration = ramp.rpartition("/")
        with refusing(option, rate, _RATE_FORM):
            start_per_s = units.parse_rate_per_s(first)
            stages = (_stage(duration, target),) if dots else ()
        with refusing(option, rate):
            return cls(start_per_s, stages)

    @classmethod
    def parse_stages(cls, text: str) -> "Profile":
        """Return the profile of stages that start at rate 0: ``10s:5k,20s:50k,10s:0``.

        As in k6 (executor ramping-arrival-rate), a stage's target is the rate at its end. Raises
        UsageError.
        """
        stages = []
        for stage in text.split(","):
            duration, _, target = stage.partition(":")
            with refusing("--stages", stage, _STAGES_FORM):
                stages.append(_stage(duration, target))
        with refusing("--stages", text):
            return cls(0.0, tuple(stages))

    def scaled(self, factor: float) -> "Profile":
        """Return the profile with every rate times ``factor``. Raises UsageError."""
        words = self.describe().replace("\N{NO-BREAK SPACE}", " ")
        with refusing("--rate-per-conn", f"{words} times {factor:g}"):
            stages = (
                RateStage(stage.duration_s, stage.target_per_s * factor) for stage in self.stages
            )
            return Profile(self.start_per_s * factor, tuple(stages))

    @property
    def duration_s(self) -> float:
        """When the last stage ends; 0.0 for a constant rate."""
        return sum((stage.duration_s for stage in self.stages), 0.0)

    @property
    def peak_per_s(self) -> float:
        """The highest rate."""
        return max(self._rates_per_s)

    def rate_at_s(self, at_s: float) -> float:
        """Return the rate at ``at_s``; where it jumps, the rate after the jump."""
        _, rate_per_s, slope, after_s = self._at_s(at_s)
        return max(0.0, rate_per_s + slope * after_s)

    def expected_by_s(self, at_s: float) -> float:
        """Return how many messages are due by ``at_s``: the integral of the rate."""
        count, rate_per_s, slope, after_s = self._at_s(at_s)
        return count + after_s * (rate_per_s + slope * after_s / 2)

    def mean_per_s(self, begin_s: float, end_s: float) -> float:
        """Return the mean rate from ``begin_s`` to ``end_s``, which must be later."""
        return (self.expected_by_s(end_s) - self.expected_by_s(begin_s)) / (end_s - begin_s)

    def times_ns(self, counts: Floats) -> Integers:
        """Return when more than each of ``counts`` are due: the inverse of `expected_by_s`.

        A count that is reached just when the rate falls to 0 waits until it rises again, so that
        10 s at 5/s are 50 messages of an even grid, not 51. Counts that are never exceeded, or not
        within 30 years, are left out.
        """
        counts = counts[counts < self.expected_by_s(_NEVER_S)]
        index = self._knots[1].searchsorted(counts, side="right") - 1
        begin_s, count, rate, slope = self._knots.take(index, axis=1)
        counts = counts - count
        root = np.sqrt(np.maximum(rate * rate + 2 * slope * counts, 0))
        # Where the rate rises from 0, count 0 would be 0 / 0; it is due at once.
        after_s = 2 * counts / np.maximum(rate + root, np.finfo(float).tiny)
        times_ns: Integers = np.rint((begin_s + after_s) * units.NS_PER_S).astype(np.int64)
        return times_ns

    def describe(self) -> str:
        """Return it in words: ``5 000/s``, ``0 to 50 000/s within 30 s``, ``20 s at 5 000/s``."""
        words = []
        before_per_s = self.start_per_s
        for duration_s, rate_per_s in self.stages:
            span = units.format_duration_ns(units.seconds_to_ns(duration_s))
            if len(self.stages) == 1:
                return f"{_number(before_per_s)} to {_per_s(rate_per_s)} within {span}"
            move = f"{span} {'at' if rate_per_s == before_per_s else 'to'}"
            words.append(f"{move if duration_s else 'at once to'} {_per_s(rate_per_s)}")
            before_per_s = rate_per_s
        return ", ".join(words) or _per_s(self.start_per_s)

    @property
    def _rates_per_s(self) -> tuple[float, ...]:
        return (self.start_per_s, *(stage.target_per_s for stage in self.stages))

    @functools.cached_property
    def _knots(self) -> Floats:
        """Rows: where a stretch begins, messages due by then, the rate there, and its slope."""
        knots = []
        begin_s, count, rate_per_s = 0.0, 0.0, self.start_per_s
        for duration_s, target_per_s in self.stages:
            if duration_s:
                knots.append((begin_s, count, rate_per_s, (target_per_s - rate_per_s) / duration_s))
                begin_s += duration_s
                count = _on_grid(count + duration_s * (rate_per_s + target_per_s) / 2)
            rate_per_s = target_per_s
        return np.array([*knots, (begin_s, count, rate_per_s, 0.0)]).T

    def _at_s(self, at_s: float) -> tuple[float, float, float, float]:
        at_s = max(at_s, 0.0)
        index = int(self._knots[0].searchsorted(at_s, side="right")) - 1
        begin_s, count, rate_per_s, slope = self._knots[:, index].tolist()
        return count, rate_per_s, slope, at_s - begin_s


def _stage(duration: str, target: str) -> RateStage:
    return RateStage(units.parse_duration_s(duration), units.parse_rate_per_s(target))


@contextlib.contextmanager
def refusing(option: str, value: object, accepted: str = "") -> Iterator[None]:
    """Turn a ValueError into a UsageError with what is ``accepted``, or with its own text."""
    try:
        yield
    except ValueError as error:
        raise UsageError.of(option, value, accepted or str(error)) from None


def _on_grid(count: float) -> float:
    """Return the whole number that ``count`` is but for rounding: 1.1 s at 10/s are 11 messages."""
    whole = round(count)
    return float(whole) if abs(count - whole) <= 1e-12 * whole else count


def _number(rate_per_s: float) -> str:
    is_small = rate_per_s < 100 and not rate_per_s.is_integer()
    return f"{rate_per_s:.3g}" if is_small else units.format_count(rate_per_s)


def _per_s(rate_per_s: float) -> str:
    return f"{_number(rate_per_s)}/s" if rate_per_s else "0"
