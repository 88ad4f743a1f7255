"""The process above a command: it ends all that the command has started, and nothing else.

Run as a program, ``supervisor.py WORD...``, it starts the command that consists of these words, and
ends with it. It imports only the standard library, so that it starts fast.

Facts. A process that creates its own session leaves its process group (setsid(2)). When a parent
ends, its children are given to the nearest ancestor that is a *child subreaper*, otherwise to init
(PR_SET_CHILD_SUBREAPER, prctl(2)).

Decision. This process is a subreaper and the command is its only child; so it remains the ancestor
of all that the command starts, and of nothing else. That needs no privilege. A control group
(cgroup.kill, admin-guide/cgroup-v2.rst) would contain the same processes, but needs one that the
user may write to, which logins and containers usually do not have.

Danger. A signal must not reach other processes. The process number of a child is not reused until
it is waited for (waitid(2)), and only this process waits. The command starts in its own session, so
every process group among its descendants was created there and contains nothing else: a group of
another session cannot be joined (setpgid(2)). So the groups of the children are signalled: a group
receives a signal at once, and no fork escapes it. A descendant in another group becomes a child
here when its parent has ended.

Cost. Without subreapers (macOS) only the command's process group is ended: a daemon in its own
session is not found.

Protocol. The parent asks for the end by closing the pipe at standard input, or by dying; SIGINT,
SIGTERM and SIGHUP ask for it, too, and are passed on to the command. Answers go to standard output,
a line each:

- ``started``, or ``failed ERRNO``;
- ``ended CODE``, as soon as the command has ended; a negative code is the number of a signal;
- ``left NUMBER...``, if there are processes that cannot be ended.

The standard output and standard error of the command are the standard error of this process.
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
"""The time that the command has to end after SIGINT, or after the signal that was received."""

GRACE_S: Final = 2.0
"""The time that processes left behind by the command have to end after SIGTERM."""

KILLING_S: Final = 5.0
"""The time for which SIGKILL is sent, repeatedly, to the processes that remain."""

_PASS_S: Final = 0.01
"""The longest wait between two scans for processes that remain."""

_REAPED_AT_ONCE: Final = 10_000
"""The rest is left to the next pass, so that endless forking cannot delay the deadline."""

_NAMED: Final = 10
"""The most processes that are named as not ended: a line must be one atomic write to a pipe."""


class Events:
    """What wakes this process: children that end, signals that ask to end, and the closed pipe."""

    def __init__(self) -> None:
        self._source, sink = os.pipe()
        for descriptor in (self._source, sink):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(sink, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _ignore)
        asking = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        # What is ignored here, as by nohup(1), is ignored by the command, too.
        self._asking = [each for each in asking if signal.getsignal(each) is not signal.SIG_IGN]
        for number in self._asking:
            signal.signal(number, _ignore)

    def asked(self) -> int | None:
        """Wait for an event; return the signal that asks to end, SIGINT for the closed pipe."""
        ready, _, _ = select.select([self._source, sys.stdin], [], [])
        received = self._take() if self._source in ready else b""
        number = next((each for each in self._asking if each in received), None)
        return signal.SIGINT if number is None and sys.stdin in ready else number

    def wait(self, longest_s: float) -> None:
        """Wait for any signal."""
        select.select([self._source], [], [], max(longest_s, 0.0))
        self._take()

    def _take(self) -> bytes:
        with contextlib.suppress(BlockingIOError):
            return os.read(self._source, 64 * 1024)
        return b""


def _ignore(number: int, frame: object) -> None:
    """Do nothing: the number arrives through the wake-up descriptor (signal.set_wakeup_fd)."""


class Tree:
    """The command, and all processes that it has started."""

    def __init__(self, words: Sequence[str]) -> None:
        """Start the command. Raises OSError."""
        self._is_subreaper = _become_subreaper()
        # It is not waited for separately, but with the other children.
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True
        )
        self._has_children = True
        self.code: int | None = None

    def reap(self) -> None:
        """Reap the children that have ended."""
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
        """Yield the children; without a subreaper the command, while its group is not empty.

        /proc is read in numerical order (fs/proc/base.c, proc_pid_readdir), in several steps: the
        successors of a process that forks and ends at once get higher numbers, and are found last.
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
        """Return the process groups of the processes that remain."""
        left = self.left()
        return {os.getpgid(number) for number in left} if self._is_subreaper else set(left)

    def is_over(self) -> bool:
        """Return whether no process remains."""
        return not self._has_children and (self._is_subreaper or not self.groups())


def _become_subreaper() -> bool:
    """Make this process adopt orphaned descendants, where the system can, and can list them."""
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
    except PermissionError:  # macOS: only zombies are left in it
        return False
    return True


def _send(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _await_end(tree: Tree, events: Events) -> None:
    """Wait for the command; once an end is asked for, no longer than `ASKED_S`."""
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
    """End all processes that remain, within `GRACE_S` and `KILLING_S`."""
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
    with contextlib.suppress(BrokenPipeError):  # the parent has ended
        os.write(sys.stdout.fileno(), (" ".join(map(str, words)) + "\n").encode())


def main(words: Sequence[str]) -> None:
    """Run the command ``words`` to its end, and end all that it has started."""
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
    os._exit(0)  # Nothing is buffered, and the normal end of an interpreter is slow.
