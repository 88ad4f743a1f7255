"""The probe: user-space latency of one connection, measured by a process of its own.

Without kernel timestamps, a busy generator adds its own receive queue to every latency. A process
that sleeps most of the time does not: the scheduler runs it as soon as its reply has arrived.
Against a server with a true median of 200 µs, a saturated generator with 1000 connections measured
9192 µs, and such a probe on the same core 239 µs: 40 µs more, the time to wake up.

`Probe` starts this module as a program. It sends up to `REQUESTS_PER_S` requests a second, with
random pauses so that it synchronises with nothing, waits for each reply, and returns its histogram
at the end. It is a closed loop on one connection: a stall of the server delays one request, and not
all that were due meanwhile (coordinated omission).

Protocol. The plan comes as one line of JSON by standard input; the answer is "ready" when the
connection is up. Each line "begin" discards the latencies so far. After "end" no request is sent,
and the record is written when the last reply is complete. At the end of the input the run is over:
an outstanding reply is given up, so that no server can delay a run through its probe.
"""

import contextlib
import os
import random
import select
import selectors
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from loadgen.files.encoded import as_json
from loadgen.files.writing import write_whole
from loadgen.net.address import Endpoint
from loadgen.net.clock import NEVER_NS, middle_ns
from loadgen.net.failure import Cause, ConnectionFailed
from loadgen.net.protocols import FramingError
from loadgen.net.transport import NOTHING, READ, READ_AND_WRITE, WRITE, Transport
from loadgen.plan import Plan
from loadgen.plan.payloads import PayloadQueue, Payloads
from loadgen.results.distribution import NO_VALUES, Distribution
from loadgen.results.histogram import Histogram
from loadgen.results.instruments import ProbeRecord
from loadgen.runner.plan_dialer import dialer_of
from loadgen.text import escaped, unescaped
from loadgen.units import ns_to_seconds, seconds_to_ns

REQUESTS_PER_S: Final = 300
_BATCH_SIZE: Final = 1000

LOW_RATE_PER_S: Final = 1000
"""Up to this rate a generator can read its replies at once, and needs no probe."""

FEW_MESSAGES: Final = 10_000

_START_S: Final = 10.0
"""The load waits this long for the probe to be connected."""

_RECORD_S: Final = 5.0
"""The time that the probe's process has to write its record at the end; then it is killed."""

_LONGEST_WAIT_S: Final = 0.1
"""The longest single wait, so that a request to stop is seen in time."""

_BUFFER_BYTES: Final = 64 * 1024


def is_wanted(plan: Plan, why_user_space: str) -> bool:
    """Return whether a probe runs beside the load of ``plan``."""
    if plan.is_one_way or plan.is_datagram:
        return False
    if plan.probe is not None:
        return plan.probe
    return bool(why_user_space) and not _is_low_load(plan)


def _is_low_load(plan: Plan) -> bool:
    if plan.messages is not None and plan.messages * plan.connections <= FEW_MESSAGES:
        return True
    profile = plan.profile()
    return plan.connections == 1 if profile is None else profile.peak_per_s <= LOW_RATE_PER_S


def _never() -> bool:
    return False


