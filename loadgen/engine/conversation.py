"""What all connections of a run have in common: payloads, framing, window and greeting."""

import sys
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from loadgen.engine.fast_path import NO_BATCH, Batch
from loadgen.errors import UsageError
from loadgen.net.protocols import Decoder, Fixed, Framing
from loadgen.net.protocols.base import MOST_REPLY_BYTES
from loadgen.plan import Plan
from loadgen.plan.payloads import (
    LARGEST_BYTES,
    PayloadQueue,
    Payloads,
)


class Window(NamedTuple):
    """How many messages may be in flight on one connection, and how many are sent at once.

    A closed loop sends the whole window together; a schedule sends messages one by one.

    ends_sending: whether our side of the stream is ended when one is sent (``--half-close``).
    """

    in_flight: int
    at_once: int
    ends_sending: bool = False

    @classmethod
    def of(cls, plan: Plan) -> "Window":
        """Return that of ``plan``."""
        in_flight = sys.maxsize if plan.unlimited else plan.pipeline
        at_once = plan.pipeline if plan.profile() is None else 1
        return cls(in_flight, at_once, plan.half_close)


ONE_BY_ONE: Final = Window(1, 1)


class GreetingStep(NamedTuple):
    """A message, empty where the server speaks first, and when the reply to it is whole.

    most_bytes: how long that may be, unless the message says, with what is cut in front of it.
    """

    message: bytes
    framing: Framing
    most_bytes: int = MOST_REPLY_BYTES

    @property
    def longest_bytes(self) -> int:
        """The length at which it is given up."""
        return max(self.most_bytes, self.framing.reply_bytes(len(self.message)) or 0)


class Steps(Protocol):
    """The steps of a greeting."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def __iter__(self) -> Iterator[GreetingStep]:
        """Begin them, for one connection."""
        ...


class Conversation:
    """What every connection of a run sends and awaits; shared by all, never changed.

    payloads: what each connection sends in turn.
    framing: when a reply is whole.
    window: how many messages may be in flight on one connection.
    greeting: what is exchanged once after connecting, step by step; each connection iterates it.
    window_bytes: the messages that are sent at once, ``at_once`` of them, where that are always the
    same bytes and there are replies; otherwise empty.
    messages: how many each connection sends; None for no limit.
    """

    def __init__(
        self,
        payloads: Payloads,
        framing: Framing,
        window: Window = ONE_BY_ONE,
        greeting: Steps = (),
        messages: int | None = None,
    ) -> None:
        self.messages = sys.maxsize if messages is None else messages
        self.payloads = payloads
        self.framing = framing
        framing.decoder()  # a library that it needs may be missing: UsageError, before the load
        self.pipeline = window.in_flight
        self.ends_sending = window.ends_sending
        self.greeting = greeting
        reply_sizes = {framing.reply_bytes(len(item)) for item in payloads.items}
        self.reply_bytes = reply_sizes.pop() if len(reply_sizes) == 1 else None
        self.at_once = count = window.at_once
        self.window_bytes = b""
        if len(payloads.items) == 1 and payloads.repeats_bytes and not framing.one_way:
            self.window_bytes = payloads.items[0] * count
        self.batch = Batch(b"", 0, 1)  # none: nothing is left to the fast path
        if self.window_bytes and self.reply_bytes is not None:
            self.batch = Batch(self.window_bytes, self.reply_bytes * count, count)
        elif self.window_bytes and not framing.needs_messages:
            self.batch = Batch(self.window_bytes, NO_BATCH, count)

    @classmethod
    def of(cls, plan: Plan, payloads: PayloadQueue) -> "Conversation":
        """Return what ``plan`` makes every connection send, with the payloads it has loaded.

        Raises UsageError if a window of them is larger than a connection may have in flight.
        """
        largest_bytes = plan.pipeline * max(map(len, payloads.items))
        if largest_bytes > LARGEST_BYTES:
            raise UsageError.of(
                "--pipeline",
                plan.pipeline,
                "the messages in flight on a connection may take 1 GiB at most",
            )
        return cls(payloads, plan.framing(), Window.of(plan), GreetingOf(plan), plan.messages)

    @classmethod
    def made_by(cls, plan: Plan, payloads: Payloads) -> "Conversation":
        """Return what ``plan`` makes a connection send, with messages made when they are sent."""
        return cls(payloads, plan.framing(), Window.of(plan), GreetingOf(plan))

    def decoder(self) -> Decoder:
        """Return a decoder for the replies of one connection."""
        if self.reply_bytes is not None:
            return Fixed(self.reply_bytes).decoder()
        return self.framing.decoder()


class GreetingOf:
    """The greeting of every connection of ``plan``, made anew for each: keys may be random."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._steps = len(plan.greeting_steps())

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[GreetingStep]:
        most_bytes = self._plan.most_reply_bytes
        steps = self._plan.greeting_steps()
        return (GreetingStep(message, framing, most_bytes) for message, framing in steps)
