"""Exceptions, sorted by who can mend the matter: the user, the target, this machine, or us."""

import os

from loadgen.text import escaped, quoted, readable


class LoadgenError(Exception):
    """Base of everything that loadgen raises on purpose.

    Its text is fit to be shown to a user, in one line, whatever it was made of. What else there is
    to be seen are its notes (PEP 678), a line each.
    """

    def __str__(self) -> str:
        return readable(super().__str__())

    @property
    def notes(self) -> list[str]:
        """The notes, as fit to be shown as the text."""
        return list(map(readable, getattr(self, "__notes__", ())))


class UsageError(LoadgenError):
    """The user asked for what cannot be done: a wrong value, a contradiction, a missing file."""

    @classmethod
    def of(cls, option: str, value: object, accepted: str) -> "UsageError":
        """Return the error that names the option, the value given and what is accepted instead."""
        return cls(f"{option}: {quoted(value)} is not accepted; {accepted}")


class LocalLimitError(UsageError):
    """This machine forbids what was asked (descriptors, backends); the text says how to go on."""


class UnreachableError(LoadgenError):
    """Nobody could connect to the target."""


class RecordError(LoadgenError):
    """A file is no RunRecord that this version can read, or records refuse to be merged."""


class LoadgenBug(LoadgenError):  # noqa: N818 - a bug, not an error
    """An invariant of loadgen's own is broken: please report it."""


def reason(error: OSError) -> str:
    """Return why a system call failed, without the name of the file; not all errors have a text."""
    return error.strerror or str(error) or type(error).__name__


def in_words(error: OSError) -> str:
    """Return what an error was about, as far as it is known, and why."""
    if isinstance(error.filename, str | bytes):
        return f"{escaped(os.fsdecode(error.filename))}: {reason(error)}"
    return reason(error)
