"""Framings (when a reply is complete) by name; the interface is in `loadgen.net.protocols.base`."""

import re
from typing import Final, Literal

from loadgen.errors import UsageError
from loadgen.net.protocols.base import (
    NO_LIMIT_BYTES,
    Decoder,
    Framing,
    FramingError,
)
from loadgen.net.protocols.expecting import Expectation, Expecting
from loadgen.net.protocols.framings import Delimiter, Echo, Fixed, LengthPrefix, NoReply, UntilEof
from loadgen.net.protocols.imported import imported, is_form
from loadgen.net.protocols.keeping import Keeping
from loadgen.net.protocols.once import Once
from loadgen.units import SIZE_FORM, parse_escapes, parse_size_bytes

__all__ = [
    "Decoder",
    "Delimiter",
    "Echo",
    "Expectation",
    "Expecting",
    "Fixed",
    "Framing",
    "FramingError",
    "Keeping",
    "LengthPrefix",
    "NoReply",
    "Once",
    "UntilEof",
    "is_own",
    "parse",
]

NAMES: Final = ("echo", "fixed", "delimiter", "length", "none", "eof")
"""How forms begin of the framings that are here."""

FORMS = (
    r"echo, fixed:N, delimiter:'\r\n', length:u8|u16|u32|u64[be|le][,header-included], none, eof, "
    "http, resp, or module:Class of your own"
)

_LENGTH = re.compile(r"u(8|16|32|64)(be|le)?(,header-included)?")


def parse(text: str, max_reply_bytes: int = NO_LIMIT_BYTES, option: str = "--reply") -> Framing:
    r"""Return the framing that ``text`` names: ``echo``, ``fixed:64``, ``delimiter:\r\n``…

    One of a user's own is imported.

    ``max_reply_bytes`` applies to those whose length the peer decides.
    Raises UsageError naming the ``option``, the text and the accepted forms.
    """
    try:
        return (imported if is_own(text) else _parse)(text, max_reply_bytes)
    except LookupError:
        raise UsageError.of(option, text, f"write {FORMS}") from None
    except ValueError as error:
        raise UsageError.of(option, text, str(error)) from None


def is_own(text: str) -> bool:
    """Return whether ``text`` is of the form of a user's own framing; there may be none."""
    return text.partition(":")[0] not in NAMES and is_form(text)


def _parse(text: str, max_reply_bytes: int) -> Framing:
    name, colon, argument = text.partition(":")
    match name, bool(colon):
        case "echo", False:
            return Echo()
        case "none", False:
            return NoReply()
        case "eof", False:
            return UntilEof(max_reply_bytes)
        case "fixed", True:
            return _fixed(argument)
        case "delimiter", True:
            return _delimiter(argument, max_reply_bytes)
        case "length", True:
            return _length(argument, max_reply_bytes)
        case _:
            raise ValueError(f"write {FORMS}")


def _fixed(argument: str) -> Fixed:
    try:
        size_bytes = parse_size_bytes(argument)
    except ValueError:
        raise ValueError(f"after fixed: {SIZE_FORM}") from None
    if size_bytes < 1:
        raise ValueError("a reply has one byte or more; for none, write none")
    return Fixed(size_bytes)


def _delimiter(argument: str, max_reply_bytes: int) -> Delimiter:
    mark = parse_escapes(argument)
    if not mark:
        raise ValueError(r"a delimiter has one byte or more, such as '\n'")
    return Delimiter(mark, max_reply_bytes)


def _length(argument: str, max_reply_bytes: int) -> LengthPrefix:
    match = _LENGTH.fullmatch(argument)
    if match is None:
        raise ValueError(
            "after length: write u8, u16, u32 or u64, then be or le, "
            "then ,header-included if the length counts itself",
        )
    byte_order: Literal["big", "little"] = "little" if match[2] == "le" else "big"
    return LengthPrefix(int(match[1]) // 8, byte_order, bool(match[3]), max_reply_bytes)
