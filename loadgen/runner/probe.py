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
is up. Each line "begin" begins the account anew. After "end" nothing more is sent, and the record
goes out when the last reply is whole. The end of the input is the end of the run: whatever is still
awaited by then is cut off, so that no server holds up a run by way of its probe.
"""

import contextlib
import errno
import os
import random
import select
import selectors
import socket
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
from loadgen.net.address import Endpoint, refuse_own_end
from loadgen.net.clock import NEVER_NS
from loadgen.net.failure import Cause
from loadgen.net.protocols import FramingError, UntilEof
from loadgen.plan import Plan
from loadgen.plan import payloads as payload
from loadgen.plan.payloads import Payloads
from loadgen.results.distribution import Distribution
from loadgen.results.histogram import Histogram
from loadgen.results.instruments import ProbeRecord
from loadgen.text import escaped, unescaped
from loadgen.units import ns_to_seconds, seconds_to_ns

REQUESTS_PER_S: Final = 300
_BINNED_TOGETHER: Final = 1000

TRICKLE_PER_S: Final = 1000
"""Up to this rate a generator has the time to read its replies at once, and needs no probe."""

TRICKLE_MESSAGES: Final = 10_000

_START_S: Final = 10.0
"""For the probe to be connected; the load does not wait longer."""

_LAST_WORD_S: Final = 5.0
"""For the probe's process to hand its record over once its run has ended; then it is killed."""

_LONGEST_WAIT_S: Final = 0.1
"""Waited at one time, so that a request to stop is heard."""

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


def _nobody_asks() -> bool:
    return False


