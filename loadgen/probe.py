"""A second opinion: one connection, in a process of its own, with little to do.

Facts. Where the kernel does not say when a reply arrived, a busy generator reads its own queue into
every latency. A process that sleeps most of the time does not: the scheduler lets it run as soon as
its reply is there. Against a server whose true median was 200 µs, a saturated loader with 1000
connections read 9192 µs, and such a probe on the same core 239 µs: 40 µs more, the time to wake up.

Decision. `Probe` starts this module as a program. It sends up to `REQUESTS_PER_S` requests a
second, with random pauses so as to fall in step with nothing, waits for each reply, and hands its
histogram over at the end. It is a closed loop: a stall of the server costs it one request, and not
all that would have come meanwhile. And it sees its own connection only.

Protocol. The plan comes as one line of JSON by standard input; "ready" goes out when the connection
is up; each further line that comes begins the account anew; the end of the input ends it.
"""

import contextlib
import os
import random
import selectors
import socket
import subprocess
import sys
import time
from array import array
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from loadgen import payload
from loadgen.core.dialer import Endpoint, refuse_own_end
from loadgen.core.histogram import Histogram
from loadgen.distribution import Distribution
from loadgen.encoded import as_json
from loadgen.evidence import ProbeRecord
from loadgen.files import write_whole
from loadgen.framing import FramingError, UntilEof
from loadgen.names import escaped, unescaped
from loadgen.payload import Payloads
from loadgen.plan import Plan

REQUESTS_PER_S: Final = 300
_BINNED_TOGETHER: Final = 1000

TRICKLE_PER_S: Final = 1000
"""Up to this rate a generator has the time to read its replies at once, and needs no probe."""

TRICKLE_MESSAGES: Final = 10_000

_PATIENCE_S: Final = 10.0
_BUFFER_BYTES: Final = 64 * 1024


def is_wanted(plan: Plan, why_user_space: str) -> bool:
    """Return whether a probe runs beside the load of ``plan``."""
    if plan.framing().one_way:
        return False
    if plan.probe is not None:
        return plan.probe
    return bool(why_user_space) and not _is_trickle(plan)


def _is_trickle(plan: Plan) -> bool:
    if plan.messages is not None and plan.messages * plan.connections <= TRICKLE_MESSAGES:
        return True
    profile = plan.profile()
    return plan.connections == 1 if profile is None else profile.peak_per_s <= TRICKLE_PER_S


