"""Tests of a framing of one's own: does it keep what `loadgen.net.protocols.base` promises?

    from loadgen.testing import check_protocol

    def test_my_framing():
        check_protocol(MyFraming(), [b"+OK\r\n", b"-ERR no such key\r\n"])

It may raise an AssertionError, which says what is wrong with which bytes.

Danger: a decoder sees what the kernel hands out: half a reply, three and a half, one byte. A server
that is broken, or is none, sends anything. One that fails on what it has not met yet fails in the
middle of a long run.
"""

import random
import signal
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Final

from loadgen.net.failure import Cause
from loadgen.net.protocols import Framing, FramingError, Keeping
from loadgen.net.protocols.base import MOST_KIND, MOST_REPLY_BYTES

__all__ = ["check_bytes", "check_protocol"]

_MOST_CUTS: Final = 200
_HOSTILE_STREAMS: Final = 200
_CHUNK_BYTES: Final = 64 * 2**10
_LONGEST_S: Final = 2.0
"""How much processor time decoding of a stream may take, where milliseconds are enough."""
_LONGEST_OF_MANY_S: Final = 60.0
"""The same of some 32 MiB."""

_HOSTILE: Final = (
    *(
        b"\x00" * 9,
        b"\xff" * 9,
        b"\x7f" + b"\xff" * 8,
        b"9" * 20,
        b"-1",
        b"0",
        b"\r\n",
        b"\n",
        b":",
    ),
    *(b"18446744073709551616", b"9223372036854775808", b"\r\n\r\n", b" ", b"*", b"$", b"%", b"["),
)
"""What lengths, numbers and ends of lines are made of, where they are to do harm."""


@dataclass
class _Said:
    """What a decoder said of a stream. failure: with which it refused the rest, if so."""

    replies: int = 0
    ends: list[int] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    rejected: dict[Cause, int] = field(default_factory=dict)
    to_send: bytes = b""
    closes: bool = False
    partial: bool = False
    failure: Cause | None = None


def check_protocol(
    framing: Framing,
    replies: Sequence[bytes],
    messages: Sequence[bytes] = (),
    most_reply_bytes: int = MOST_REPLY_BYTES,
) -> None:
    """Raise AssertionError, saying what is wrong, unless ``framing`` keeps the contract.

    replies: whole ones, as a server sends them; of each kind that there is, one. messages: what
    they answer, one for each; of the same length where there are none. most_reply_bytes: how much
    a decoder may keep.

    Replies are fed whole, byte by byte, cut anywhere and several together, to decoders that must
    not know of each other; then damaged ones, and one without end.
    """
    assert replies, "give one whole reply at least"
    asked = list(messages) or [b"m" * len(reply) for reply in replies]
    assert len(asked) == len(replies), "give as many messages as replies, or none"
    samples = list(zip(asked, replies, strict=True))
    for message, reply in samples:
        _check_alone(framing, message, reply)
    if not _ends_with_connection(framing, *samples[0]):
        _check_together(framing, samples)
    _check_damaged(framing, samples)
    _check_memory(framing, samples[0], most_reply_bytes)


def check_bytes(
    framing: Framing, stream: bytes, places: Sequence[int] = (), messages: Sequence[bytes] = (b"m",)
) -> None:
    """Raise AssertionError unless decoders say the same of ``stream``, however it is cut.

    It may be anything: they may refuse it, but neither fail nor go on for ever. places: where to
    cut it, too. messages: what has been sent before.
    """
    whole = _decode(framing, messages, _cut(stream))
    single = _decode(framing, messages, [stream[at : at + 1] for at in range(len(stream))])
    cut = _decode(framing, messages, _cut(stream, places), asks_for_ends=True)
    for said, how in ((single, "byte by byte"), (cut, "in pieces")):
        if single.closes:
            break  # what follows an end means nothing
        assert (said.failure is None) == (whole.failure is None), (
            f"of {_shown(stream)}, whole, a decoder says {_outcome(whole)}; {how} {_outcome(said)}"
        )
        if whole.failure is None and whole.replies <= len(messages):  # more would be refused
            _compare(whole, said, f"of {_shown(stream)}, {how}")


