"""The states of a connection and its transitions, as a table.

A connection is new, connects, shakes hands and greets where that is asked for, is ready, and ends;
it may fail wherever it has a socket, and is opened again where the user asked for it. Its state
decides what a readiness event, a timer or the end of the run mean for it. There is one state, one
table of transitions, and one function that applies it, because separate flags would contradict each
other sooner or later: a timer would close a closed connection, a late event revive a failed one. A
step that the table does not have is a bug and raises at once.

Whether a READY connection has messages in flight is no state: it would change twice with every
message. It is derived from the count of messages in flight.

A step costs one dictionary look-up; a connection takes about five in its life.
"""

import enum

from loadgen.errors import LoadgenBug


class State(enum.StrEnum):
    """The state of a connection."""

    NEW = "new"
    CONNECTING = "connecting"
    SECURING = "securing"  # the handshake of what is above the socket
    GREETING = "greeting"  # what is exchanged before the messages
    READY = "ready"
    DRAINING = "draining"  # nothing more is submitted; the replies in flight are awaited
    CLOSED = "closed"
    FAILED = "failed"

    @property
    def is_live(self) -> bool:
        """Whether there is a socket that has to be closed."""
        return self in _LIVE


class Event(enum.StrEnum):
    """What happens to a connection: a step from one state to the next."""

    CONNECT = "connect"
    SECURE = "secure"
    GREET = "greet"
    COME_UP = "come up"
    DRAIN = "drain"
    CLOSE = "close"
    FAIL = "fail"


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.NEW: {
        Event.CONNECT: State.CONNECTING,
        Event.CLOSE: State.CLOSED,
    },
    State.CONNECTING: {
        Event.SECURE: State.SECURING,
        Event.GREET: State.GREETING,
        Event.COME_UP: State.READY,
        Event.CLOSE: State.CLOSED,
        Event.FAIL: State.FAILED,
    },
    State.SECURING: {
        Event.GREET: State.GREETING,
        Event.COME_UP: State.READY,
        Event.CLOSE: State.CLOSED,
        Event.FAIL: State.FAILED,
    },
    State.GREETING: {
        Event.COME_UP: State.READY,
        Event.CLOSE: State.CLOSED,
        Event.FAIL: State.FAILED,
    },
    State.READY: {
        Event.DRAIN: State.DRAINING,
        Event.CLOSE: State.CLOSED,
        Event.FAIL: State.FAILED,
    },
    State.DRAINING: {
        Event.CLOSE: State.CLOSED,
        Event.FAIL: State.FAILED,
    },
    State.CLOSED: {Event.CONNECT: State.CONNECTING},
    State.FAILED: {Event.CONNECT: State.CONNECTING},
}

_LIVE = frozenset(state for state, steps in TRANSITIONS.items() if Event.FAIL in steps)


def advance(state: State, step: Event) -> State:
    """Return the state that ``step`` leads to. Raises LoadgenBug if it leads nowhere."""
    try:
        return TRANSITIONS[state][step]
    except KeyError:
        raise LoadgenBug(f"a connection that is {state} cannot {step}") from None