class Probe:
    """The probe's process, from the start of the ``with`` to its end; then ``record`` is there.

    should_stop: whether the run is to end, so that nothing more is waited for.
    """

    def __init__(
        self,
        plan: Plan,
        payloads: Payloads,
        endpoint: Endpoint,
        should_stop: Callable[[], bool] = _nobody_asks,
    ) -> None:
        self.record: ProbeRecord | None = None
        self._said = b""
        self._should_stop = should_stop
        self._drain_s = plan.drain_s
        self._drained_at_s = 0.0
        # Its own standard input holds no payload.
        plan = msgspec.structs.replace(plan, payloads=tuple(payloads.items))
        self._job = as_json({"plan": plan, "endpoint": _on_paper(endpoint)}) + b"\n"

    def __enter__(self) -> Self:
        """Start it, and wait until it is connected, or not."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadgen.runner.probe"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a ^C at the terminal is for the run, which ends the probe
        )
        self._tell(self._job)
        self._said = self._output_until(time.monotonic() + _START_S)
        return self

    def begin(self) -> None:
        """Let its account begin now."""
        self._tell(b"begin\n")

    def end(self) -> None:
        """Let its account end now; the last reply may come home for as long as the drain takes."""
        self._tell(b"end\n")
        self._drained_at_s = time.monotonic() + self._drain_s
        if self._should_stop():  # that was why the load has ended
            self._should_stop = _nobody_asks

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self._said += self._output_until(self._drained_at_s)
        output = b""
        with contextlib.suppress(subprocess.TimeoutExpired):
            output, _ = self._process.communicate(timeout=_LAST_WORD_S)  # closes its input
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

    def _output_until(self, moment_s: float) -> bytes:
        """Return what it says next; nothing if it says nothing until then, or the run is to end."""
        output = self._process.stdout
        assert output is not None
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while not self._should_stop():
                left_s = moment_s - time.monotonic()
                if selector.select(max(0.0, min(left_s, _LONGEST_WAIT_S))):
                    # Past the buffer, which `communicate` knows nothing of: this may be all of it.
                    return os.read(output.fileno(), _BUFFER_BYTES)
                if left_s <= 0:
                    break
        return b""


def _on_paper(endpoint: Endpoint) -> Endpoint:
    """Return ``endpoint`` as it can be written down: the path of a UNIX socket is bytes."""
    family, address = endpoint
    return Endpoint(family, escaped(address) if isinstance(address, str) else address)


# ---- in the process of its own ------------------------------------------------------------


class LatencyTally:
    """What the requests have taken."""

    def __init__(self) -> None:
        self._histogram = Histogram()
        self._times_ns = array("q")

    def add(self, took_ns: int) -> None:
        """Note one of them."""
        self._times_ns.append(took_ns)
        if len(self._times_ns) == _BINNED_TOGETHER:
            self._bin()

    def record(self, failure: str) -> ProbeRecord:
        """Return what was found."""
        self._bin()
        latency_ns = Distribution.of(self._histogram)
        return ProbeRecord(requests=self._histogram.count, failure=failure, latency_ns=latency_ns)

    def _bin(self) -> None:
        self._histogram.record(self._times_ns)
        self._times_ns = array("q")


class RunEnded(Exception):  # noqa: N818 - it is no error
    """The run has ended, and a reply was still awaited."""


class ControlChannel:
    """What the run says by ``descriptor``, standard input; to be heard in every wait."""

    def __init__(self, descriptor: int) -> None:
        self.account = LatencyTally()
        """Of the requests that are sent now."""
        self.may_ask = True
        """Whether requests are still to be sent."""
        self._descriptor = descriptor
        self._has_ended = False

    def wait(self, until_ns: int, sock: socket.socket | None = None, *, to_write: bool) -> bool:
        """Wait until ``sock`` is ready, or until then; return whether it is ready.

        Without a socket it waits as long as requests are to be sent, and raises nothing; with one
        it raises RunOver at the end of the input.
        """
        reads: list[int | socket.socket] = [self._descriptor]
        writes: list[socket.socket] = []
        if sock is not None:
            (writes if to_write else reads).append(sock)
        while True:
            left_s = max(0.0, ns_to_seconds(until_ns - time.monotonic_ns()))
            readable, writable, _ = select.select(reads, writes, [], left_s)
            if self._descriptor in readable:
                self._hear()
            if sock is None and not self.may_ask:
                return False
            if self._has_ended:
                raise RunEnded
            if sock is not None and sock in (writable if to_write else readable):
                return True
            if time.monotonic_ns() >= until_ns:
                return False

    def _hear(self) -> None:
        lines = os.read(self._descriptor, _BUFFER_BYTES)
        if b"begin\n" in lines:
            self.account = LatencyTally()
        self._has_ended = not lines
        self.may_ask = self.may_ask and bool(lines) and b"end\n" not in lines


class ProbeConnection:
    """One connection, which waits for the server as long as plan and ``orders`` let it."""

    def __init__(self, plan: Plan, endpoint: Endpoint, orders: ControlChannel) -> None:
        self._plan = plan
        self._endpoint = endpoint
        self._orders = orders
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
        self._socket = sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        code = sock.connect_ex(address)
        if code == errno.EINPROGRESS:
            self._wait(self._plan.connect_timeout_s, NEVER_NS, to_write=True)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        refuse_own_end(sock)
        if family != getattr(socket, "AF_UNIX", None) and not self._plan.nagle:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
        timeout_s = self._plan.reply_timeout_s
        sent_ns = time.monotonic_ns()
        whole_by_ns = NEVER_NS if timeout_s is None else sent_ns + seconds_to_ns(timeout_s)
        self._send(message, whole_by_ns)
        while True:
            self._wait(self._plan.io_timeout_s, whole_by_ns)
            size = self._socket.recv_into(self._buffer)
            read_ns = time.monotonic_ns()
            view = memoryview(self._buffer)[:size]
            if self._decoder.feed(view) if size else self._decoder.end():
                return read_ns - sent_ns
            if not size:
                raise ConnectionError("the server closed the connection")
            if read_ns >= whole_by_ns:
                raise TimeoutError(Cause.REPLY_TIMEOUT.text)

    def _send(self, message: bytes, whole_by_ns: int) -> None:
        assert self._socket is not None
        rest = memoryview(message)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                self._wait(self._plan.io_timeout_s, whole_by_ns, to_write=True)

    def _wait(self, progress_s: float, whole_by_ns: int, *, to_write: bool = False) -> None:
        """Wait for the server. Raises TimeoutError if that takes too long, and RunOver."""
        progress_by_ns = time.monotonic_ns() + seconds_to_ns(progress_s)
        until_ns = min(progress_by_ns, whole_by_ns)
        if not self._orders.wait(until_ns, self._socket, to_write=to_write):
            cause = Cause.TIMEOUT if until_ns == progress_by_ns else Cause.REPLY_TIMEOUT
            raise TimeoutError(cause.text)


def main() -> int:
    """Probe as the protocol says; return the exit code."""
    job: Any = msgspec.json.decode(sys.stdin.buffer.readline())
    family, address = job["endpoint"]
    endpoint = Endpoint(family, unescaped(address) if isinstance(address, str) else tuple(address))
    plan = msgspec.convert(job["plan"], Plan)
    orders = ControlChannel(sys.stdin.fileno())
    prober, failure = ProbeConnection(plan, endpoint, orders), ""
    random_gaps = random.Random(plan.seed)  # noqa: S311 - it is no secret
    try:
        prober.connect()
        _say(b"ready")
        while orders.may_ask:
            gap_ns = seconds_to_ns(random_gaps.expovariate(REQUESTS_PER_S))
            orders.wait(time.monotonic_ns() + gap_ns, to_write=False)
            account = orders.account  # whatever begins while the reply is awaited
            if orders.may_ask:
                account.add(prober.request())
    except RunEnded:
        failure = "it still waited for a reply when the run ended"
    except (OSError, FramingError) as error:
        failure = str(error) or type(error).__name__
    prober.close()
    _say(msgspec.json.encode(orders.account.record(failure)))
    return 0


def _say(line: bytes) -> None:
    write_whole(sys.stdout.fileno(), line + b"\n")


if __name__ == "__main__":
    sys.exit(main())
