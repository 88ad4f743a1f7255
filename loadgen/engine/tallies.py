"""The tallies of the recorder: histograms of the times of messages, and inter-send times."""

from dataclasses import dataclass, field

import numpy as np

from loadgen.results.histogram import Histogram, Integers
from loadgen.units import NS_PER_S


@dataclass(slots=True)
class TimesTally:
    """Histograms of the times of `loadgen.results.record.Times`, and counts of kernel time stamps.

    delayed_service, delayed_response, delayed_lag: what was left out of service time, of response
    time and of schedule lag, because more than half of it was pauses of this process.
    delayed_reads: the number of replies of which that holds for the time until they were read.
    """

    service: Histogram = field(default_factory=Histogram)
    response: Histogram = field(default_factory=Histogram)
    schedule_lag: Histogram = field(default_factory=Histogram)
    blocked: Histogram = field(default_factory=Histogram)
    generator_lag: Histogram = field(default_factory=Histogram)
    receive_lag: Histogram = field(default_factory=Histogram)
    user_space: Histogram = field(default_factory=Histogram)
    read_uncertainty: Histogram = field(default_factory=Histogram)
    delayed_service: Histogram = field(default_factory=Histogram)
    delayed_response: Histogram = field(default_factory=Histogram)
    delayed_lag: Histogram = field(default_factory=Histogram)
    stamped: int = 0
    upper_bounds: int = 0
    missing: int = 0
    implausible: int = 0
    unsampled: int = 0
    left_out: int = 0
    delayed_reads: int = 0

    def merge(self, other: "TimesTally") -> None:
        """Add the counts and histograms of ``other``."""
        for name in self.__slots__:
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, Histogram):
                mine.merge(theirs)
            else:
                setattr(self, name, mine + theirs)


@dataclass(slots=True)
class InterSendTimes:
    """The times between sends: their count, sum and sum of squares (seconds)."""

    count: int = 0
    sum_s: float = 0.0
    sum_of_squares: float = 0.0
    last_ns: int | None = None

    def add(self, sent_ns: Integers) -> None:
        """Add sends, in the order in which they took place."""
        first_ns = sent_ns[0] if self.last_ns is None else self.last_ns
        between_s = np.diff(sent_ns, prepend=first_ns)[self.last_ns is None :] / NS_PER_S
        self.count += between_s.size
        self.sum_s += float(between_s.sum())
        self.sum_of_squares += float(between_s @ between_s)
        self.last_ns = int(sent_ns[-1])

    @property
    def variation(self) -> float | None:
        """The squared coefficient of variation, variance over squared mean; None without times."""
        if not self.sum_s:
            return None
        return self.count * self.sum_of_squares / self.sum_s**2 - 1
