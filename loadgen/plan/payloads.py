"""Payloads: the sources that a user names, and the queue that is made of them.

Every connection sends the same queue, in order and from its start again, each at its own position;
so the queue is shared and holds no position. Names of files are kept as
`loadgen.text.escaped` writes them.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, Protocol

import msgspec

from loadgen.errors import UsageError, reason
from loadgen.files.reading import read_whole
from loadgen.quantities import Bytes, Text
from loadgen.text import quoted, unescaped
from loadgen.units import parse_escapes


class FilePayload(msgspec.Struct, frozen=True, tag="file"):
    """One payload: the whole content of the file at ``path`` (``-``: standard input)."""

    path: Text


class LinesPayload(msgspec.Struct, frozen=True, tag="lines"):
    """One payload for each line of the file at ``path``, without its line end.

    Escapes in a line are understood unless it is ``raw``.
    """

    path: Text
    raw: bool = False


class SizePayload(msgspec.Struct, frozen=True, tag="size"):
    """One payload of ``size_bytes`` bytes of a printable pattern."""

    size_bytes: Bytes


class MadePayload(msgspec.Struct, frozen=True, tag="made"):
    """Payloads that user code makes during the run; ``by`` names it."""

    by: Text


RedactedPart = Literal["text", "file name", "file name, lines", "file name, raw lines"]


REDACTED: Final = "redacted: "
"""What begins the text that stands for one that is redacted."""


class RedactedPayload(msgspec.Struct, frozen=True, tag="redacted"):
    """The length and the digest of a payload, a first message, or what is expected of replies, that
    a record must not hold.

    part: what is redacted: the text that was sent, or the name of the file that it was read from.
    size_bytes: how long that was. sha256: the first digits of its digest, in hexadecimal
    (`loadgen.plan.redaction`).
    """

    part: RedactedPart
    size_bytes: Bytes
    sha256: Text

    def __repr__(self) -> str:
        part = "" if self.part == "text" else f"{self.part}, "
        return f"{REDACTED}{part}{self.size_bytes} bytes, sha256 {self.sha256}…"


PayloadSource = bytes | FilePayload | LinesPayload | SizePayload | MadePayload | RedactedPayload

LARGEST_BYTES = 2**30
"""The largest payload, and the most that one connection sends at once."""

IS_REDACTED = "it is redacted, so that it cannot be sent again; give it anew"

# The period is prime, so that an echo that is off by some bytes cannot look right.
_PATTERN = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXY"


def load(sources: Iterable[PayloadSource]) -> "PayloadQueue":
    """Return the queue that ``sources`` make, in their order.

    Raises UsageError for a file that cannot be read, and for an empty payload or line.
    """
    items = [item for source in sources for item in _items(source)]
    if not items:
        raise UsageError("payloads: there are none; give a text, a file or a size")
    return PayloadQueue(tuple(items))


def first_message(given: bytes | RedactedPayload) -> bytes:
    """Return what a connection sends first. Raises UsageError if that is no longer known."""
    if isinstance(given, RedactedPayload):
        raise UsageError(f"first message: {IS_REDACTED}")
    return given


def expectations(given: Sequence[str | RedactedPayload]) -> tuple[str, ...]:
    """Return what replies are expected to be. Raises UsageError if that is no longer known."""
    texts = tuple(each for each in given if isinstance(each, str))
    if len(texts) < len(given):
        raise UsageError("--expect: it is redacted, so that no reply can be compared; give it anew")
    return texts


def files_of(sources: Iterable[object]) -> Iterator[Path]:
    """Yield the files that ``sources`` are read from; ``-`` is standard input."""
    for source in sources:
        if isinstance(source, FilePayload | LinesPayload):
            yield Path(unescaped(source.path))


def _items(source: PayloadSource) -> list[bytes]:
    match source:
        case bytes():
            if not source:
                raise UsageError.of("--payload", "", "a payload has one byte or more")
            return [source]
        case FilePayload(path):
            content = read_file("--payload-file", path)
            if not content:
                raise UsageError(f"--payload-file: {path} is empty; a payload has one byte or more")
            return [content]
        case LinesPayload(path, raw):
            return _lines(path, raw)
        case MadePayload(by):
            raise UsageError(f"payloads: {by} makes them as it runs; give a text, a file or a size")
        case RedactedPayload():
            raise UsageError(f"payloads: {IS_REDACTED}")
        case SizePayload(size_bytes):
            if not 1 <= size_bytes <= LARGEST_BYTES:
                accepted = "a payload has one byte or more, and 1 GiB at most"
                raise UsageError.of("--size", size_bytes, accepted)
            return [(_PATTERN * (size_bytes // len(_PATTERN) + 1))[:size_bytes]]


def _lines(path: str, raw: bool) -> list[bytes]:
    content = read_file("--payload-lines", path)
    if not content:
        raise UsageError(f"--payload-lines: {path} is empty; it needs one payload a line")
    items = []
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n"), start=1):
        bare = line.removesuffix(b"\r")
        if not bare:
            raise UsageError(
                f"--payload-lines: line {number} of {path} is empty; every line is a payload "
                r"of one byte or more (write \n for a payload that is a line end)"
            )
        try:
            items.append(bare if raw else parse_escapes(bare))
        except ValueError as error:
            raise UsageError(f"--payload-lines: line {number} of {path}: {error}") from None
    return items


def read_file(option: str, path: str) -> bytes:
    """Return the content of the file that ``option`` names. Raises UsageError."""
    name = unescaped(path)
    try:
        return read_whole(name, LARGEST_BYTES)
    except OSError as error:
        of = "" if path == "-" else f"cannot read {quoted(name)}: "
        raise UsageError(f"{option}: {of}{reason(error)}") from None


class Payloads(Protocol):
    """What a connection sends, one message after the other."""

    items: tuple[bytes, ...]
    """All of them, which repeat; empty where each is made when it is sent."""

    repeats_bytes: bool
    """Whether each is sent as the same bytes every time, those of ``items``; otherwise these only
    tell how many there are, and how long they are."""

    def batch(self, position: int, count: int) -> tuple[bytes, tuple[int, ...]]:
        """Return ``count`` payloads from ``position`` on: their bytes in one, and their lengths.

        ``position`` is the number of payloads sent before, which may be modulo their number.
        """
        ...


class PayloadQueue:
    """The payloads in order; after the last comes the first again."""

    repeats_bytes = True

    def __init__(self, items: tuple[bytes, ...]) -> None:
        self.items = items
        self._lengths = tuple(map(len, items))

    def batch(self, position: int, count: int) -> tuple[bytes, tuple[int, ...]]:
        """Return ``count`` payloads from ``position`` on: their bytes in one, and their lengths."""
        items = self.items
        if count == 1:
            return items[position], self._lengths[position : position + 1]
        cycles, end = divmod(position + count, len(items))
        if cycles == 0:
            return b"".join(items[position:end]), self._lengths[position:end]
        chosen = items[position:] + items * (cycles - 1) + items[:end]
        lengths = self._lengths[position:] + self._lengths * (cycles - 1) + self._lengths[:end]
        return b"".join(chosen), lengths
