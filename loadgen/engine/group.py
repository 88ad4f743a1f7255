"""Groups of connections, each with its own target and its own load model, in one engine."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from loadgen.engine.channel import Host, MessageChannel
from loadgen.engine.conversation import Conversation
from loadgen.engine.layered import LayeredChannel, LayeredStampedChannel
from loadgen.engine.load_models import LoadModel, LoadSchedule, Submit
from loadgen.engine.slots import SlotChannel, Slots, is_steady
from loadgen.engine.stamped import StampedChannel
from loadgen.engine.stream import StreamChannel
from loadgen.net.clock import Clock
from loadgen.net.dialer import Dialer

NewChannel = Callable[[Dialer, int, Conversation, Clock, Host], MessageChannel]
"""Makes the message channel of a connection, whose origin is the second argument."""


def new_stream(
    dialer: Dialer, origin: int, conversation: Conversation, clock: Clock, host: Host
) -> MessageChannel:
    """Return a channel for a stream of bytes over the transports of ``dialer``."""
    stamp_every = dialer.stamp_every
    if not stamp_every:
        plain = LayeredChannel if dialer.is_layered else StreamChannel
        return plain(origin, conversation, clock, host)
    stamped = LayeredStampedChannel if dialer.is_layered else StampedChannel
    return stamped(origin, conversation, clock, host, stamp_every)


def new_native_stream(
    slots: Slots,
    dialer: Dialer,
    origin: int,
    conversation: Conversation,
    clock: Clock,
    host: Host,
) -> MessageChannel:
    """Return the same over plain sockets; where the exchange may be steady, that is native."""
    if not is_steady(conversation):  # a slot would only cost time
        return new_stream(dialer, origin, conversation, clock, host)
    return SlotChannel(origin, conversation, clock, host, dialer.stamp_every, slots)


class Group(NamedTuple):
    """What the connections of a group have in common.

    dialer: opens their transports. model: which of them may send, and when; groups may share it.
    number: stands in the rows of their replies (`loadgen.engine.rows`); no two have the same.
    new_channel: makes what their messages pass.
    """

    dialer: Dialer
    model: LoadModel
    number: int = 0
    new_channel: NewChannel = new_stream

    @property
    def is_scheduled(self) -> bool:
        """Whether a schedule says when to send, and not the replies."""
        return isinstance(self.model, LoadSchedule)


class ByGroup(LoadSchedule):
    """Lets each channel follow the load model of its group.

    model_of: returns that of the connection of an index.
    """

    def __init__(self, models: Iterable[LoadModel], model_of: Callable[[int], LoadModel]) -> None:
        self._models = tuple(dict.fromkeys(models))
        self._schedules = [each for each in self._models if isinstance(each, LoadSchedule)]
        self._model_of = model_of

    @property
    def follows_replies(self) -> bool:
        """Whether all of them do."""
        return all(model.follows_replies for model in self._models)

    def begin(self, now_ns: int) -> None:
        """Begin all schedules now."""
        for schedule in self._schedules:
            schedule.begin(now_ns)

    def end_warm_up(self) -> None:
        """Release the messages that wait for the end of the warm-up."""
        for schedule in self._schedules:
            schedule.end_warm_up()

    def admit(self, channel: MessageChannel) -> None:
        """Add ``channel`` to the model of its group."""
        self._model_of(channel.index).admit(channel)

    def note_free(self, channel: MessageChannel, since_ns: int | None = None) -> bool:
        """Note ``channel`` if it is free for a message of a schedule; return whether it is."""
        model = self._model_of(channel.index)
        return isinstance(model, LoadSchedule) and model.note_free(channel, since_ns)

    def next_senders(self, replied: list[MessageChannel]) -> list[MessageChannel]:
        """Return what the models choose, each of its own."""
        chosen = []
        for model in self._models:
            own = [each for each in replied if self._model_of(each.index) is model]
            chosen += model.next_senders(own)
        return chosen

    def next_ns(self) -> int | None:
        """Return when the first of them is due."""
        moments_ns = [model.next_ns() for model in self._models]
        return min((each for each in moments_ns if each is not None), default=None)

    def send_due(self, submit: Submit) -> None:
        """Submit what is due by each schedule."""
        for schedule in self._schedules:
            schedule.send_due(submit)

    def overdue(self, from_ns: int, until_ns: int) -> int | None:
        """End all schedules; return the sum of what was not sent, None if it is too much."""
        counts = [schedule.overdue(from_ns, until_ns) for schedule in self._schedules]
        return None if None in counts else sum(count or 0 for count in counts)
