"""A command under a supervisor of its own: daemons, too, end with it.

The `supervisor` is a process between this one and the command. It ends the command with all that it
has started, in a bounded time, when this process says so, and when it dies. This process adopts
nobody, has nothing to look for, and hears signals while the command runs.
"""

import contextlib
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Final

from loadgen import signals
from loadgen.errors import UsageError
from loadgen.runner import supervisor

_START_S: Final = 30.0
"""How long a supervisor may take to start, which takes 50 ms where the machine has time."""

_SPARE_S: Final = 5.0
"""How much longer than its terms the supervisor may take to end all, on a busy machine."""

_END_S: Final = supervisor.ASKED_S + supervisor.GRACE_S + supervisor.KILLING_S + _SPARE_S
_ANSWER_BYTES: Final = 4096  # an answer is written as one, and is shorter (pipe(7), PIPE_BUF)

_LOST: Final = (
    "--run: the supervisor of a command was ended before it, and what the command has started may "
    "still run; let commands end nobody but their own"
)


@contextlib.contextmanager
def started(words: Sequence[str], output: int) -> Iterator["Command"]:
    """Start the command that consists of ``words`` and writes to the descriptor ``output``.

    In the end nothing that it has started is left; signals that ask this process to end are heard
    after that. To be used in the main thread. Raises OSError if the command cannot be started,
    UsageError if something of it cannot be ended.
    """
    asking = signals.asking_to_end()
    command: Command | None = None
    try:
        with signals.deferred(*asking):
            command = Command(words, output)
        command.await_start()
        yield command
    finally:
        with signals.deferred(*asking):
            if command is not None:
                command.end()


class Command:
    """A command that runs, as its supervisor tells of it."""

    def __init__(self, words: Sequence[str], output: int) -> None:
        """Start the supervisor. Raises OSError."""
        self._supervisor = subprocess.Popen(
            # Isolated, and without what is installed, it starts faster.
            [sys.executable, "-I", "-S", supervisor.__file__, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
        )
        self._heard = b""

    def await_start(self) -> None:
        """Wait until the command runs. Raises OSError if it cannot be started, and UsageError."""
        match self._answer(_START_S):
            case ["started"]:
                pass
            case ["failed", number]:
                raise OSError(int(number), os.strerror(int(number)))
            case _:
                raise UsageError(_LOST)

    def wait(self, longest_s: float) -> int:
        """Return the exit code. Raises subprocess.TimeoutExpired, and UsageError."""
        match self._answer(longest_s):
            case ["ended", code]:
                return int(code)
            case _:
                raise UsageError(_LOST)

    def end(self) -> None:
        """Have the supervisor end all; at worst it is killed. Raises UsageError."""
        with self._supervisor:
            try:
                # Its standard input is closed first, by which it knows.
                answers, _ = self._supervisor.communicate(timeout=_END_S)
            except subprocess.TimeoutExpired:
                self._supervisor.kill()
                raise UsageError(
                    f"--run: what a command has started was not ended in {_END_S:g} s, and may "
                    "still run"
                ) from None
        for line in (self._heard + answers).decode().splitlines():
            match line.split():
                case ["left", *numbers]:
                    raise UsageError(
                        "--run: what a command has started cannot be ended: process "
                        f"{', '.join(numbers)}; end it as the user whose it is"
                    )

    def _answer(self, within_s: float) -> list[str]:
        """Return the words of the next answer, none where the supervisor has ended.

        Raises subprocess.TimeoutExpired.
        """
        assert self._supervisor.stdout is not None
        descriptor = self._supervisor.stdout.fileno()
        if not self._heard:
            ready, _, _ = select.select([descriptor], [], [], min(within_s, threading.TIMEOUT_MAX))
            if not ready:
                raise subprocess.TimeoutExpired(self._supervisor.args, within_s)
            self._heard = os.read(descriptor, _ANSWER_BYTES)
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode().split()
