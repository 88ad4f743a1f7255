"""What became of the datagrams of the measured load (UDP)."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from loadgen.quantities import Count, Nanoseconds

_SUMS: Final = (
    *("sent", "answered", "lost", "late", "in_flight", "failed", "unmatched"),
    *("send_refused", "receive_buffer_errors"),
)
_SUMS_WHERE_KNOWN: Final = ("duplicates", "reordered")


class DatagramsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What became of each datagram that was sent in the load, or in flight when it began.

    What had its end in the warm-up is left out, also if its reply comes late, in the load.
    ``sent`` is the sum of the five that follow. answered: with a reply in time (one way: passed to
    the kernel). lost: without a reply. late: whose reply came after the time-out of its message;
    it is in no latency. in_flight: still awaited at the end. failed: in flight on a connection that
    failed; and what it failed to send, if that is why.
    duplicates: further replies to messages that had one. reordered: of the answered, those whose
    reply came after that to a message sent later (RFC 4737). Both are null where replies carry no
    number, which alone can tell. unmatched: datagrams received that answered no message.
    jitter_ns: the jitter of RFC 3550 (6.4.1) of the times from send to arrival, as of the last
    reply; the mean over the connections; null where no connection had two replies.
    send_refused: messages that this machine did not take (send(2): EAGAIN, ENOBUFS); they are not
    among those sent. receive_buffer_errors: datagrams that this machine has dropped on arrival,
    since its receive buffers were full (SO_RCVBUF); their messages are among those lost.
    """

    sent: Count
    answered: Count
    lost: Count
    late: Count
    in_flight: Count
    failed: Count
    duplicates: Count | None
    reordered: Count | None
    unmatched: Count
    jitter_ns: Nanoseconds | None
    send_refused: Count
    receive_buffer_errors: Count

    @property
    def local_drops(self) -> int:
        """How many datagrams this machine has dropped, in either direction."""
        return self.send_refused + self.receive_buffer_errors

    @property
    def in_vain(self) -> int:
        """How many messages had no reply in time, without a failure of their connection."""
        return self.lost + self.late

    @classmethod
    def of_all(cls, records: Sequence["DatagramsRecord"]) -> "DatagramsRecord":
        """Return the sums of ``records``, one at least; the jitter is weighted by the answered."""
        jitters = [
            (each.jitter_ns, each.answered) for each in records if each.jitter_ns is not None
        ]
        weight = sum(answered for _, answered in jitters)
        fields: dict[str, Any] = {
            name: sum(getattr(each, name) for each in records) for name in _SUMS
        }
        for name in _SUMS_WHERE_KNOWN:
            known = [getattr(each, name) for each in records if getattr(each, name) is not None]
            fields[name] = sum(known) if known else None
        jitter_ns = sum(jitter * count for jitter, count in jitters) // weight if weight else None
        return cls(**fields, jitter_ns=jitter_ns)
