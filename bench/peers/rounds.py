"""A peer and loadgen in turn: what was measured, and the ratios of neighbours."""

import math
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench import ways
from bench.peers.peer import Load, Peer
from bench.peers.printed import UnreadableError
from bench.peers.processes import FailedError, Workshop
from bench.ways import AUTO, engine_options
from bench.yardstick import Cost, cost_of
from loadgen import from_json

THE_PEER: Final = "peer"
STAMPED, USER_SPACE = "loadgen", "loadgen, user space"
WAYS: Final[Mapping[str, tuple[str, ...]]] = {
    STAMPED: (),
    USER_SPACE: ways.ARRIVALS[ways.USER_SPACE],
}
"""loadgen as it is, with the kernel's time of arrival for every reply; and as the peers do it."""

ENOUGH: Final = 100
"""Connections from which on memory can tell what one takes: the peaks of the same program differ by
some 100 KiB.
"""

_IN_TURN: Final = (STAMPED, THE_PEER, USER_SPACE)


@dataclass(frozen=True)
class Taken:
    """What one client did in one run, and what it took.

    cost: for loadgen and the clients in Python, processor time while they load; for other tools,
    from start to end, of which all but a few milliseconds are that.
    peak_bytes: the most resident memory, from start to end.
    """

    cost: Cost
    peak_bytes: int
    messages: int


Round = Mapping[str, Taken]
"""What each client took, by `THE_PEER`, `STAMPED` and `USER_SPACE`."""


@dataclass(frozen=True)
class Compared:
    """A peer at a number of connections: every round, and where there are connections enough to
    tell what one takes, a short run with a single one.
    """

    peer: Peer
    connections: int
    rounds: Sequence[Round]
    alone: Round | None = None
    engine: str = AUTO
    """What loadgen was told to take."""

    def each(self, client: str, figure: Callable[[Taken], float]) -> list[float]:
        """Return that figure of ``client`` in every round."""
        return [figure(one[client]) for one in self.rounds]

    def ratios(self, way: str) -> list[float]:
        """Return how many times the messages of the peer loadgen had, round by round."""
        return [
            one[way].cost.messages_per_s / one[THE_PEER].cost.messages_per_s for one in self.rounds
        ]

    def bytes_per_connection(self, client: str) -> float | None:
        """Return by how much the memory grows for each; None where there are too few to tell."""
        if self.alone is None:
            return None
        peak_bytes = statistics.median(self.each(client, lambda taken: taken.peak_bytes))
        return max(0.0, peak_bytes - self.alone[client].peak_bytes) / (self.connections - 1)

    @property
    def behind(self) -> list[str]:
        """The ways of loadgen that had fewer messages than the peer, by the median of rounds."""
        return [way for way in WAYS if statistics.median(self.ratios(way)) < 1]


def compare(
    workshop: Workshop,
    peer: Peer,
    connections: int,
    rounds: int,
    duration_s: float,
    engine: str = AUTO,
) -> Iterator[Round]:
    """Yield every round; before, where that can tell what a connection takes, one with a single
    connection, whose memory alone is of interest.

    Each client has its turn in a round, against a server of its own; every other round runs
    backwards. Raises FailedError where one fails.
    """
    seconds = float(math.ceil(duration_s)) if peer.has_whole_seconds else duration_s
    if connections >= ENOUGH:
        yield _round(workshop, peer, Load(0, 1, min(seconds, 1.0), 0), _IN_TURN, engine)
    for number in range(rounds):
        order = _IN_TURN[::-1] if number % 2 else _IN_TURN
        yield _round(workshop, peer, Load(0, connections, seconds, 0), order, engine)


def _round(workshop: Workshop, peer: Peer, load: Load, order: Sequence[str], engine: str) -> Round:
    found: dict[str, Taken] = {}
    for client in order:
        with peer.serve(workshop) as port:
            messages = next(iter(found.values())).messages if found else 0
            turn = Load(port, load.connections, load.seconds, messages)
            try:
                if client == THE_PEER:
                    found[client] = _peer(workshop, peer, turn)
                else:
                    way = (*engine_options(engine), *WAYS[client])
                    found[client] = _loadgen(workshop, peer, turn, way)
            except (FailedError, UnreadableError, OSError) as reason:
                who = "it" if client == THE_PEER else client
                raise FailedError(f"{who}: {reason}") from None
    return found


def _peer(workshop: Workshop, peer: Peer, load: Load) -> Taken:
    output, spent = workshop.run(peer.command(load), load.seconds)
    told = peer.told(output, load)
    user_s = spent.user_s if told.user_s is None else told.user_s
    system_s = spent.system_s if told.system_s is None else told.system_s
    cost = Cost(
        messages_per_s=told.messages / told.seconds,
        user_us=user_s / told.messages * 1e6,
        system_us=system_s / told.messages * 1e6,
    )
    return Taken(cost, spent.peak_bytes, round(told.messages))


def _loadgen(workshop: Workshop, peer: Peer, load: Load, way: Sequence[str]) -> Taken:
    with peer.options(load.port, load.connections) as options:
        target = f"{peer.scheme}://127.0.0.1:{load.port}"
        command = [sys.executable, "-m", "loadgen", target, *options, *way]
        command += ["-c", str(load.connections), "-d", f"{load.seconds}s", "--json", "-", "--quiet"]
        output, spent = workshop.run(command, load.seconds)
    record = from_json(output.encode())
    if record.actual.connections < load.connections or not record.actual.messages:
        raise FailedError(
            f"{record.actual.connections} of {load.connections} connections came up, "
            f"{record.actual.messages} messages were answered"
        )
    return Taken(cost_of(record), spent.peak_bytes, record.actual.messages)
