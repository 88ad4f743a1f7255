"""What the caller of a run provides beside the plan: a request to stop, an observer, clocks."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from loadgen.engine.pool import PoolTotals
from loadgen.net.clock import Clock, boot_ns, monotonic_ns, wall_ns
from loadgen.net.dialer import SocketFactory
from loadgen.results.intervals import RunPhase


class Progress(NamedTuple):
    """The progress of a run. ``messages_per_s`` and ``elapsed_s`` are about the load alone.

    failures: of connections, from the start of the run on; rejected: replies, without those of a
    warm-up that is over.
    """

    stage: RunPhase
    elapsed_s: float
    totals: PoolTotals
    messages_per_s: float
    failures: int
    rejected: int = 0


def _never() -> bool:
    return False


def _ignore(progress: Progress) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the caller of a run provides, beside its plan.

    should_stop: called after every turn; once it returns true, the run drains and ends.
    observe: called with the progress, about once a second and at the start of each phase.
    socket_factory: makes the sockets; None for `socket.socket`.
    clock: monotonic nanoseconds.
    wall_clock: the time of day, of which the kernel's timestamps are.
    boot_clock: as ``clock``, but it advances while the machine is suspended; None: there is none.
    """

    should_stop: Callable[[], bool] = _never
    observe: Callable[[Progress], None] = _ignore
    socket_factory: SocketFactory | None = None
    clock: Clock = monotonic_ns
    wall_clock: Clock = wall_ns
    boot_clock: Clock | None = boot_ns

    @property
    def stand_in(self) -> str:
        """What the caller has put in the place of the system's own, in words; empty if nothing."""
        if self.socket_factory is not None:
            return "the sockets are looked into (--dump-one), or the caller's own"
        if self.clock is not monotonic_ns:
            return "the clock is the caller's own"
        return ""

    def observed_by(self, observe: Callable[[Progress], None]) -> "Surroundings":
        """Return the same surroundings with another observer."""
        return replace(self, observe=observe)
