"""A connection's life, as a table.

Facts. A connection is made, comes up, works, and ends; it can break wherever it is alive; where
the user asked for it, a broken one starts over. Which of these it is decides what a readiness
event, an alarm or the end of the run mean for it.

Danger. Spread over flags, such a life contradicts itself sooner or later: an alarm closes a
connection that is closed, a late event revives a failed one.

Decision. One state, one table of what may follow what, one function that applies it. A step that
the table does not know is a bug of ours and says so at once.

Whether a READY connection has messages in flight (is *busy*) is not a state: it would change
twice with every message. It is read off the count of messages in flight, which cannot disagree
with itself.

Cost. One dictionary look-up for each step; a connection takes about five in its life.
"""

import enum

from loadgen.errors import LoadgenBug


class State(enum.StrEnum):
    """Where a connection stands."""

    NEW = "new"
    CONNECTING = "connecting"
    GREETING = "greeting"  # the first message is out, its reply is awaited
    READY = "ready"
    DRAINING = "draining"  # nothing more is submitted; what is in flight may come home
    CLOSED = "closed"
    FAILED = "failed"

    @property
    def is_live(self) -> bool:
        """Whether there is a socket that must be closed one day."""
        return self in _LIVE


class Event(enum.StrEnum):
    """What happens to a connection."""

    CONNECT = "connect"
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
