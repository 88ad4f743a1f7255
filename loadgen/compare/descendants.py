"""A command with all that it starts: daemons, too, end with it.

Facts. A process that makes a session of its own leaves the process group (setsid(2)); one whose
parent ends is given to the nearest ancestor that is a *child subreaper*, otherwise to init
(PR_SET_CHILD_SUBREAPER, prctl(2)). As a subreaper this process remains above all that a command
starts, and needs no privilege for it. A control group (cgroup.kill, admin-guide/cgroup-v2.rst)
would hold the same processes, but asks for one that the user may write to, which neither a login
nor a container has as a rule.

Where there are no subreapers (macOS) it is what is in the command's process group, and the children
of those that still run: a daemon in a session of its own is not found there.

Danger. What another child of this process starts and leaves behind while the command runs looks
just like the command's. `loadgen compare` has no other children.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

import psutil

from loadgen import signals
from loadgen.errors import UsageError

Process = subprocess.Popen[bytes]

_PR_SET_CHILD_SUBREAPER: Final = 36  # linux/prctl.h
_PR_GET_CHILD_SUBREAPER: Final = 37

_ASKED_S: Final = 5.0
"""How long the command has to end after ^C."""

_LOOK_EVERY_S: Final = 1.0
"""Orphans that have ended take a process number each until they are waited for."""

_STEPS: Final = ((signal.SIGTERM, 2.0), *[(signal.SIGKILL, 0.5)] * 10)
"""What is sent to those that the command leaves behind, and how many seconds they have to go. It is
sent again to those that were started meanwhile."""


@contextlib.contextmanager
def started(words: Sequence[str], output: int) -> Iterator["Command"]:
    """Start the command that consists of ``words`` and writes to the descriptor ``output``.

    In the end nothing that it has started is left; signals that ask this process to end are heard
    after that. To be used in the main thread. Raises OSError if the command cannot be started,
    UsageError if something of it cannot be ended.
    """
    with _adopting() as adopts:
        others = frozenset(psutil.Process().children(recursive=True))
        process: Process | None = None
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                yield Command(process, others if adopts else None)
            finally:
                _ask(process)
        finally:
            with signals.deferred(*signals.asking_to_end()):
                _end(others, None if adopts or process is None else process.pid)
                if process is not None:
                    process.poll()  # its exit code may be taken already


class Command(NamedTuple):
    """A command that runs; ``others`` are children that are none of its, None without orphans."""

    process: Process
    others: Collection[psutil.Process] | None

    def wait(self, longest_s: float) -> int:
        """Return the exit code. Raises subprocess.TimeoutExpired."""
        left_s = longest_s
        while True:
            try:
                return self.process.wait(min(left_s, _LOOK_EVERY_S))
            except subprocess.TimeoutExpired:
                left_s -= _LOOK_EVERY_S
                if left_s <= 0:
                    raise
            self._bury()

    def _bury(self) -> None:
        """Wait for the orphans that have ended."""
        if self.others is None:
            return
        spared = {self.process.pid, *(each.pid for each in self.others)}
        peek = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while (found := os.waitid(os.P_ALL, 0, peek)) and found.si_pid not in spared:
            os.waitpid(found.si_pid, 0)


def _ask(process: Process) -> None:
    """End ``process`` in good order, with its group, if it still runs and that works."""
    if process.poll() is None:
        # macOS refuses where all that is left of the group are zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_ASKED_S)


def _end(others: Collection[psutil.Process], group: int | None) -> None:
    remaining: set[psutil.Process] = set()
    for number, within_s in _STEPS:
        remaining |= _found(others, group)
        if not remaining:
            return
        for each in remaining:
            with contextlib.suppress(psutil.Error):
                each.send_signal(number)
        remaining = set(psutil.wait_procs(remaining, within_s)[1])
    if remaining:
        numbers = ", ".join(str(each.pid) for each in remaining)
        raise UsageError(f"--run: what a command has started cannot be ended: process {numbers}")


def _found(others: Collection[psutil.Process], group: int | None) -> set[psutil.Process]:
    """Return the children but ``others``, all that is below them, and who is in ``group``."""
    children = [child for child in psutil.Process().children() if child not in others]
    found = set(children)
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.update(child.children(recursive=True))
    if group is not None:
        found.update(each for each in psutil.process_iter() if _group_of(each) == group)
    return found


def _group_of(process: psutil.Process) -> int | None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        return os.getpgid(process.pid)
    return None


@contextlib.contextmanager
def _adopting() -> Iterator[bool]:
    """Be the subreaper of all that is started, where there is such a thing; tell whether."""
    if sys.platform != "linux":
        yield False
        return
    prctl = ctypes.CDLL(None).prctl
    before = ctypes.c_int()
    failed = prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    failed = failed or prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield not failed
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, before.value, 0, 0, 0)
