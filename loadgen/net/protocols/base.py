"""The interface of framings: how a connection finds out when a reply is whole.

A `Framing` is a value: the immutable description of a reply's form, the same for all connections.
Its `Decoder` holds the state of one connection. Neither uses sockets or time. One of a user's own
(``--reply module:Class``) needs no more than `BaseFraming` with a ``decoder``, and `BaseDecoder`
with a ``feed``; `loadgen.testing.check_protocol` tries whether they keep what is promised here.

A decoder tells more than how many replies are whole through attributes that the channel which
feeds it looks at after `Decoder.feed`, `Decoder.ends` and `Decoder.end`: ``rejected``, ``kinds``,
``to_send``, ``closes`` and ``unsolicited``. Most framings leave them as they are.

Where the bytes of each reply are wanted, to compare them with what is expected or to hand them to
user code, decoders are asked with `Decoder.ends` where the replies end. The bytes of a reply are
then all since the end of the one before: unsolicited ones that came in between, such as a ping, are
among them, and `Framing.content` leaves them out.

The peer is not trusted: whatever it sends, a decoder raises nothing but `FramingError`, takes
memory that is bounded, and returns.
"""

import sys
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final, Protocol, cast

from loadgen.net.failure import Cause, Failure, Phase

NO_LIMIT_BYTES: Final = sys.maxsize
"""The limit of a reply's length where there is none."""

MOST_REPLY_BYTES: Final = 16 * 2**20
"""How long a reply may be where its peer decides, and ``--max-reply`` says nothing else."""

MOST_KIND: Final = 2**10 - 1
"""The highest number of a kind of replies."""

# One for all decoders that have rejected nothing: to write to it raises TypeError.
_NONE_REJECTED: Final = cast("dict[Cause, int]", MappingProxyType({}))


class FramingError(Exception):
    """The server's bytes do not fit; ``cause`` says how."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.text)
        self.cause = cause

    @property
    def failure(self) -> Failure:
        """What it means for the connection."""
        return Failure(Phase.VERIFY if self.cause is Cause.MISMATCH else Phase.RECEIVE, self.cause)


class Decoder(Protocol):
    """Finds whole replies in one connection's incoming bytes, however they are split."""

    partial: bool
    """Whether bytes of a reply that is not whole yet have been fed; of an ``unsolicited`` decoder,
    bytes of anything that is not whole yet, such as half a ping."""

    rejected: dict[Cause, int]
    """How many whole replies said no, by cause, since the channel last cleared it.

    They are among the replies that `feed` and `end` have returned. Read it; only where there is
    something in it may it be cleared.
    """

    kinds: Sequence[int]
    """The kinds of the replies that the last `feed` or `end` has made whole, in their order; empty
    where there is nothing to tell apart. From 1 to `MOST_KIND`, a hundred of which are a class:
    HTTP's are its status codes."""

    to_send: bytes
    """What is to be sent back now, such as a pong; the channel takes it and sets ``b""``."""

    closes: bool
    """Whether the server closes after the replies so far: the connection is to be renewed.

    The decoder sets it once and for all. `end` may set it and return 0: the messages in flight met
    an orderly end, and are sent again on the next connection. It is asked after a reset, too, if
    nothing is ``partial``. Where the server had the time to begin a reply, they are lost instead.
    """

    unsolicited: bool
    """Whether bytes may come that no message asked for, such as a ping; never changed."""

    repeatable: bool
    """Whether equal bytes mean the same as those of the last `feed` if both begin and end between
    two replies, on every connection: then they need not be fed."""

    def expect(self, batch: bytes, lengths: Sequence[int]) -> None:
        """Note that ``batch``, messages of ``lengths`` bytes, is about to be sent."""
        ...

    def feed(self, view: memoryview) -> int:
        """Return how many replies the bytes in ``view`` have made whole; keep no reference to it.

        Raises FramingError on bytes that can be part of no reply, or of none that is short enough.
        """
        ...

    def ends(self, view: memoryview) -> Sequence[int]:
        """Do what `feed` does, but return where in ``view`` the replies end, in their order."""
        ...

    def end(self) -> int:
        """Return how many replies the end of the stream has made whole."""
        ...


class Framing(Protocol):
    """Says when a reply is whole."""

    @property
    def one_way(self) -> bool:
        """Whether messages have no reply at all."""
        ...

    @property
    def needs_messages(self) -> bool:
        """Whether its decoders must be told of each message (`Decoder.expect`)."""
        ...

    def decoder(self) -> Decoder:
        """Return a decoder for one connection."""
        ...

    def farewell(self) -> bytes:
        """Return what is sent last on a connection that we end, between two messages."""
        ...

    def content(self, reply: bytes) -> bytes:
        """Return what user code gets for ``reply``, and what ``--expect`` looks at.

        ``reply`` is the bytes of a whole one, as far back as the end of the one before. Raises
        nothing for one that a decoder of this framing has found whole.
        """
        ...

    def reply_bytes(self, message_bytes: int) -> int | None:
        """Return how long the reply to a message of that length is; None if only its bytes tell.

        Where this is known, the decoder may be skipped or replaced by one that counts bytes: a
        framing whose decoders tell more than how many replies are whole returns None.
        """
        ...


class BaseFraming:
    """Base of framings: there are replies, and only their own bytes tell when they are whole."""

    __slots__ = ()
    one_way = False
    needs_messages = False

    def farewell(self) -> bytes:
        """Return nothing: the end of the stream says it all."""
        return b""

    def content(self, reply: bytes) -> bytes:
        """Return ``reply``."""
        return reply

    def reply_bytes(self, message_bytes: int) -> int | None:
        """Return None: only the bytes tell."""
        return None


def hands_out_bytes(framing: Framing) -> bool:
    """Return whether what user code gets for a reply is the bytes of the reply."""
    return getattr(type(framing), "content", None) is BaseFraming.content


class BaseDecoder:
    """Base of decoders: by default, messages sent and the end of the stream do not matter.

    Nothing is rejected, nothing sent back. These defaults belong to the class and cost a connection
    no memory; a decoder replaces them for itself when there is something to tell (`reject`).
    """

    rejected: dict[Cause, int] = _NONE_REJECTED
    kinds: Sequence[int] = ()
    to_send: bytes = b""
    closes: bool = False
    unsolicited: bool = False
    repeatable: bool = False

    def __init__(self) -> None:
        self.partial = False

    def reject(self, cause: Cause, count: int = 1) -> None:
        """Note that ``count`` replies which are whole now said no, for ``cause``."""
        if not self.rejected:
            self.rejected = {}
        self.rejected[cause] = self.rejected.get(cause, 0) + count

    def expect(self, batch: bytes, lengths: Sequence[int]) -> None:
        """Ignore it: the form of the reply does not depend on the message."""

    def feed(self, view: memoryview) -> int:
        """Return how many replies the bytes in ``view`` have made whole, as `Decoder.feed`."""
        raise NotImplementedError

    def ends(self, view: memoryview) -> Sequence[int]:
        """Feed byte by byte: right for every decoder, however slow.

        It is asked only where replies may come together, and their bytes are wanted. A decoder that
        knows where they end should say so itself, and may then leave `feed` to count them.
        """
        found: list[int] = []
        kinds: list[int] = []
        for end in range(1, len(view) + 1):
            replies = self.feed(view[end - 1 : end])
            found += [end] * replies
            kinds += self.kinds if replies else ()
        if kinds:
            self.kinds = kinds
        return found

    def end(self) -> int:
        """Return 0: the end of the stream completes nothing."""
        return 0
