"""The process above a command: it ends all that the command has started, and nothing else.

Run as a program, ``supervisor.py WORD...``, it starts the command that consists of these words, and
ends with it. It imports the standard library alone, so that it is there at once.

Facts. A process that makes a session of its own leaves the process group (setsid(2)); one whose
parent ends is given to the nearest ancestor that is a *child subreaper*, otherwise to init
(PR_SET_CHILD_SUBREAPER, prctl(2)). As a subreaper, and with the command as its only child, this
process remains above all that the command starts, and above nobody else; it needs no privilege. A
control group (cgroup.kill, admin-guide/cgroup-v2.rst) would hold the same processes, but asks for
one that the user may write to, which neither a login nor a container has as a rule.

Whom a signal may hit. The number of a child stays its own until it is waited for (waitid(2)), and
only this process waits. The command begins with a session of its own, so every process group below
was made below, and holds nobody else: a group of another session cannot be joined (setpgid(2)). So
the groups of the children are what gets the signals: a group gets a signal as one, and no fork
slips through. Who is below a child, in another group, is a child when its parent has ended.

Where there are no subreapers (macOS) it is what is in the command's process group: a daemon in a
session of its own is not found there.

Whoever started this process says that it is over by closing the pipe at standard input, also by
dying; SIGINT, SIGTERM and SIGHUP say it, too, and are passed on to the command. Standard output is
for the answers, a line each:

- ``started``, or ``failed ERRNO``;
- ``ended CODE``, as soon as it has; the number of a signal with a minus;
- ``left NUMBER...``, if there are processes that cannot be ended.

The command writes to what is the standard error here.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36  # linux/prctl.h

ASKED_S: Final = 5.0
"""How long the command has to end when it is over: it is asked by ^C, or the signal that came."""

GRACE_S: Final = 2.0
"""How long those that the command leaves behind have to end after SIGTERM."""

KILLING_S: Final = 5.0
"""How long SIGKILL is sent, again and again, to those that are left and that they have started."""

_PASS_S: Final = 0.01
"""How long to wait at most before looking again for those that are left."""

_REAPED_AT_ONCE: Final = 10_000
"""More are waited for in the next pass: whoever forks without end does not hold up the deadline."""

_NAMED: Final = 10
"""So many of those that cannot be ended are named: a line must go through a pipe as one."""


class Events:
    """What wakes this process: ends of children, signals that ask to end, and the pipe's end."""

    def __init__(self) -> None:
        self._source, sink = os.pipe()
        for descriptor in (self._source, sink):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(sink, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _hear)
        asking = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        # What is ignored here, as by nohup(1), is ignored by the command, too.
        self._asking = [each for each in asking if signal.getsignal(each) is not signal.SIG_IGN]
        for number in self._asking:
            signal.signal(number, _hear)

    def asked(self) -> int | None:
        """Wait for anything; return the signal that asks to end, SIGINT for the pipe's end."""
        ready, _, _ = select.select([self._source, sys.stdin], [], [])
        heard = self._take() if self._source in ready else b""
        number = next((each for each in self._asking if each in heard), None)
        return signal.SIGINT if number is None and sys.stdin in ready else number

    def wait(self, longest_s: float) -> None:
        """Wait for any signal."""
        select.select([self._source], [], [], max(longest_s, 0.0))
        self._take()

    def _take(self) -> bytes:
        with contextlib.suppress(BlockingIOError):
            return os.read(self._source, 64 * 1024)
        return b""


def _hear(number: int, frame: object) -> None:
    """Nothing: the number is among the events (signal.set_wakeup_fd)."""


class Tree:
    """The command, and all that it has started."""

    def __init__(self, words: Sequence[str]) -> None:
        """Start the command. Raises OSError."""
        self._is_subreaper = _become_subreaper()
        # It is never waited for by itself, but with the others.
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True
        )
        self._has_children = True
        self.code: int | None = None

    def reap(self) -> None:
        """Wait for those that have ended already."""
        try:
            for _ in range(_REAPED_AT_ONCE):
                number, status = os.waitpid(-1, os.WNOHANG)
                if number == 0:
                    return
                if number == self._process.pid:
                    self.code = self._process.returncode = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            self._has_children = False

    def ask(self, number: int) -> None:
        """Send a signal to the command and its group, unless it has ended."""
        if self.code is None:
            _send(self._process.pid, number)

    def left(self) -> Iterator[int]:
        """Yield the children; without a subreaper the command, while somebody is in its group.

        /proc is read in the order of the numbers (fs/proc/base.c, proc_pid_readdir), and by and by:
        a process that forks and ends all the time runs ahead, and is met at the end.
        """
        if not self._is_subreaper:
            if _exists(self._process.pid):
                yield self._process.pid
            return
        with os.scandir("/proc") as entries:
            for entry in entries:
                if entry.name.isdecimal() and _is_child(int(entry.name)):
                    yield int(entry.name)

    def groups(self) -> set[int]:
        """Return the process groups of those that are left."""
        left = self.left()
        return {os.getpgid(number) for number in left} if self._is_subreaper else set(left)

    def is_over(self) -> bool:
        """Return whether nobody is left."""
        return not self._has_children and (self._is_subreaper or not self.groups())


def _become_subreaper() -> bool:
    """Adopt the orphans below this process, where that can be done, and they can be found."""
    if sys.platform != "linux" or not os.access("/proc/self", os.F_OK):
        return False
    return not ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _is_child(number: int) -> bool:
    try:
        os.waitid(os.P_PID, number, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS: all that is left of it are zombies
        return False
    return True


def _send(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _await_end(tree: Tree, events: Events) -> None:
    """Wait for the command; from the moment on when it is over, no longer than `ASKED_S`."""
    number = None
    while tree.code is None and number is None:
        number = events.asked()
        tree.reap()
    if number is None:
        return
    tree.ask(number)
    until_s = time.monotonic() + ASKED_S
    while tree.code is None and (left_s := until_s - time.monotonic()) > 0:
        events.wait(left_s)
        tree.reap()


def _end(tree: Tree, events: Events) -> None:
    """End all that are left, if that can be done in `GRACE_S` and `KILLING_S`."""
    begun_s = time.monotonic()
    asked: set[int] = set()
    tree.reap()
    while not tree.is_over() and (gone_s := time.monotonic() - begun_s) < GRACE_S + KILLING_S:
        groups = tree.groups()
        if gone_s < GRACE_S:
            for group in groups - asked:
                _send(group, signal.SIGTERM)
            asked |= groups
        else:
            for group in groups:
                _send(group, signal.SIGKILL)
        events.wait(_PASS_S)
        tree.reap()


def _answer(*words: object) -> None:
    with contextlib.suppress(BrokenPipeError):  # it is over, and nobody listens
        os.write(sys.stdout.fileno(), (" ".join(map(str, words)) + "\n").encode())


def main(words: Sequence[str]) -> None:
    """Run the command that consists of ``words`` to its end, and all that it starts."""
    events = Events()
    try:
        tree = Tree(words)
    except OSError as error:
        _answer("failed", error.errno)
        return
    _answer("started")
    _await_end(tree, events)
    if tree.code is not None:
        _answer("ended", tree.code)
    _end(tree, events)
    if not tree.is_over():
        _answer("left", *list(tree.left())[:_NAMED])


if __name__ == "__main__":
    main(sys.argv[1:])
    os._exit(0)  # Nothing is buffered, and an interpreter takes its time to end in good order.
