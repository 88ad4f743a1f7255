"""What a run takes from outside and gives to it, beside its plan and its record."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from loadgen.engine.pool import PoolTotals
from loadgen.net.clock import (
    Clock,
    boot_ns,
    monotonic_ns,
    wall_ns,
)
from loadgen.net.dialer import SocketFactory
from loadgen.results.intervals import RunPhase

_YOUNG: Final = 1
"""The oldest generation of the collector whose size does not grow with the heap."""


class Progress(NamedTuple):
    """How a run is getting on. ``messages_per_s`` and ``elapsed_s`` speak of the load alone."""

    stage: RunPhase
    elapsed_s: float
    totals: PoolTotals
    messages_per_s: float
    failures: int


def _nobody_asks() -> bool:
    return False


def _nobody_watches(progress: Progress) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run takes from outside, beside its plan.

    should_stop: asked after every turn; once it says so, the run drains and ends.
    observe: hears of the progress, about once a second and at the start of each stage.
    socket_factory: makes the sockets; None for `socket.socket`.
    clock: monotonic nanoseconds.
    wall_clock: the time of day, which the kernel stamps arrivals with.
    boot_clock: as ``clock``, but counts on while the machine is suspended; None: there is none.
    """

    should_stop: Callable[[], bool] = _nobody_asks
    observe: Callable[[Progress], None] = _nobody_watches
    socket_factory: SocketFactory | None = None
    clock: Clock = monotonic_ns
    wall_clock: Clock = wall_ns
    boot_clock: Clock | None = boot_ns

    def observed_by(self, observe: Callable[[Progress], None]) -> "Surroundings":
        """Return the same surroundings with another observer."""
        return replace(self, observe=observe)


@contextmanager
def quiet_garbage_collector() -> Iterator[None]:
    """Keep the collector from walking over thousands of connections while times are taken.

    Garbage among what is old already waits until afterwards: to look for it would take time that
    grows with the heap of whoever embeds us, as much as a third of a second.
    """
    if gc.get_freeze_count():  # whoever embeds us has frozen something, and unfreezing thaws all
        yield
        return
    gc.collect(_YOUNG)
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
