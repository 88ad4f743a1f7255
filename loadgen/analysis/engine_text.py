"""Which engine exchanged the messages, in words, and why it is not the native one."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Protocol

from loadgen.analysis.lines import Line, wrapped
from loadgen.results.instruments import EngineName

_NAMES: Final[Mapping[EngineName, str]] = {"native": "native engine", "python": "Python engine"}


class EngineFacts(Protocol):
    """A record, or what is kept of one."""

    @property
    def engine(self) -> EngineName:
        """What exchanged its messages."""

    @property
    def why_python(self) -> str:
        """Why it is not the native engine; empty where it is, or where Python was asked for."""


def name(engine: EngineName) -> str:
    """Return ``engine`` for people."""
    return _NAMES[engine]


def in_words(run: EngineFacts) -> str:
    """Return the engine of ``run``, and the reason if there is one."""
    why = f" ({run.why_python})" if run.why_python else ""
    return f"{name(run.engine)}{why}"


def notes(runs: Iterable[EngineFacts]) -> Iterator[Line]:
    """Yield once each reason for which any of ``runs`` took place in Python."""
    for reason in dict.fromkeys(run.why_python for run in runs if run.why_python):
        yield from wrapped(f"({name('python')}: {reason})", style="faint")
