"""What generator, target and machine take while a run goes on.

Facts. To look at a process costs psutil a handful of files under /proc, some 0.2 ms, and to count
its open descriptors one entry each: 9 ms for 5000. From Linux 6.2 on the size of /proc/PID/fd is
their number (proc_pid_fd(5)). Whoever asks which process listens on a port looks at every
descriptor of the machine.

Danger. A thread that computes keeps the interpreter from the loop, a turn is late, and the
generator measures its own monitor.

Decision. A thread looks twice a second, and rests after each process that it looks at, so that a
turn of the loop meets one of them at most. Which processes are meant is found out once, before the
first connection. Stamps are those of the run's clock. What cannot be read is absent from the
record, and ends nothing. However long a run is, it has `MOST_SAMPLES` at most.

Cost. A look takes 0.6 ms beside a busy loop, and is added to the turn that it meets: `python -m
bench monitor` has the figures.
"""

import contextlib
import os
import threading
from array import array
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, Self

import psutil

from loadgen.net.address import Endpoint
from loadgen.net.clock import Clock
from loadgen.plan import Plan
from loadgen.results.instruments import MachineSamples, MonitorRecord, ProcessSamples
from loadgen.runner.sample_columns import (
    Columns,
    differences,
    since_first,
    whole_or_none,
)
from loadgen.runner.target_processes import UnknownTargetError, processes_of
from loadgen.units import ns_to_seconds

MOST_SAMPLES: Final = 2**16
"""Of more than that, every other is forgotten: after nine hours of two a second, and so on."""

_REST_S: Final = 0.005


def _at_once() -> None:
    pass


