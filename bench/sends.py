"""How far is the time of a send, its middle, from the kernel's time of the message's arrival?

Both ends of a connection over loopback are in this process, so that nothing but the call itself is
between the two times. A time below 0 is that of a send that is noted after its message arrived.

    python -m bench.sends
"""

import argparse
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from loadgen.net import timestamps
from loadgen.net.clock import middle_ns, wall_ns

MESSAGES = 20_000
_PERCENTS = (1, 50, 99)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    argparse.ArgumentParser(
        prog="python -m bench.sends",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args(arguments)
    before_ns, middles_ns, took_ns = [], [], []
    with ExitStack() as stack:
        stack.enter_context(timestamps.keep_stamping(wall_ns))
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        sender = stack.enter_context(socket.create_connection(listener.getsockname()))
        receiver = stack.enter_context(listener.accept()[0])
        sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        timestamps.enable(receiver)
        message, buffer = bytes(64), bytearray(64)
        for _ in range(MESSAGES):
            began_ns = wall_ns()
            sender.send(message)
            ended_ns = wall_ns()
            _, ancillary, _, _ = receiver.recvmsg_into([buffer], timestamps.ANCILLARY_BYTES)
            arrived_ns = timestamps.stamp_of(ancillary)
            before_ns.append(arrived_ns - began_ns)
            middles_ns.append(arrived_ns - middle_ns(began_ns, ended_ns))
            took_ns.append(ended_ns - began_ns)
    print(f"{'us':24} {'p1':>6} {'p50':>6} {'p99':>6}")
    for name, times_ns in (
        ("arrival after the start", before_ns),
        ("arrival after the middle", middles_ns),
        ("the call", took_ns),
    ):
        found = np.percentile(times_ns, _PERCENTS) / 1000
        print(f"{name:24} {found[0]:6.1f} {found[1]:6.1f} {found[2]:6.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
