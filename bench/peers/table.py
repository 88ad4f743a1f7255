"""What became of the comparison, as tables: rates and ratios, then what a message and a connection
cost."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Final

from bench.peers.peer import Need, Peer
from bench.peers.rounds import STAMPED, THE_PEER, USER_SPACE, Compared, Taken
from bench.tables import Judgement, aims_table, at_least, formatted, spread
from bench.ways import PYTHON

_RATES: Final = (
    *("peer", "connections", "engine", "messages/s", "loadgen", "ratio"),
    *("loadgen, user space", "ratio", ""),
)
_COSTS: Final = (
    *("peer", "connections", "engine", "µs of user + system time a message", "loadgen"),
    *("loadgen, user space", "MiB at most", "loadgen", "KiB a connection", "loadgen"),
)


def tables(found: Sequence[Compared], is_markdown: bool) -> list[str]:
    """Return the lines of all tables."""
    judgements = [judgement for one in found for judgement in judged(one)]
    return [
        *formatted(_RATES, [_rates(one) for one in found], is_markdown),
        *formatted(_COSTS, [_costs(one) for one in found], is_markdown),
        *(aims_table(judgements, is_markdown) if judgements else ()),
    ]


def judged(found: Compared) -> list[Judgement]:
    """Return what became of the aims, which are not those of the engine in Python."""
    aims = () if found.engine == PYTHON else found.peer.aims.get(found.connections, ())
    name = f"{found.peer.name}, connections: {found.connections}"
    return [
        at_least(f"{name}: {way}", aim, found.ratios(way))
        for way, aim in zip((STAMPED, USER_SPACE), aims, strict=False)
    ]


def _rates(found: Compared) -> tuple[str, ...]:
    rates = [
        f"{statistics.median(found.each(client, lambda taken: taken.cost.messages_per_s)):,.0f}"
        for client in (THE_PEER, STAMPED, USER_SPACE)
    ]
    ratios = [spread(found.ratios(way)) for way in (STAMPED, USER_SPACE)]
    return (
        *(found.peer.name, str(found.connections), found.engine, rates[0]),
        *(rates[1], ratios[0], rates[2], ratios[1], verdict(found)),
    )


def verdict(found: Compared) -> str:
    """Return whether loadgen is behind, and as which; nothing where it is not."""
    match found.behind:
        case []:
            return ""
        case [way] if way == STAMPED:
            return "behind when stamped"
        case [_]:
            return "behind in user space"
        case _:
            return "behind"


def _costs(found: Compared) -> tuple[str, ...]:
    clients = (THE_PEER, STAMPED, USER_SPACE)
    return (
        *(found.peer.name, str(found.connections), found.engine),
        *(_processor(found, client) for client in clients),
        *(_memory(found, client) for client in clients[:2]),
        *(_per_connection(found, client) for client in clients[:2]),
    )


def _processor(found: Compared, client: str) -> str:
    user_us = statistics.median(found.each(client, lambda taken: taken.cost.user_us))
    system_us = statistics.median(found.each(client, lambda taken: taken.cost.system_us))
    return f"{user_us:.1f} + {system_us:.1f}"


def _memory(found: Compared, client: str) -> str:
    return f"{statistics.median(found.each(client, _peak_bytes)) / 2**20:.1f}"


def _peak_bytes(taken: Taken) -> float:
    return taken.peak_bytes


def _per_connection(found: Compared, client: str) -> str:
    each_bytes = found.bytes_per_connection(client)
    return "" if each_bytes is None else f"{each_bytes / 1024:.1f}"


def missing_lines(peers: Iterable[Peer]) -> list[str]:
    """Return a line for each peer that cannot be compared with here: what to install."""
    return [
        f"{peer.name}: left out, for {_and(need.name for need in peer.missing)} is not installed "
        f"({_and(need.install for need in peer.missing)})"
        for peer in peers
        if peer.missing
    ]


def versions_line(peers: Iterable[Peer]) -> str:
    """Return the version of each thing that those peers need, and that is here."""
    needs: dict[str, Need] = {
        need.name: need for peer in peers for need in peer.needs if need.is_here
    }
    return ", ".join(f"{name} {need.version}" for name, need in needs.items())


def notes(found: Iterable[Compared]) -> list[str]:
    """Return what the figures of those peers do not tell."""
    peers = dict.fromkeys(one.peer for one in found)
    return [f"- {peer.name}: {peer.note}." for peer in peers if peer.note]


def _and(words: Iterable[str]) -> str:
    return " and ".join(words)
