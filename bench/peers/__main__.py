"""Is loadgen as fast as other load tools, and as light?

Runs each tool that is installed, and small clients in Python (`bench.peers.clients`), in turn with
loadgen: against the same server, started anew for every run, with the same message on as many
connections, one in flight on each; client and server on a core each. loadgen runs twice: with the
kernel's time of arrival for every reply, its default, and without (`--timestamps user`), as its
peers do. Each counts its own messages. What counts is the ratio of neighbours, loadgen to peer:
the median of the rounds, the lowest and the highest.

    python -m bench peers                                   # some fifteen minutes
    python -m bench peers --list
    python -m bench peers --only wrk,redis-benchmark --connections 100 --rounds 3 --duration 1

A connection's memory is what a run with all connections takes more at its peak than one with a
single connection, for each. The exit code is 1 where a peer that is installed failed.
"""

import argparse
import datetime as dt
import itertools
import math
import sys
from collections.abc import Sequence

from bench.peers.catalogue import PEERS
from bench.peers.peer import Peer
from bench.peers.processes import FailedError, Workshop, workshop
from bench.peers.rounds import ENOUGH, THE_PEER, WAYS, Compared, Round, compare
from bench.peers.table import missing_lines, notes, tables, verdict, versions_line
from bench.ways import add_engine_option, engines
from bench.yardstick import UnavailableError, heading, print_title
from loadgen import __version__

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    chosen = _parser().parse_args(arguments)
    if chosen.list:
        _print_list(chosen.only)
        return 0
    today = dt.datetime.now(dt.UTC).date()
    print(f"{today}; {heading()}; loadgen {__version__}; {versions_line(chosen.only)}")
    for line in missing_lines(chosen.only):
        print(line)
    found: list[Compared] = []
    failures: list[str] = []
    code = 0
    try:
        with workshop() as place:
            for peer in chosen.only:
                _measure(place, peer, chosen, found, failures)
    except UnavailableError as reason:
        print(f"bench peers: {reason}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        print("interrupted: the servers are ended", file=sys.stderr)
        code = _INTERRUPTED
    if found:
        print("\n".join([*tables(found, chosen.markdown), "", *notes(found)]))
    for line in failures:
        print(f"FAILED: {line}")
    return code or (1 if failures else 0)


def _print_list(peers: Sequence[Peer]) -> None:
    for peer in peers:
        if not peer.missing:
            print(f"{peer.name}: {versions_line([peer]) or 'Python alone'}")
    for line in missing_lines(peers):
        print(line)


def _measure(
    place: Workshop,
    peer: Peer,
    chosen: argparse.Namespace,
    found: list[Compared],
    failures: list[str],
) -> None:
    """Add what ``peer`` and loadgen take to ``found``, or why it cannot be said to ``failures``."""
    if peer.missing:
        return
    sizes = peer.connections or chosen.connections
    for connections, engine in itertools.product(sizes, engines(chosen.engine)):
        title = f"{peer.name}; connections: {connections}; engine: {engine}"
        print_title(title, f"     {'client':20} cost")
        rounds: list[Round] = []
        has_alone = connections >= ENOUGH
        try:
            for one in compare(place, peer, connections, chosen.rounds, chosen.duration, engine):
                rounds.append(one)
                _print_round(len(rounds) - has_alone, one)
        except FailedError as reason:
            failures.append(f"{peer.name}, connections: {connections}: {reason}")
            print(failures[-1], flush=True)
            continue
        alone = rounds.pop(0) if has_alone else None
        found.append(Compared(peer, connections, rounds, alone, engine))
        if found[-1].behind:
            print(f"     loadgen is {verdict(found[-1])}", flush=True)


def _print_round(number: int, found: Round) -> None:
    for client in (THE_PEER, *WAYS) if number else ():
        print(f"{number:3}: {client:20} {found[client].cost}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only",
        type=_peers,
        default=PEERS,
        metavar="PEER[,PEER]",
        help="of those that --list names; redis-benchmark means all that begin so",
    )
    parser.add_argument(
        *("-c", "--connections"),
        type=_numbers,
        default=(100, 1000),
        metavar="N[,N]",
        help="(100,1000); sockperf has 1, iperf3 1 and 8",
    )
    add_engine_option(parser)
    parser.add_argument("--rounds", type=_number, default=5, metavar="N", help="of each (5)")
    parser.add_argument(
        *("--duration",), type=_seconds, default=2.0, metavar="SECONDS", help="a run (2)"
    )
    parser.add_argument("--markdown", action="store_true", help="tables for bench/README.md")
    parser.add_argument("--list", action="store_true", help="say what is installed, and end")
    return parser


def _peers(text: str) -> tuple[Peer, ...]:
    found: list[Peer] = []
    for name in text.split(","):
        meant = [peer for peer in PEERS if f"{peer.name} ".startswith(f"{name} ")]
        if not meant:
            names = ", ".join(peer.name for peer in PEERS)
            raise argparse.ArgumentTypeError(f"{name}: the peers are {names}")
        found += (peer for peer in meant if peer not in found)
    return tuple(found)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(_number(word) for word in text.split(","))


def _number(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number, from 1 on")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: give seconds, such as 0.5")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