class Monitor:
    """Samples from the start of the ``with`` to its end; then `record` tells what was found.

    embedded_pid: of the embedded server, where that is the target. most_samples: an even number.
    Entering raises UsageError if the plan names a process that does not exist.
    """

    def __init__(
        self,
        plan: Plan,
        endpoint: Endpoint,
        embedded_pid: int | None,
        clock: Clock,
        most_samples: int = MOST_SAMPLES,
    ) -> None:
        self._plan = plan
        self._endpoint = endpoint
        self._embedded_pid = embedded_pid
        self._is_wanted = plan.watch != "off"
        self._clock = clock
        self._why_no_target = ""
        self._target: _Group | None = None
        self._target_ended_ns: int | None = None
        self._interval_s = plan.sample_interval_s
        self._most_samples = most_samples
        self._at_ns = array("q")
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        if not self._is_wanted:
            return self
        try:
            found = processes_of(self._plan, self._endpoint, self._embedded_pid)
            self._target = _Group(found)
        except UnknownTargetError as reason:
            self._why_no_target = str(reason)
        self._machine = _Machine()
        self._own = psutil.Process()
        self._generator = _Group([self._own])
        self._sample(_at_once)
        self._thread = threading.Thread(target=self._work, name="loadgen-monitor", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._is_wanted:
            self._ended.set()
            self._thread.join()
            self._sample(_at_once)

    def record(self, began_ns: int) -> MonitorRecord | None:
        """Return what was found, with times since ``began_ns``; None if nobody has looked."""
        if not self._at_ns:
            return None
        target, ended_ns = self._target, self._target_ended_ns
        return MonitorRecord(
            interval_s=self._interval_s,
            at_s=[ns_to_seconds(at_ns - began_ns) for at_ns in self._at_ns],
            generator=self._generator.samples(),
            target=None if target is None else target.samples(),
            why_no_target=self._why_no_target,
            target_ended_at_s=None if ended_ns is None else ns_to_seconds(ended_ns - began_ns),
            machine=self._machine.samples(),
        )

    def _work(self) -> None:
        while not self._ended.wait(self._interval_s):
            if len(self._at_ns) == 1:  # by now whoever helps has been started
                self._generator.add(self._helpers())
                self._rest()
            self._sample(self._rest)

    def _rest(self) -> None:
        """Leave the interpreter to the loop for some turns."""
        self._ended.wait(_REST_S)

    def _sample(self, rest: Callable[[], None]) -> None:
        if len(self._at_ns) >= self._most_samples:
            self._thin()
        at_ns = self._clock()
        try:
            self._machine.look()
            for group in (self._generator, self._target):
                if group is not None:
                    rest()
                    group.look(rest)
        except (OSError, psutil.Error):  # such as EMFILE: this sample is missing
            for of in (self._machine, self._generator, self._target):
                if of is not None:
                    of.looks.keep(len(self._at_ns))
            return
        self._at_ns.append(at_ns)
        if self._target is not None and self._target.is_gone and self._target_ended_ns is None:
            self._target_ended_ns = self._clock()

    def _thin(self) -> None:
        """Forget every other sample, and take half as many from now on."""
        self._interval_s *= 2
        del self._at_ns[1::2]
        for of in (self._machine, self._generator, self._target):
            if of is not None:
                of.looks.thin()

    def _helpers(self) -> list[psutil.Process]:
        """Return the children of this process that are not the target."""
        known = self._target.pids if self._target is not None else []
        try:
            return [each for each in self._own.children(recursive=True) if each.pid not in known]
        except (OSError, psutil.Error):
            return []


class _Look(NamedTuple):
    """What one process, or several together, had taken when they were looked at."""

    cpu_s: float
    memory_bytes: int
    descriptors: int | None
    threads: int
    switches: int | None


_NOTHING: Final = _Look(0.0, 0, 0, 0, 0)


class _Watched:
    """One process: what it takes, and what it had used when it had ended."""

    def __init__(self, process: psutil.Process) -> None:
        self.process = process
        self.is_there = True
        self._last = _NOTHING

    def look(self) -> _Look:
        """Return what it has taken by now; once it has ended, what it had used by then."""
        if self.is_there:
            try:
                self._last = _look_at(self.process)
            except psutil.Error:
                self.is_there = False
                self._last = self._last._replace(memory_bytes=0, descriptors=0, threads=0)
        return self._last


class _Group:
    """Some processes, looked at together; one at least."""

    def __init__(self, processes: list[psutil.Process]) -> None:
        self._watched = list(map(_Watched, processes))
        self.looks = Columns()
        self.name = _name_of(processes[0])
        self.pids = [process.pid for process in processes]

    @property
    def is_gone(self) -> bool:
        """Whether the last look found nobody."""
        return not any(each.is_there for each in self._watched)

    def add(self, processes: list[psutil.Process]) -> None:
        """Look at ``processes``, too, from now on."""
        self._watched += map(_Watched, processes)

    def look(self, rest: Callable[[], None]) -> None:
        """Take a sample, with a rest between two processes."""
        looks = []
        for number, each in enumerate(self._watched):
            if number:
                rest()
            looks.append(each.look())
        self.looks.append(_Look(*(_sum(column) for column in zip(*looks, strict=True))))

    def samples(self) -> ProcessSamples:
        """Return all samples; what accumulates counts from the first."""
        cpu_s, memory, descriptors, threads, switches = self.looks
        return ProcessSamples(
            name=self.name,
            pids=self.pids,
            cpu_s=since_first(cpu_s),
            memory_bytes=list(map(int, memory)),
            descriptors=list(map(whole_or_none, descriptors)),
            threads=list(map(int, threads)),
            context_switches=list(map(whole_or_none, since_first(switches))),
        )


class _Machine:
    """All processors, and all network interfaces."""

    def __init__(self) -> None:
        self.looks = Columns()

    def look(self) -> None:
        """Take a sample."""
        times: Any = psutil.cpu_times()
        traffic: Any = psutil.net_io_counters()  # None where there is no interface
        idle_s = times.idle + getattr(times, "iowait", 0.0)
        # The kernel counts guests as user time, too (proc_stat(5)).
        total_s = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        sent, received = (traffic.bytes_sent, traffic.bytes_recv) if traffic else (0, 0)
        self.looks.append((total_s - idle_s, total_s, sent, received))

    def samples(self) -> MachineSamples:
        """Return all samples."""
        busy_s, total_s, sent, received = self.looks
        return MachineSamples(
            cpu_share=[0.0, *map(_share, differences(busy_s), differences(total_s))],
            sent_bytes=list(map(int, since_first(sent))),
            received_bytes=list(map(int, since_first(received))),
        )


def _share(busy_s: float, total_s: float) -> float:
    return min(1.0, max(0.0, busy_s / total_s)) if total_s > 0 else 0.0


def _sum(column: Iterable[Any]) -> Any:
    """Return the sum; None if a part of it is unknown."""
    values = list(column)
    return None if None in values else sum(values)


def _look_at(process: psutil.Process) -> _Look:
    """Look at ``process``. Raises psutil.Error if it is not there, or only its exit code is."""
    with process.oneshot():
        if process.status() == psutil.STATUS_ZOMBIE:
            raise psutil.ZombieProcess(process.pid)
        times, switches = process.cpu_times(), process.num_ctx_switches()
        return _Look(
            cpu_s=times.user + times.system,
            memory_bytes=process.memory_info().rss,
            descriptors=_descriptors_of(process),
            threads=process.num_threads(),
            switches=switches.voluntary + switches.involuntary,
        )


def _descriptors_of(process: psutil.Process) -> int | None:
    try:
        if size := os.stat(f"/proc/{process.pid}/fd").st_size:  # noqa: PTH116 - twice as fast
            return size
        return process.num_fds()
    except (psutil.AccessDenied, OSError, AttributeError):
        return None


def _name_of(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return process.name()
    return str(process.pid)
