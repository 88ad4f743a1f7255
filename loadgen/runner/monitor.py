"""Samples what generator, target and machine use during a run: processor, memory, descriptors.

A thread takes a sample twice a second. While it computes it holds the interpreter, which delays a
turn of the loop; so it pauses after each process, and a turn is delayed by one of them at most, by
0.6 ms beside a busy loop (``python -m bench monitor``). psutil reads a handful of files under /proc
for a process, in some 0.2 ms; to count its open descriptors it reads one entry for each: 9 ms for
5000. From Linux 6.2 on the size of /proc/PID/fd is their number (proc_pid_fd(5)). To find the
process that listens on a port, every descriptor of the machine is read; this is done once, before
the first connection. Values that cannot be read are absent from the record. A run has
`MOST_SAMPLES` samples at most, however long it is.
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
    int_or_none,
    since_first,
)
from loadgen.runner.target_processes import UnknownTargetError, processes_of
from loadgen.units import ns_to_seconds

MOST_SAMPLES: Final = 2**16
"""Beyond it every other sample is deleted, and the interval doubled: first after nine hours."""

_PAUSE_S: Final = 0.005


def _no_pause() -> None:
    pass


class Monitor:
    """Takes samples from the start of the ``with`` to its end; `record` returns them.

    embedded_pid: process number of the embedded server, if that is the target.
    most_samples: an even number.
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
        self._sample(_no_pause)
        self._thread = threading.Thread(target=self._work, name="loadgen-monitor", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._is_wanted:
            self._ended.set()
            self._thread.join()
            self._sample(_no_pause)

    def record(self, began_ns: int) -> MonitorRecord | None:
        """Return the samples, with times counted from ``began_ns``; None if there are none."""
        if not self._at_ns:
            return None
        target, ended_ns = self._target, self._target_ended_ns
        return MonitorRecord(
            interval_s=self._interval_s,
            at_s=[ns_to_seconds(at_ns - began_ns) for at_ns in self._at_ns],
            generator=self._generator.record(),
            target=None if target is None else target.record(),
            why_no_target=self._why_no_target,
            target_ended_at_s=None if ended_ns is None else ns_to_seconds(ended_ns - began_ns),
            machine=self._machine.record(),
        )

    def _work(self) -> None:
        while not self._ended.wait(self._interval_s):
            if len(self._at_ns) == 1:  # by now the helper processes have been started
                self._generator.add(self._helpers())
                self._pause()
            self._sample(self._pause)

    def _pause(self) -> None:
        """Release the interpreter for some turns of the loop."""
        self._ended.wait(_PAUSE_S)

    def _sample(self, pause: Callable[[], None]) -> None:
        if len(self._at_ns) >= self._most_samples:
            self._thin()
        at_ns = self._clock()
        try:
            self._machine.sample()
            for group in (self._generator, self._target):
                if group is not None:
                    pause()
                    group.sample(pause)
        except (OSError, psutil.Error):  # such as EMFILE: this sample is missing
            for of in (self._machine, self._generator, self._target):
                if of is not None:
                    of.columns.keep(len(self._at_ns))
            return
        self._at_ns.append(at_ns)
        if self._target is not None and self._target.is_gone and self._target_ended_ns is None:
            self._target_ended_ns = self._clock()

    def _thin(self) -> None:
        """Delete every other sample, and double the interval."""
        self._interval_s *= 2
        del self._at_ns[1::2]
        for of in (self._machine, self._generator, self._target):
            if of is not None:
                of.columns.thin()

    def _helpers(self) -> list[psutil.Process]:
        """Return the children of this process that are not the target."""
        known = self._target.pids if self._target is not None else []
        try:
            return [each for each in self._own.children(recursive=True) if each.pid not in known]
        except (OSError, psutil.Error):
            return []


class _Usage(NamedTuple):
    """What one process, or several together, have used by the time of a sample."""

    cpu_s: float
    memory_bytes: int
    descriptors: int | None
    threads: int
    switches: int | None


_NOTHING: Final = _Usage(0.0, 0, 0, 0, 0)


class _SampledProcess:
    """One process, and its usage; once it has ended, its usage by then."""

    def __init__(self, process: psutil.Process) -> None:
        self.process = process
        self.is_alive = True
        self._last = _NOTHING

    def sample(self) -> _Usage:
        """Return its usage by now; once it has ended, its usage by then."""
        if self.is_alive:
            try:
                self._last = _usage_of(self.process)
            except psutil.Error:
                self.is_alive = False
                self._last = self._last._replace(memory_bytes=0, descriptors=0, threads=0)
        return self._last


class _Group:
    """Processes that are sampled together; one at least."""

    def __init__(self, processes: list[psutil.Process]) -> None:
        self._processes = list(map(_SampledProcess, processes))
        self.columns = Columns()
        self.name = _name_of(processes[0])
        self.pids = [process.pid for process in processes]

    @property
    def is_gone(self) -> bool:
        """Whether no process was alive at the last sample."""
        return not any(each.is_alive for each in self._processes)

    def add(self, processes: list[psutil.Process]) -> None:
        """Sample ``processes``, too, from now on."""
        self._processes += map(_SampledProcess, processes)

    def sample(self, pause: Callable[[], None]) -> None:
        """Take a sample, with a pause between two processes."""
        usages = []
        for number, each in enumerate(self._processes):
            if number:
                pause()
            usages.append(each.sample())
        self.columns.append(_Usage(*(_sum(column) for column in zip(*usages, strict=True))))

    def record(self) -> ProcessSamples:
        """Return all samples; processor time and switches are counted from the first."""
        cpu_s, memory, descriptors, threads, switches = self.columns
        return ProcessSamples(
            name=self.name,
            pids=self.pids,
            cpu_s=since_first(cpu_s),
            memory_bytes=list(map(int, memory)),
            descriptors=list(map(int_or_none, descriptors)),
            threads=list(map(int, threads)),
            context_switches=list(map(int_or_none, since_first(switches))),
        )


class _Machine:
    """All processors, and all network interfaces."""

    def __init__(self) -> None:
        self.columns = Columns()

    def sample(self) -> None:
        """Take a sample."""
        times: Any = psutil.cpu_times()
        traffic: Any = psutil.net_io_counters()  # None where there is no interface
        idle_s = times.idle + getattr(times, "iowait", 0.0)
        # The kernel counts guests as user time, too (proc_stat(5)).
        total_s = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        sent, received = (traffic.bytes_sent, traffic.bytes_recv) if traffic else (0, 0)
        self.columns.append((total_s - idle_s, total_s, sent, received))

    def record(self) -> MachineSamples:
        """Return all samples."""
        busy_s, total_s, sent, received = self.columns
        return MachineSamples(
            cpu_share=[0.0, *map(_share, differences(busy_s), differences(total_s))],
            sent_bytes=list(map(int, since_first(sent))),
            received_bytes=list(map(int, since_first(received))),
        )


def _share(busy_s: float, total_s: float) -> float:
    return min(1.0, max(0.0, busy_s / total_s)) if total_s > 0 else 0.0


def _sum(column: Iterable[Any]) -> Any:
    """Return the sum; None if one of the values is unknown."""
    values = list(column)
    return None if None in values else sum(values)


def _usage_of(process: psutil.Process) -> _Usage:
    """Return the usage of ``process``. Raises psutil.Error if it has ended, or is a zombie."""
    with process.oneshot():
        if process.status() == psutil.STATUS_ZOMBIE:
            raise psutil.ZombieProcess(process.pid)
        times, switches = process.cpu_times(), process.num_ctx_switches()
        return _Usage(
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