class Probe:
    """The probe's process, which runs during the ``with``; ``record`` is set at its end.

    should_stop: returns whether the run is to end; then the probe is not waited for.
    """

    def __init__(
        self,
        plan: Plan,
        payloads: Payloads,
        endpoint: Endpoint,
        should_stop: Callable[[], bool] = _never,
    ) -> None:
        self.record: ProbeRecord | None = None
        self._received = b""
        self._should_stop = should_stop
        self._drain_s = plan.drain_s
        self._drained_at_s = 0.0
        job = {"plan": plan, "items": payloads.items, "endpoint": _encodable(endpoint)}
        self._job = as_json(job) + b"\n"

    def __enter__(self) -> Self:
        """Start the process, and wait until it is connected, or has failed."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadgen.runner.probe"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # ^C at the terminal reaches only the run, which ends the probe
        )
        self._send(self._job)
        self._received = self._output_until(time.monotonic() + _START_S)
        return self

    def begin(self) -> None:
        """Let the measurement begin now."""
        self._send(b"begin\n")

    def end(self) -> None:
        """Let no more requests be sent; the last reply is awaited during the drain."""
        self._send(b"end\n")
        self._drained_at_s = time.monotonic() + self._drain_s
        if self._should_stop():  # which has ended the load
            self._should_stop = _never

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self._received += self._output_until(self._drained_at_s)
        output = b""
        with contextlib.suppress(subprocess.TimeoutExpired):
            output, _ = self._process.communicate(timeout=_RECORD_S)  # closes its input
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()
        try:
            last_line = (self._received + output).rstrip().rpartition(b"\n")[2]
            self.record = msgspec.json.decode(last_line, type=ProbeRecord)
        except msgspec.DecodeError:
            failure = f"it ended with exit code {self._process.returncode}"
            self.record = ProbeRecord(requests=0, failure=failure, latency_ns=NO_VALUES)

    def _send(self, line: bytes) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended; its output says why
            pipe.write(line)
            pipe.flush()

    def _output_until(self, moment_s: float) -> bytes:
        """Return its next output; empty if there is none by ``moment_s``, or the run is to end."""
        output = self._process.stdout
        assert output is not None
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while not self._should_stop():
                left_s = moment_s - time.monotonic()
                if selector.select(max(0.0, min(left_s, _LONGEST_WAIT_S))):
                    # Unbuffered, for `communicate` does not return what is in the buffer.
                    return os.read(output.fileno(), _BUFFER_BYTES)
                if left_s <= 0:
                    break
        return b""


def _encodable(endpoint: Endpoint) -> Endpoint:
    """Return ``endpoint`` in a form for JSON: the path of a UNIX socket may be any bytes."""
    family, address = endpoint
    return Endpoint(family, escaped(address) if isinstance(address, str) else address)


# ---- in the probe's process ---------------------------------------------------------------


class LatencyTally:
    """The latencies of the requests."""

    def __init__(self) -> None:
        self._histogram = Histogram()
        self._times_ns = array("q")

    def add(self, latency_ns: int) -> None:
        """Add one latency."""
        self._times_ns.append(latency_ns)
        if len(self._times_ns) == _BATCH_SIZE:
            self._bin()

    def record(self, failure: str) -> ProbeRecord:
        """Return the record of all latencies."""
        self._bin()
        latency_ns = Distribution.of(self._histogram)
        return ProbeRecord(requests=self._histogram.count, failure=failure, latency_ns=latency_ns)

    def _bin(self) -> None:
        self._histogram.record(self._times_ns)
        self._times_ns = array("q")


class RunEnded(Exception):  # noqa: N818 - not an error
    """The run ended while a reply was outstanding."""


class ControlChannel:
    """The orders of the run, read from ``descriptor``, standard input, during every wait."""

    def __init__(self, descriptor: int) -> None:
        self.latencies = LatencyTally()
        """Of the requests since the last "begin"."""
        self.may_send = True
        """Whether requests may still be sent."""
        self._descriptor = descriptor
        self._has_ended = False

    def wait(
        self, until_ns: int, transport: Transport | None = None, interest: int = NOTHING
    ) -> bool:
        """Wait for an event of ``interest``, or until ``until_ns``; return whether there is one.

        Without a transport it waits while requests may be sent, and raises nothing; with one it
        raises RunEnded at the end of the input.
        """
        awaited = [] if transport is None else [transport]
        reads = [self._descriptor, *(awaited if interest & READ else ())]
        writes = awaited if interest & WRITE else []
        while True:
            left_s = max(0.0, ns_to_seconds(until_ns - time.monotonic_ns()))
            readable, writable, _ = select.select(reads, writes, [], left_s)
            if self._descriptor in readable:
                self._read_orders()
            if transport is None and not self.may_send:
                return False
            if self._has_ended:
                raise RunEnded
            if transport in readable or transport in writable:
                return True
            if time.monotonic_ns() >= until_ns:
                return False

    def _read_orders(self) -> None:
        lines = os.read(self._descriptor, _BUFFER_BYTES)
        if b"begin\n" in lines:
            self.latencies = LatencyTally()
        self._has_ended = not lines
        self.may_send = self.may_send and bool(lines) and b"end\n" not in lines


class ProbeConnection:
    """The connection of the probe; its waits end as ``plan`` and ``control`` say."""

    def __init__(
        self, plan: Plan, queue: PayloadQueue, endpoint: Endpoint, control: ControlChannel
    ) -> None:
        self._plan = plan
        self._dialer = dialer_of(plan, endpoint, None, stamped=False)
        self._control = control
        self._queue = queue
        self._framing = plan.framing()
        self._buffer = bytearray(_BUFFER_BYTES)
        self._position = 0
        self._transport: Transport | None = None
        self._decoder = self._framing.decoder()

    def connect(self) -> None:
        """Connect, unless connected: anew where the server has ended the connection."""
        if self._transport is not None:
            return
        self._transport = transport = self._dialer.dial()
        interest = WRITE
        while interest != NOTHING:
            self._wait(self._plan.connect_timeout_s, NEVER_NS, interest)
            interest = transport.progress()
        for message, framing in self._plan.greeting_steps():
            self._decoder = framing.decoder()
            self._exchange(message, (len(message),))
        self._decoder = self._framing.decoder()

    def request(self) -> int:
        """Send the next payload and wait for its reply; return the latency (ns)."""
        may_have_ended = self._transport is not None
        self.connect()
        batch, lengths = self._queue.batch(self._position, 1)
        try:
            latency_ns = self._exchange(batch, lengths, half_close=self._plan.half_close)
        except ConnectionError:
            if not (may_have_ended and self._decoder.closes):
                raise
            self.close()  # it met an orderly end, and is sent again, as in the load
            return self.request()
        self._position = (self._position + 1) % len(self._queue.items)
        if self._decoder.closes or self._plan.is_until_eof:
            self.close()
        return latency_ns

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _exchange(self, message: bytes, lengths: Sequence[int], *, half_close: bool = False) -> int:
        decoder = self._decoder
        decoder.expect(message, lengths)
        timeout_s = self._plan.reply_timeout_s
        began_ns = time.monotonic_ns()
        complete_by_ns = NEVER_NS if timeout_s is None else began_ns + seconds_to_ns(timeout_s)
        self._send(message, complete_by_ns)
        sent_ns = middle_ns(began_ns, time.monotonic_ns())
        if half_close and self._transport is not None:
            self._transport.end_sending()
        while True:
            view = self._receive(complete_by_ns)
            read_ns = time.monotonic_ns()
            replies = decoder.feed(view) if view else decoder.end()
            to_send, decoder.to_send = decoder.to_send, b""
            self._send(to_send, complete_by_ns)
            if replies:
                return read_ns - sent_ns
            if not view:
                raise ConnectionError("the server closed the connection")
            if read_ns >= complete_by_ns:
                raise TimeoutError(Cause.REPLY_TIMEOUT.text)

    def _receive(self, complete_by_ns: int) -> memoryview:
        """Return what has come, waiting for it; nothing at the end of the stream."""
        transport = self._transport
        assert transport is not None
        while True:
            if not transport.pending:
                self._wait(self._plan.io_timeout_s, complete_by_ns, transport.awaited(READ))
            with contextlib.suppress(BlockingIOError):
                return memoryview(self._buffer)[: transport.recv_into(self._buffer)]

    def _send(self, message: bytes, complete_by_ns: int) -> None:
        transport = self._transport
        assert transport is not None
        rest = memoryview(message)
        while rest:
            try:
                rest = rest[transport.send(rest) :]
            except BlockingIOError:
                interest = transport.awaited(READ_AND_WRITE)
                self._wait(self._plan.io_timeout_s, complete_by_ns, interest & WRITE or interest)

    def _wait(self, progress_s: float, complete_by_ns: int, interest: int) -> None:
        """Wait for the server. Raises TimeoutError, and RunEnded."""
        progress_by_ns = time.monotonic_ns() + seconds_to_ns(progress_s)
        until_ns = min(progress_by_ns, complete_by_ns)
        if not self._control.wait(until_ns, self._transport, interest):
            cause = Cause.TIMEOUT if until_ns == progress_by_ns else Cause.REPLY_TIMEOUT
            raise TimeoutError(cause.text)


def main() -> int:
    """Run the protocol of the module's docstring; return the exit code."""
    job: Any = msgspec.json.decode(sys.stdin.buffer.readline())
    family, address = job["endpoint"]
    endpoint = Endpoint(family, unescaped(address) if isinstance(address, str) else tuple(address))
    plan = msgspec.convert(job["plan"], Plan)
    control = ControlChannel(sys.stdin.fileno())
    queue = PayloadQueue(msgspec.convert(job["items"], tuple[bytes, ...]))
    connection, failure = ProbeConnection(plan, queue, endpoint, control), ""
    random_gaps = random.Random(plan.seed)  # noqa: S311 - not for cryptography
    try:
        connection.connect()
        _write(b"ready")
        while control.may_send:
            gap_ns = seconds_to_ns(random_gaps.expovariate(REQUESTS_PER_S))
            control.wait(time.monotonic_ns() + gap_ns)
            latencies = control.latencies  # the request counts where it was sent
            if control.may_send:
                latencies.add(connection.request())
    except RunEnded:
        failure = "it was still waiting for a reply when the run ended"
    except (OSError, FramingError, ConnectionFailed) as error:
        failure = str(error) or type(error).__name__
    connection.close()
    _write(msgspec.json.encode(control.latencies.record(failure)))
    return 0


def _write(line: bytes) -> None:
    write_whole(sys.stdout.fileno(), line + b"\n")


if __name__ == "__main__":
    sys.exit(main())