class Probe:
    """The probe's process, from the start of the ``with`` to its end; then ``record`` is there."""

    def __init__(self, plan: Plan, payloads: Payloads, endpoint: Endpoint) -> None:
        self.record: ProbeRecord | None = None
        self._said = b""
        # Its own standard input holds no payload.
        plan = msgspec.structs.replace(plan, payloads=tuple(payloads.items))
        self._job = as_json({"plan": plan, "endpoint": _on_paper(endpoint)}) + b"\n"

    def __enter__(self) -> Self:
        """Start it, and wait until it is connected, or not."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadgen.probe"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a ^C at the terminal is for the run, which ends the probe
        )
        self._tell(self._job)
        self._wait_for_output()
        return self

    def begin(self) -> None:
        """Let its account begin now."""
        self._tell(b"begin\n")

    def end(self) -> None:
        """Let its account end now."""
        pipe, self._process.stdin = self._process.stdin, None
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()
        output = b""
        with contextlib.suppress(subprocess.TimeoutExpired):
            output, _ = self._process.communicate(timeout=_PATIENCE_S)
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()
        try:
            last_line = (self._said + output).rstrip().rpartition(b"\n")[2]
            self.record = msgspec.json.decode(last_line, type=ProbeRecord)
        except msgspec.DecodeError:
            failure = f"it ended with exit code {self._process.returncode}"
            nothing = Distribution.of(Histogram())
            self.record = ProbeRecord(requests=0, failure=failure, latency_ns=nothing)

    def _tell(self, line: bytes) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, and will say why
            pipe.write(line)
            pipe.flush()

    def _wait_for_output(self) -> None:
        output = self._process.stdout
        assert output is not None
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            if selector.select(_PATIENCE_S):
                # Past the buffer, which `communicate` knows nothing of: this may be all of it.
                self._said = os.read(output.fileno(), _BUFFER_BYTES)


def _on_paper(endpoint: Endpoint) -> Endpoint:
    """Return ``endpoint`` as it can be written down: the path of a UNIX socket is bytes."""
    family, address = endpoint
    return Endpoint(family, escaped(address) if isinstance(address, str) else address)


# ---- in the process of its own ------------------------------------------------------------


class Prober:
    """One blocking connection."""

    def __init__(self, plan: Plan, endpoint: Endpoint) -> None:
        self._plan = plan
        self._endpoint = endpoint
        self._queue = payload.load(plan.payloads)
        self._framing = plan.framing()
        self._buffer = bytearray(_BUFFER_BYTES)
        self._position = 0
        self._socket: socket.socket | None = None
        self._decoder = self._framing.decoder()

    def connect(self) -> None:
        """Be connected; where a reply ends the connection, anew for each request."""
        if self._socket is not None:
            return
        family, address = self._endpoint
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.settimeout(self._plan.connect_timeout_s)
        self._socket.connect(address)
        refuse_own_end(self._socket)
        self._socket.settimeout(min(self._plan.io_timeout_s, _PATIENCE_S / 2))
        if family != getattr(socket, "AF_UNIX", None) and not self._plan.nagle:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._decoder = self._framing.decoder()
        if self._plan.first_message:
            first = payload.first_message(self._plan.first_message)
            self._exchange(first, (len(first),))

    def request(self) -> int:
        """Send the next payload and wait for its reply; return how long that took (ns)."""
        batch, lengths = self._queue.batch(self._position, 1)
        self._position = (self._position + 1) % len(self._queue.items)
        self.connect()
        took_ns = self._exchange(batch, lengths)
        if isinstance(self._framing, UntilEof):
            self.close()
        return took_ns

    def close(self) -> None:
        """Be connected no longer."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, message: bytes, lengths: Sequence[int]) -> int:
        assert self._socket is not None
        self._decoder.expect(message, lengths)
        replies = 0
        sent_ns = time.monotonic_ns()
        self._socket.sendall(message)
        while not replies:
            size = self._socket.recv_into(self._buffer)
            read_ns = time.monotonic_ns()
            if size:
                replies = self._decoder.feed(memoryview(self._buffer)[:size])
            else:
                replies = self._decoder.end()
                if not replies:
                    raise ConnectionError("the server closed the connection")
        return read_ns - sent_ns


def main() -> int:
    """Probe as the protocol says; return the exit code."""
    job: Any = msgspec.json.decode(sys.stdin.buffer.readline())
    family, address = job["endpoint"]
    endpoint = Endpoint(family, unescaped(address) if isinstance(address, str) else tuple(address))
    plan = msgspec.convert(job["plan"], Plan)
    prober, failure = Prober(plan, endpoint), ""
    histogram, times_ns = Histogram(), array("q")
    random_gaps = random.Random(plan.seed)  # noqa: S311 - it is no secret
    try:
        prober.connect()
        _say(b"ready")
        with selectors.DefaultSelector() as orders:
            orders.register(0, selectors.EVENT_READ)
            while True:
                if orders.select(random_gaps.expovariate(REQUESTS_PER_S)):
                    if not sys.stdin.buffer.readline():
                        break
                    histogram, times_ns = Histogram(), array("q")
                times_ns.append(prober.request())
                if len(times_ns) == _BINNED_TOGETHER:
                    histogram.record(times_ns)
                    times_ns = array("q")
    except (OSError, FramingError) as error:
        failure = str(error) or type(error).__name__
    prober.close()
    histogram.record(times_ns)
    latency_ns = Distribution.of(histogram)
    record = ProbeRecord(requests=histogram.count, failure=failure, latency_ns=latency_ns)
    _say(msgspec.json.encode(record))
    return 0


def _say(line: bytes) -> None:
    write_whole(sys.stdout.fileno(), line + b"\n")


if __name__ == "__main__":
    sys.exit(main())
