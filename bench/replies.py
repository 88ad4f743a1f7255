"""What it takes to count the replies of Redis: ours beside hiredis, which builds them.

    python -m bench.replies

Each read holds whole replies. *known*: it equals one that was read before. *parsed*: it does not.
*cut*: the same bytes in two reads, cut in the middle. Microseconds of processor time a read, the
lowest of several rounds, so that other processes do not matter much.
"""

import sys
import time
import timeit
from collections.abc import Callable
from typing import Final

import hiredis

from bench.yardstick import heading
from loadgen.net.protocols.resp import Resp

_ROUNDS: Final = 9
_READS: Final = 1000

_VALUE: Final = b"$3\r\nxxx\r\n"
_VARIED: Final = b"".join(b"$%d\r\n%b\r\n" % (size, b"x" * size) for size in range(100))

READS: Final = {
    "SET": b"+OK\r\n",
    "SET -P 16": b"+OK\r\n" * 16,
    "GET": _VALUE,
    "GET -P 16": _VALUE * 16,
    "LRANGE_100": b"*100\r\n" + _VALUE * 100,
    "LRANGE_100 -P 16": (b"*100\r\n" + _VALUE * 100) * 16,
    "LRANGE_100, varied": b"*100\r\n" + _VARIED,
}


def hiredis_us(read: bytes) -> float:
    """Return what hiredis takes, without decoding text."""
    reader = hiredis.Reader(notEnoughData=False)

    def count() -> None:
        reader.feed(read)
        while reader.gets(False) is not False:
            pass

    return _us(count)


def known_us(read: bytes) -> float:
    """Return what a read takes that equals an earlier one."""
    decoder, view = Resp().decoder(), memoryview(read)
    return _us(lambda: decoder.feed(view))


def parsed_us(read: bytes) -> float:
    """Return what a read takes that is looked at."""
    decoder, view = Resp().decoder(), memoryview(read)
    return _us(lambda: decoder.ends(view))


def cut_us(read: bytes) -> float:
    """Return what the two halves take together."""
    decoder, view = Resp().decoder(), memoryview(read)
    halves = view[: len(read) // 2], view[len(read) // 2 :]

    def count() -> None:
        for half in halves:
            decoder.feed(half)

    return _us(count)


def _us(statement: Callable[[], object]) -> float:
    timer = timeit.Timer(statement, timer=time.process_time)
    return min(timer.repeat(_ROUNDS, _READS)) / _READS * 1e6


def main() -> int:
    """Measure and print."""
    print(heading())
    print(f"{'read':20} {'bytes':>7} {'hiredis':>8} {'known':>8} {'parsed':>8} {'cut':>8}   us")
    for name, read in READS.items():
        figures = (hiredis_us(read), known_us(read), parsed_us(read), cut_us(read))
        print(f"{name:20} {len(read):7,}", *(f"{figure:8.2f}" for figure in figures), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
