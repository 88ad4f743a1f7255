"""A terminal with one program on it, which can be closed as a window is."""

import os
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from command import ROOT, TIMEOUT_S, environment

_ON_TERMINAL: Final = """
import os, signal, sys
os.login_tty(0)
if sys.argv[1] == "nohup":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.execv(sys.argv[2], sys.argv[2:])
"""


class ClosingTerminal:
    """Runs ``words`` as the leader of a session on a terminal of its own; ends it when left.

    nohup: let it ignore the hangup.
    """

    def __init__(self, words: Sequence[str], *, nohup: bool = False) -> None:
        self._ours, theirs = os.openpty()
        how = "nohup" if nohup else "plain"
        self.process = subprocess.Popen(
            [sys.executable, "-c", _ON_TERMINAL, how, *words],
            cwd=ROOT,
            env=environment(COLUMNS="120"),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self._is_open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        self.close()

    def read_until(self, text: str) -> None:
        """Return when ``text`` was shown; it must not end before."""
        shown = b""
        while text.encode() not in shown:
            shown += os.read(self._ours, 65536)  # EIO, if it has ended

    def close(self) -> None:
        """Close the terminal, which hangs up."""
        if self._is_open:
            self._is_open = False
            os.close(self._ours)

    def ended(self) -> int:
        """Wait for the end; return the exit code."""
        return self.process.wait(TIMEOUT_S)
