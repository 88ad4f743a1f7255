"""Starts a command under a supervisor process, which also ends the daemons that it leaves.

The `supervisor` runs between this process and the command. It ends the command and all that the
command has started, in a bounded time, when this process asks for it or dies. So this process
adopts no orphans, searches for no processes, and receives signals while the command runs.
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
from loadgen.runner.commands import supervisor

_START_S: Final = 30.0
"""The limit for starting a supervisor, which takes 50 ms on an idle machine."""

_SPARE_S: Final = 5.0
"""Added to the supervisor's own limits, for a busy machine."""

_END_S: Final = supervisor.ASKED_S + supervisor.GRACE_S + supervisor.KILLING_S + _SPARE_S
_ANSWER_BYTES: Final = 4096  # an answer is written at once, and is shorter (pipe(7), PIPE_BUF)

_LOST: Final = (
    "--run: the supervisor of a command was ended before it, and processes of the command may "
    "still run; make sure that a command ends only processes that it has started"
)


@contextlib.contextmanager
def started_command(words: Sequence[str], output: int) -> Iterator["SupervisedCommand"]:
    """Start the command ``words``, which writes to the descriptor ``output``.

    On leaving, all that the command has started is ended; signals that ask this process to end are
    handled after that. For the main thread only. Raises OSError if the command cannot be started,
    UsageError if a process of it cannot be ended.
    """
    asking = signals.asking_to_end()
    command: SupervisedCommand | None = None
    try:
        with signals.deferred(*asking):
            command = SupervisedCommand(words, output)
        command.await_start()
        yield command
    finally:
        with signals.deferred(*asking):
            if command is not None:
                command.end()


class SupervisedCommand:
    """A running command, seen through the answers of its supervisor."""

    def __init__(self, words: Sequence[str], output: int) -> None:
        """Start the supervisor. Raises OSError."""
        self._supervisor = subprocess.Popen(
            # Isolated and without site-packages it starts faster.
            [sys.executable, "-I", "-S", supervisor.__file__, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
        )
        self._received = b""

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
        """Have the supervisor end all processes, or kill it after `_END_S`. Raises UsageError."""
        with self._supervisor:
            try:
                # Closes its standard input, which tells it to end.
                answers, _ = self._supervisor.communicate(timeout=_END_S)
            except subprocess.TimeoutExpired:
                self._supervisor.kill()
                raise UsageError(
                    f"--run: the processes of a command were not ended within {_END_S:g} s, and "
                    "may still run; look for them, and end them"
                ) from None
        for line in (self._received + answers).decode().splitlines():
            match line.split():
                case ["left", *numbers]:
                    raise UsageError(
                        "--run: processes of a command cannot be ended: "
                        f"{', '.join(numbers)}; end them as the user who owns them"
                    )

    def _answer(self, within_s: float) -> list[str]:
        """Return the words of the next answer; an empty list if the supervisor has ended.

        Raises subprocess.TimeoutExpired.
        """
        assert self._supervisor.stdout is not None
        descriptor = self._supervisor.stdout.fileno()
        if not self._received:
            ready, _, _ = select.select([descriptor], [], [], min(within_s, threading.TIMEOUT_MAX))
            if not ready:
                raise subprocess.TimeoutExpired(self._supervisor.args, within_s)
            self._received = os.read(descriptor, _ANSWER_BYTES)
        line, _, self._received = self._received.partition(b"\n")
        return line.decode().split()
