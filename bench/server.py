"""What loadgen's echo server can do, natively and in Python, beside one in C.

The same C client loads each of them in turn, one message in flight on every connection, client and
server on a core each. Printed are the medians of the rounds: messages/s, their ratio to those of
the C server in the same round, the processor time that a message took the server, and how many
would take all the time of a core: its own limit, whatever the client or the machine allows.

    python -m bench server                      # 100 and 1000 connections
    python -m bench server -c 10 --rounds 9
"""

import argparse
import math
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from bench.yardstick import (
    Shape,
    UnavailableError,
    built,
    c_client,
    heading,
    print_title,
    two_cores,
)
from loadgen.errors import LoadgenError
from loadgen.server.embedded import EmbeddedServer

ENGINES: Final = ("native", "python")

_CONNECTIONS: Final = (100, 1000)


class Peer(NamedTuple):
    """A server that listens at ``port``."""

    name: str
    port: int
    process: psutil.Process

    def cpu_s(self) -> float:
        """Return the processor time that it has taken so far."""
        times = self.process.cpu_times()
        return times.user + times.system


class Round(NamedTuple):
    """What one server did in one round."""

    messages_per_s: float
    cpu_us: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    chosen = _parser().parse_args(arguments)
    print(heading())
    try:
        with built() as program, _serving(program) as peers:
            for connections in chosen.connections or _CONNECTIONS:
                shape = Shape(connections, duration_s=chosen.duration)
                _measure(program, peers, shape, chosen.rounds)
    except (UnavailableError, LoadgenError) as reason:
        print(f"bench server: {reason}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench server",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-c", "--connections", type=int, action="append", metavar="N")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of each (5)")
    parser.add_argument(
        "--duration", type=float, default=2.0, metavar="SECONDS", help="a round (2)"
    )
    return parser


@contextmanager
def _serving(program: Path) -> Iterator[list[Peer]]:
    """Yield the servers: all of them listen on one core, and each is idle unless it is its turn."""
    core = two_cores()[1]
    with ExitStack() as stack:
        # A session is a group of the scheduler's, with a share of its own (sched(7), autogroup):
        # without one, this server would have to share with the client, and the others would not.
        in_c = stack.enter_context(
            subprocess.Popen(
                [program, "server", "1024"],
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        stack.callback(in_c.terminate)
        assert in_c.stdout is not None
        port = int(in_c.stdout.readline().split()[1])
        peers = [Peer("C", port, psutil.Process(in_c.pid))]
        for engine in ENGINES:
            own = stack.enter_context(EmbeddedServer(("--engine", engine)))
            port = int(own.address.rpartition(":")[2])
            peers.append(Peer(engine, port, psutil.Process(own.pid)))
        if core is not None:
            for peer in peers:
                peer.process.cpu_affinity([core])
        yield peers


def _measure(program: Path, peers: Sequence[Peer], shape: Shape, rounds: int) -> None:
    done: dict[str, list[Round]] = {peer.name: [] for peer in peers}
    for _ in range(rounds):
        for peer in peers:
            done[peer.name].append(_round(program, peer, shape))
    print_title(
        f"{shape.connections} connections, {shape.size_bytes} bytes, median of {rounds} rounds",
        "server     messages/s   of the C server       us a message   messages/s of a whole core",
    )
    for name, each in done.items():
        ratios = [
            one.messages_per_s / limit.messages_per_s
            for one, limit in zip(each, done["C"], strict=True)
        ]
        share = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        rate, cpu_us = map(statistics.median, zip(*each, strict=True))
        limit_per_s = 1e6 / cpu_us if cpu_us else math.inf  # it counts in ticks of 10 ms
        print(
            f"{name:8} {rate:12,.0f}   {share:19}   {cpu_us:12.2f}   {limit_per_s:26,.0f}",
            flush=True,
        )


def _round(program: Path, peer: Peer, shape: Shape) -> Round:
    before_s = peer.cpu_s()
    rate = c_client(program, peer.port, two_cores()[0], shape).messages_per_s
    # Connections are opened and closed in that time, too: some microseconds for each.
    return Round(rate, (peer.cpu_s() - before_s) / (rate * shape.duration_s) * 1e6)


if __name__ == "__main__":
    sys.exit(main())