def _check_alone(framing: Framing, message: bytes, reply: bytes) -> None:
    what = _shown(reply)
    if _ends_with_connection(framing, message, reply):
        return
    whole = _decode(framing, [message], [reply])
    assert whole.failure is None, f"a decoder refuses {what}: {_outcome(whole)}"
    assert whole.replies == 1, f"{what} is one reply; a decoder finds {whole.replies}"
    assert not whole.partial, f"partial is set after {what}, which is whole"
    assert len(whole.kinds) <= 1, f"there are {len(whole.kinds)} kinds of the one reply {what}"
    assert all(0 < kind <= MOST_KIND for kind in whole.kinds), (
        f"the kind {whole.kinds[0]} of {what} is not from 1 to {MOST_KIND}"
    )
    size_bytes = framing.reply_bytes(len(message))
    assert size_bytes in (None, len(reply)), (
        f"reply_bytes says that {what} has {size_bytes} bytes; it has {len(reply)}"
    )
    assert isinstance(framing.content(reply), bytes), f"the content of {what} is not bytes"
    decoder = framing.decoder()
    decoder.expect(message, [len(message)])
    assert decoder is not framing.decoder(), "decoder() returns the same decoder again"
    for end in _places(len(reply)):
        begun = framing.decoder()
        begun.expect(message, [len(message)])
        assert begun.feed(memoryview(reply[:end])) == 0, (
            f"{what} is taken for whole after {end} of {len(reply)} bytes"
        )
        assert begun.partial or begun.unsolicited, (
            f"partial is not set after {end} of the {len(reply)} bytes of {what}"
        )
        assert not begun.rejected, (
            f"{what} is rejected after {end} bytes, before it is whole and its message answered"
        )
        _compare(whole, _decode(framing, [message], [reply[:end], reply[end:]]), f"of {what}, cut")


def _check_together(framing: Framing, samples: Sequence[tuple[bytes, bytes]]) -> None:
    alone = [_decode(framing, [message], [reply]) for message, reply in samples]
    going_on = [place for place, said in enumerate(alone) if not said.closes]
    messages = [samples[place][0] for place in going_on] * 2
    replies = [samples[place][1] for place in going_on] * 2
    stream = b"".join(replies)
    expected = _Said(len(replies), list(accumulate(map(len, replies))))
    for said in [alone[place] for place in going_on] * 2:
        expected.kinds += said.kinds
        expected.to_send += said.to_send
        for cause, count in said.rejected.items():
            expected.rejected[cause] = expected.rejected.get(cause, 0) + count
    for place in [0, *_places(len(stream))]:
        said = _decode(framing, messages, _cut(stream, [place]))
        assert said.failure is None, f"a decoder refuses {_shown(stream)}: {_outcome(said)}"
        _compare(expected, said, f"of {_shown(stream)}, cut at {place}")
        asked = _decode(framing, messages, _cut(stream, [place]), asks_for_ends=True)
        assert asked.contents == [framing.content(reply) for reply in replies], (
            f"of {_shown(stream)}, cut at {place}, the contents are {asked.contents}"
        )
        assert asked.ends == expected.ends, (
            f"replies of {_shown(stream)}, cut at {place}, end at {expected.ends}; "
            f"ends() says {asked.ends}"
        )
        _compare(expected, asked, f"of {_shown(stream)}, cut at {place}, asked for ends,")


def _check_damaged(framing: Framing, samples: Sequence[tuple[bytes, bytes]]) -> None:
    draw = random.Random(1)  # noqa: S311 - the same each time
    messages = [message for message, _ in samples]
    stream = b"".join(reply for _, reply in samples)[: 16 * 2**10]
    for _ in range(_HOSTILE_STREAMS):
        damaged = bytearray(stream)
        for _ in range(draw.randint(1, 3)):
            start = draw.randrange(len(damaged) + 1)
            end = start + draw.choice([0, 0, 1, 2, len(damaged)])
            damaged[start:end] = draw.choice([draw.randbytes(draw.randint(1, 9)), *_HOSTILE])
        places = [draw.randrange(len(damaged)) for _ in range(3)]
        check_bytes(framing, bytes(damaged), places, messages)


