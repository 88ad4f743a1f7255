"""The rows that the hot path leaves for the recorder: six integers for each batch of replies.

An origin says where a reply belongs: a connection, and a group of those that do the same or of the
requests that have the same name. Both are packed in one integer, so that a row of the hot path
carries its group at no cost; and so is the kind of the reply, where its protocol tells kinds apart.
"""

from array import array
from collections.abc import Callable
from typing import Final

Row = tuple[int, int, int, int, int, int]
"""(origin, replies, intended_ns, sent_ns, stamp_ns, read_ns): replies that were read at one time,
to messages that were sent at one time. ``intended_ns`` is 0 in a closed loop. For ``stamp_ns`` see
`loadgen.net.timestamps`; where it is a time, it is that of the last reply."""

ORIGIN, REPLIES, INTENDED_NS, SENT_NS, STAMP_NS, READ_NS, COLUMNS = range(7)
"""The columns of a `Row`, and how many there are."""

RecordReplies = Callable[[Row], None]

SendRow = tuple[int, int, int]
"""(intended_ns, free_ns, sent_ns) of a scheduled send: when it was due, when a connection had
become free for it, and when it was sent."""

SEND_COLUMNS: Final = 3

PartsRow = tuple[int, int, int, int, int]
"""(sent_ns, first_stamp_ns, first_read_ns, stamp_ns, read_ns): one reply that was read in several
parts: the times of its first part, and those of its last."""

RecordParts = Callable[[PartsRow], None]

GROUP_SHIFT: Final = 26
KIND_SHIFT: Final = 53
"""An origin is ``group << GROUP_SHIFT | index of the connection``; in a row, with ``kind <<
KIND_SHIFT`` if the replies have a kind (`loadgen.net.protocols.base.Decoder`)."""

INDEX_MASK: Final = (1 << GROUP_SHIFT) - 1
GROUP_MASK: Final = (1 << KIND_SHIFT - GROUP_SHIFT) - 1


def origin_of(group: int, index: int) -> int:
    """Return the origin of the connection of that index in that group."""
    return group << GROUP_SHIFT | index


def group_of(origin: int) -> int:
    """Return the group of an origin."""
    return origin >> GROUP_SHIFT


class Bulk:
    """Rows that C code writes, with room for so many in each of the two arrays.

    replies: a `Row` each, of which the first ``replies_filled`` are there. sends: a `SendRow` each.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.replies = array("q", bytes(8 * COLUMNS * rows))
        self.sends = array("q", bytes(8 * SEND_COLUMNS * rows))
        self.replies_filled = self.sends_filled = 0
