"""The exceptions of loadgen, by cause: wrong usage, the target, this machine, or a bug."""

import os

from loadgen.text import escaped, quoted, readable


class LoadgenError(Exception):
    """Base of everything that loadgen raises on purpose.

    Its text is one line that can be shown to a user, whatever it was made of. Further details are
    its notes (PEP 678), a line each.
    """

    def __str__(self) -> str:
        return readable(super().__str__())

    @property
    def notes(self) -> list[str]:
        """The notes, as readable as the text."""
        return list(map(readable, getattr(self, "__notes__", ())))


class UsageError(LoadgenError):
    """What was asked for cannot be done: a wrong value, a contradiction, a missing file."""

    @classmethod
    def of(cls, option: str, value: object, accepted: str) -> "UsageError":
        """Return the error that names the option, the value given and what is accepted instead."""
        return cls(f"{option}: {quoted(value)} is not accepted; {accepted}")


class LocalLimitError(UsageError):
    """A limit of this machine forbids it (descriptors, backends); the text says what to do."""


class UnreachableError(LoadgenError):
    """No connection to the target could be opened."""


class RecordError(LoadgenError):
    """A file is not a RunRecord that this version can read, or records cannot be merged."""


class LoadgenBug(LoadgenError):  # noqa: N818 - a bug, not an error
    """An internal invariant is broken: please report it."""


def reason(error: OSError) -> str:
    """Return why a system call failed, without the name of the file, even if it has no text."""
    return error.strerror or str(error) or type(error).__name__


def in_words(error: OSError) -> str:
    """Return the name of the file, if the error has one, and why it failed."""
    if isinstance(error.filename, str | bytes):
        return f"{escaped(os.fsdecode(error.filename))}: {reason(error)}"
    return reason(error)
