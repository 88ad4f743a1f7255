"""What makes a peer: what it needs, what it loads, how it is started, and what it prints."""

import importlib.metadata
import importlib.util
import re
import subprocess
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final

from bench.peers.printed import Told
from bench.peers.processes import Workshop, found

_VERSION: Final = re.compile(r"\d+(?:\.\d+)+")
_ANSWER_WITHIN_S: Final = 10.0


@dataclass(frozen=True)
class Command:
    """A program that must be there, in that package of Debian, or of another ``installer``; its
    version is in what it prints after ``ask``.
    """

    name: str
    package: str
    ask: str = "--version"
    installer: str = "apt-get install"

    @property
    def is_here(self) -> bool:
        """Whether it is installed."""
        return found(self.name) is not None

    @property
    def install(self) -> str:
        """How it is had."""
        return f"{self.installer} {self.package}"

    @property
    def version(self) -> str:
        """What it says of itself; a question mark if nothing."""
        told = subprocess.run(
            [found(self.name) or self.name, self.ask],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_ANSWER_WITHIN_S,
            check=False,  # wrk prints its version, and fails
        )
        number = _VERSION.search(told.stdout)
        return number.group() if number else "?"


@dataclass(frozen=True)
class Library:
    """A Python package that must be there."""

    name: str

    @property
    def is_here(self) -> bool:
        """Whether it is installed."""
        return importlib.util.find_spec(self.name) is not None

    @property
    def install(self) -> str:
        """How it is had."""
        return f"pip install {self.name}"

    @property
    def version(self) -> str:
        """That of the installed distribution."""
        return importlib.metadata.version(self.name)


Need = Command | Library


@dataclass(frozen=True)
class Load:
    """What a client is asked for. messages: as many as loadgen had in such a run; for those that
    know no duration.
    """

    port: int
    connections: int
    seconds: float
    messages: int


@dataclass(frozen=True)
class Peer:
    """A load tool, or a way to write one, and the same load for loadgen.

    serve: its server, with a fresh one for every run.
    command: how it is started; told: what it then prints.
    options: what loadgen needs to exchange the same messages with the same server, from port and
    connections, for as long as the block lasts.
    scheme: how the target of loadgen begins.
    connections: those that it is compared with, if not those that were asked for.
    has_whole_seconds: whether it knows no fractions of one.
    aims: how many times its messages loadgen is to have, stamped and in user space, by connections.
    note: what the figures do not tell.
    """

    name: str
    needs: tuple[Need, ...]
    serve: Callable[[Workshop], AbstractContextManager[int]]
    command: Callable[[Load], list[str]]
    told: Callable[[str, Load], Told]
    options: Callable[[int, int], AbstractContextManager[list[str]]]
    scheme: str = "tcp"
    connections: tuple[int, ...] = ()
    has_whole_seconds: bool = False
    aims: Mapping[int, tuple[float, float]] = field(default_factory=dict, hash=False)
    note: str = ""

    @property
    def missing(self) -> list[Need]:
        """What must be installed first."""
        return [need for need in self.needs if not need.is_here]
