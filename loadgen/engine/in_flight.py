"""The messages in flight on a stream: when each was sent, and which replies answer which.

On a stream the replies come in the order of the messages. Most of the time one batch is in flight,
and its times are those of the fast path's fields. Where more are, sent at other times, they wait in
line behind it. Those that a server did not answer, since it ended the connection in an orderly way,
are taken back, and sent again on the next one.
"""

from collections import deque
from collections.abc import Sequence
from itertools import groupby

from loadgen.engine.fast_path import Batch, FastPath
from loadgen.engine.rows import KIND_SHIFT
from loadgen.net.clock import Clock
from loadgen.net.timestamps import bound_by


class InFlight(FastPath):
    """Adds to the fast path what is in flight beside its one batch.

    unanswered: messages lost with a transport. read_ns: when the present one was last read, apart
    from the fast path; 0 if it was not.
    """

    __slots__ = ("_again", "_head_count", "_later", "read_ns", "unanswered")

    def __init__(self, origin: int, batch: Batch, clock: Clock) -> None:
        super().__init__(origin, batch, clock)
        self.unanswered = self.read_ns = 0
        # Batches sent while others were in flight, (intended_ns, sent_ns, count); intended_ns and
        # sent_ns of the channel are those of the _head_count messages before them.
        self._later: deque[tuple[int, int, int]] | None = None
        self._head_count = 0
        self._again: deque[tuple[int, int]] | None = None  # taken back: (intended_ns, count)

    def _note_sent(self, count: int, intended_ns: int, sent_ns: int) -> None:
        """Note that ``count`` messages were sent then."""
        self.submitted_ns = sent_ns
        if self.in_flight:
            if self._later is None:
                self._later = deque()
            if not self._later:
                self._head_count = self.in_flight
            self._later.append((intended_ns, sent_ns, count))
        else:
            self.intended_ns, self.sent_ns = intended_ns, sent_ns
        self.in_flight += count

    def _answer(self, replies: int, stamp_ns: int, kinds: Sequence[int]) -> None:
        """Match ``replies``, of ``kinds``, with the messages in flight, the oldest first."""
        runs = [(kind, len(list(run))) for kind, run in groupby(kinds)] or [(0, replies)]
        for kind, count in runs[:-1]:
            self._match(count, bound_by(stamp_ns), kind)
        self._match(runs[-1][1], stamp_ns, runs[-1][0])

    def _match(self, replies: int, stamp_ns: int, kind: int) -> None:
        self.in_flight -= replies
        later = self._later
        while later and replies > self._head_count:
            if self._head_count:
                self._record_head(self._head_count, bound_by(stamp_ns), kind)
            replies -= self._head_count
            self.intended_ns, self.sent_ns, self._head_count = later.popleft()
        self._head_count -= replies
        if replies:
            self._record_head(replies, stamp_ns, kind)

    def _record_head(self, replies: int, stamp_ns: int, kind: int) -> None:
        origin = self.origin | kind << KIND_SHIFT
        self._record((origin, replies, self.intended_ns, self.sent_ns, stamp_ns, self.read_ns))

    @property
    def oldest_sent_ns(self) -> int:
        """When the oldest of the messages in flight was sent; there is one."""
        later = self._later
        return later[0][1] if later and not self._head_count else self.sent_ns

    # ---- sent again -----------------------------------------------------------------------

    def take_back(self) -> None:
        """Let the messages in flight be sent again, on the next transport, in the same order."""
        later = self._later or ()
        head_count = self._head_count if later else self.in_flight
        batches = [(self.intended_ns, head_count), *((due_ns, count) for due_ns, _, count in later)]
        self._again = deque([*(each for each in batches if each[1]), *(self._again or ())])
        self.in_flight = 0

    def lose(self) -> None:
        """Give up the messages that were taken back: they are unanswered."""
        self.unanswered += self._to_resend
        self._again = None

    @property
    def has_to_resend(self) -> bool:
        """Whether messages that were taken back are to be sent again, before any other."""
        return bool(self._again)

    @property
    def _to_resend(self) -> int:
        return sum(count for _, count in self._again) if self._again else 0
