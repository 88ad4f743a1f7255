"""A server that knows how long each request was with it, so that load tools can be found out.

`native/truth.c` says how. What a tool reports beyond its figures is the way there and back, or the
tool's own doing.
"""

import heapq
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from bench.yardstick import Shape, UnavailableError, loadgen, start_on, two_cores
from loadgen import RunRecord

SOURCE: Final = Path(__file__).parent / "native" / "truth.c"
HTTP_REQUEST: Final = "GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"
"""In the form that ``loadgen --payload`` takes."""

Nanoseconds = npt.NDArray[np.int64]
_BACKLOG: Final = "8192"


def percentile(values_ns: Nanoseconds, percent: float) -> int:
    """Return the nearest-rank percentile, as loadgen defines it. Raises ValueError of no values."""
    if not values_ns.size:
        raise ValueError("there is no percentile of no values")
    return int(np.percentile(values_ns, percent, method="inverted_cdf"))


class Truth:
    """One run of the server: its port, the bytes of an answer; at its end, all residences."""

    def __init__(self, port: int, answer_bytes: int) -> None:
        self.port = port
        self.answer_bytes = answer_bytes
        self.residences_ns: Nanoseconds = np.empty(0, np.int64)

    def percentile_ns(self, percent: float) -> int:
        """Return that percentile of the residences. Raises ValueError before there are any."""
        return percentile(self.residences_ns, percent)


@contextmanager
def serving(
    program: Path, core: int | None, behaviour: str, request: str = "64"
) -> Iterator[Truth]:
    """Run the server on ``core``; its residences are there once the block has been left.

    behaviour: such as ``delay 200`` or ``fifo 28 stall 100000 1000000``, in microseconds.
    request: its bytes, or ``http``.

    Raises UnavailableError where the server cannot start, or does not know all residences.
    """
    log = program.parent / "residences"
    words: list[str | Path] = [program, log, _BACKLOG, request, *behaviour.split()]
    with start_on(core, words) as process:
        assert process.stdout is not None
        try:
            start = process.stdout.readline().split()
            if not start:
                raise UnavailableError(f"the reference server did not start with `{behaviour}`")
            truth = Truth(port=int(start[1]), answer_bytes=int(start[3]))
            yield truth
        finally:
            process.terminate()
        end = process.stdout.read().split()
    if end[2:] != ["unstamped", "0", "unlogged", "0"]:
        raise UnavailableError(f"the reference server does not know the truth: {' '.join(end)}")
    truth.residences_ns = np.fromfile(log, dtype=np.int64)


@dataclass(frozen=True)
class Bench:
    """What the parts of a benchmark share: the compiled server; how long each run takes; whether
    most of them are left out; and the engine of loadgen, where that is not left to it.
    """

    program: Path
    duration_s: float
    is_quick: bool
    engine: str | None = None

    @contextmanager
    def serving(self, behaviour: str, request: str = "64") -> Iterator[Truth]:
        """Run the server on its core. Raises UnavailableError."""
        with serving(self.program, two_cores()[1], behaviour, request) as truth:
            yield truth

    def run(
        self, behaviour: str, shape: Shape, rate_per_s: int | None, *arguments: str
    ) -> tuple[RunRecord, Truth]:
        """Run loadgen against a server of its own, closed where there is no rate.

        There is no warm-up, which the record would leave out and the truth would not. Raises
        UnavailableError.
        """
        with self.serving(behaviour, "http" if shape.payload else str(shape.size_bytes)) as truth:
            arguments += ("--timestamps", "kernel")
            if self.engine is not None:
                arguments += ("--engine", self.engine)
            if rate_per_s is not None:
                arguments += ("--rate", str(rate_per_s))
            if shape.payload:
                arguments += ("--reply", f"fixed:{truth.answer_bytes}")
            record = loadgen(truth.port, two_cores()[0], shape, arguments)
        return record, truth


def expected_in_stalls(
    connections: int, rate_per_s: int, delay_ns: int, stall_ns: int, period_ns: int
) -> tuple[Nanoseconds, Nanoseconds]:
    """Return the service times and the response times that arithmetic expects, in nanoseconds.

    Of a server with an answer ready ``delay_ns`` after each request, which stops for ``stall_ns``
    in every ``period_ns``, under constant arrivals, one request at a time on a connection. All
    messages of two periods are replayed: each begins when it is due, or when the next connection is
    free again; its answer leaves after the delay, or at the end of the stall that this falls in.

    With enough connections none waits for one. A message that falls u into a stall A long waits
    A - u, for u from -D (the delay) on; so a share of (A + D - x) / B has to wait longer than x,
    and where that share is 1 %, x is the p99: of 100 ms in every second, and D = 0.2 ms, 90.2 ms.
    Service and response time are the same.

    With few connections n, each catches one message of a stall, the others are not even sent: a
    share of n / (rate * B) has a long service time, 20 in 5000 = 0.4 %. So the p99 of the service
    time is D, as if nothing had happened: coordinated omission. The response times of those that
    were not sent contain the wait: their p99 is that of many connections, and a little more, as
    they leave n at a time.
    """
    free_ns = [0] * connections
    service_ns, response_ns = [], []
    gap_ns = 1_000_000_000 / rate_per_s
    for number in range(round(2 * period_ns / gap_ns)):
        intended_ns = round(number * gap_ns)
        sent_ns = max(intended_ns, free_ns[0])
        answered_ns = sent_ns + delay_ns
        into_period_ns = answered_ns % period_ns
        if into_period_ns < stall_ns:
            answered_ns += stall_ns - into_period_ns
        heapq.heapreplace(free_ns, answered_ns)
        service_ns.append(answered_ns - sent_ns)
        response_ns.append(answered_ns - intended_ns)
    return np.array(service_ns), np.array(response_ns)