def _check_memory(framing: Framing, sample: tuple[bytes, bytes], most_bytes: int) -> None:
    """Feed replies that begin well and never end; a decoder may refuse them, or forget."""
    message, reply = sample
    for begun in dict.fromkeys((b"", reply[:-1])):
        for filler in dict.fromkeys((b"\xff", b"0", b"\r", reply[-1:])):
            decoder = framing.decoder()
            decoder.expect(message, [len(message)])
            chunk = bytes(filler) * _CHUNK_BYTES
            tracemalloc.start()
            try:
                with _in_time(f"{_shown(begun)} and many {filler!r}", _LONGEST_OF_MANY_S):
                    decoder.feed(memoryview(begun))
                    for _ in range(2 * most_bytes // _CHUNK_BYTES + 4):
                        if decoder.feed(memoryview(chunk)):
                            break  # a reply that ends
            except FramingError:
                pass
            finally:
                kept_bytes = tracemalloc.get_traced_memory()[0]
                tracemalloc.stop()
            assert kept_bytes < 1.5 * most_bytes + 2 * _CHUNK_BYTES, (
                f"after {_shown(begun)} and many {filler!r}, a decoder keeps {kept_bytes} bytes; "
                f"a reply may have {most_bytes}"
            )


def _ends_with_connection(framing: Framing, message: bytes, reply: bytes) -> bool:
    """Return whether the reply is whole only when the connection ends."""
    decoder = framing.decoder()
    decoder.expect(message, [len(message)])
    return decoder.feed(memoryview(reply)) == 0 and decoder.partial and decoder.end() == 1


def _decode(
    framing: Framing,
    messages: Sequence[bytes],
    chunks: Sequence[bytes],
    *,
    asks_for_ends: bool = False,
) -> _Said:
    """Return what a new decoder says, fed as a connection does: through one buffer, used again."""
    said = _Said()
    around = Keeping(framing, lambda reply: said.contents.append(framing.content(reply)))
    decoder = around.decoder() if asks_for_ends else framing.decoder()
    buffer = bytearray(max(map(len, chunks), default=0))
    stream = b"".join(chunks)
    with _kept_promises(stream):
        try:
            decoder.expect(b"".join(messages), [len(message) for message in messages])
            fed_bytes = 0
            for chunk in chunks:
                buffer[: len(chunk)] = chunk
                with memoryview(buffer)[: len(chunk)] as view:
                    if asks_for_ends:
                        ends = decoder.ends(view)
                        said.ends += [fed_bytes + end for end in ends]
                        replies = len(ends)
                    else:
                        replies = decoder.feed(view)
                buffer[:] = b"\xaa" * len(buffer)
                fed_bytes += len(chunk)
                said.replies += replies
                said.kinds += decoder.kinds if replies else ()
                if decoder.closes:
                    break
        except FramingError as error:
            said.failure = error.cause
    try:
        buffer.clear()
    except BufferError:
        raise AssertionError("a decoder keeps a reference to the view it was fed") from None
    said.rejected, said.to_send = dict(decoder.rejected), decoder.to_send
    said.closes, said.partial = decoder.closes, decoder.partial
    if said.failure is None and not said.closes:
        with _kept_promises(stream), suppress(FramingError):
            decoder.end()
    return said


@contextmanager
def _kept_promises(stream: bytes) -> Iterator[None]:
    """Raise AssertionError where decoding of ``stream`` fails, or goes on for ever."""
    with _in_time(_shown(stream)):
        try:
            yield
        except Exception as error:
            raise AssertionError(
                f"a decoder may raise nothing but FramingError, and content() nothing; of "
                f"{_shown(stream)} they raise {type(error).__name__}: {error}"
            ) from error


def _compare(one: _Said, other: _Said, what: str) -> None:
    for name in ("replies", "kinds", "rejected", "to_send", "closes", "partial"):
        before, after = getattr(one, name), getattr(other, name)
        if name == "to_send":  # which may hold chance, such as a mask
            before, after = bool(before), bool(after)
        assert before == after, f"{what} a decoder says {name} {after!r}, not {before!r}"


def _outcome(said: _Said) -> str:
    return f"{said.failure.text!r}" if said.failure else f"{said.replies} replies"


def _places(size: int) -> list[int]:
    """Return where to cut ``size`` bytes: everywhere if they are few, otherwise near the ends, and
    evenly between."""
    if size <= _MOST_CUTS:
        return list(range(1, size))
    return sorted({*range(1, 30), *range(30, size, size // 140), *range(size - 30, size)})


def _cut(stream: bytes, places: Sequence[int] = ()) -> list[bytes]:
    """Return ``stream`` in pieces, none of them empty: the end of the stream is told otherwise."""
    edges = sorted({0, *(place for place in places if 0 < place < len(stream)), len(stream)})
    return [stream[start:end] for start, end in pairwise(edges)]


def _shown(stream: bytes) -> str:
    return f"{stream!r}" if len(stream) < 200 else f"{stream[:100]!r}… ({len(stream)} bytes)"


class _Endless(BaseException):
    """Decoding took longer than anything that ends."""


@contextmanager
def _in_time(what: str, longest_s: float = _LONGEST_S) -> Iterator[None]:
    """Raise AssertionError if the block goes on for ever; not on Windows, nor in other threads."""
    is_possible = hasattr(signal, "setitimer") and (
        threading.current_thread() is threading.main_thread()
    )
    if not is_possible:
        yield
        return

    def interrupt(*_: object) -> None:
        raise _Endless

    before = signal.signal(signal.SIGVTALRM, interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, longest_s)
    try:
        yield
    except _Endless:
        raise AssertionError(f"a decoder goes on for ever with {what}") from None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
