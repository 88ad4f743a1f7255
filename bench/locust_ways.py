"""Ways to load an echo server with Locust and without, each run and counted alike.

A generator may be wrong about its own speed, so the server counts: the C server (`native/echo.c`)
keeps the bytes it has received where others can look. A run begins when all connections are open,
and is given time to settle; from then on the bytes between two moments are the rate, and the
processor time of the client between the same two its cost. Afterwards the client is told to end,
and what it says that it counted in all is set beside what the server did.

Other processes want the client's core, too. The time that they had it while the client was ready to
run (/proc/PID/schedstat, the second number) is no time of the client's: its rate is over the rest.
Nothing corrects the lag.
"""

import json
import mmap
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import psutil

from bench.locustfiles import LAG_OPTION, MESSAGE, NAME
from bench.truth import percentile
from bench.ways import ARRIVALS, AUTO, USER_SPACE, engine_options
from bench.yardstick import ROOT, Cost, UnavailableError, server, start_on, two_cores
from loadgen import from_json

_BACKLOG: Final = 4096
_OPEN_WITHIN_S: Final = 240.0
_END_WITHIN_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.02


@dataclass(frozen=True)
class Run:
    """How many users, how long until they are measured after the last has connected, and how long
    they are measured; and which engine loadgen is told to take.
    """

    users: int
    settle_s: float
    duration_s: float
    engine: str = AUTO

    @property
    def name(self) -> str:
        """What it is called in tables."""
        users = f"{self.users} users"
        return users if self.engine == AUTO else f"{users}, engine {self.engine}"

    @property
    def at_most_s(self) -> int:
        """The time after which a client that is not told to end does so by itself."""
        return round(_OPEN_WITHIN_S + self.settle_s + self.duration_s + _END_WITHIN_S)


@dataclass(frozen=True)
class Lag:
    """By how many milliseconds a greenlet overslept: percentiles, and the longest, while the run
    was measured; and the longest before, while the users came.
    """

    p50_ms: float
    p99_ms: float
    max_ms: float
    before_ms: float


def lag_of(naps: Sequence[tuple[int, int]], began_ns: int, ended_ns: int) -> Lag | None:
    """Return what those naps amount to, each told by the time of waking up and how late that was.

    What is measured is from ``began_ns`` to ``ended_ns``; None if no nap ended in it.
    """
    late_ns = np.array([late_ns for woken_ns, late_ns in naps if began_ns <= woken_ns <= ended_ns])
    if not late_ns.size:
        return None
    p50_ns, p99_ns, max_ns = (percentile(late_ns, percent) for percent in (50, 99, 100))
    before_ns = max((late_ns for woken_ns, late_ns in naps if woken_ns < began_ns), default=0)
    return Lag(p50_ns / 1e6, p99_ns / 1e6, max_ns / 1e6, before_ns / 1e6)


@dataclass(frozen=True)
class Found:
    """What came of a run.

    cost: its rate is over the time that was not taken by others. taken_share: the share of the
    time that was. counted: requests that the client says it made, from its beginning to its end;
    served: those that the server received. The server may have as many more as there are users:
    those that were under way when the client ended. stop_s: from the signal until it was gone.
    """

    cost: Cost
    taken_share: float
    counted: int
    served: int
    stop_s: float
    lag: Lag | None


@dataclass(frozen=True)
class Way:
    """A client. ``command`` is made from the server's port, the run and the file for the lag;
    ``counted`` reads the number of requests from what it prints.
    """

    name: str
    command: Callable[[int, Run, Path], list[str]]
    counted: Callable[[str], int]


# ---- the clients ---------------------------------------------------------------------


def _locust(
    locustfile: str, *options: str, has_engine: bool = True
) -> Callable[[int, Run, Path], list[str]]:
    def command(port: int, run: Run, lag_file: Path) -> list[str]:
        path = f"bench/locustfiles/{locustfile}.py"
        load = ["-u", str(run.users), "-r", str(run.users), "-t", f"{run.at_most_s}s"]
        output = ["--only-summary", "--json", LAG_OPTION, str(lag_file)]
        words = ["-f", path, "--headless", "--host", f"tcp://127.0.0.1:{port}"]
        engine = engine_options(run.engine) if has_engine else ()
        return [sys.executable, "-m", "locust", *words, *load, *output, *options, *engine]

    return command


def _command_line(*options: str) -> Callable[[int, Run, Path], list[str]]:
    def command(port: int, run: Run, _: Path) -> list[str]:
        load = ["-c", str(run.users), "--size", str(len(MESSAGE)), "-d", f"{run.at_most_s}s"]
        words = [*load, "--json", "-", "--quiet", *options, *engine_options(run.engine)]
        return [sys.executable, "-m", "loadgen", f"127.0.0.1:{port}", *words]

    return command


def counted_by_locust(text: str) -> int:
    """Return the requests in what Locust prints with ``--json``."""
    return sum(entry["num_requests"] for entry in json.loads(text) if entry["name"] == NAME)


def counted_by_loadgen(text: str) -> int:
    """Return the messages in a record."""
    return from_json(text.encode()).actual.messages


BY_HAND: Final = Way("by hand", _locust("by_hand", has_engine=False), counted_by_locust)
DECLARATIVE: Final = Way("declarative", _locust("declarative"), counted_by_locust)
DECLARATIVE_USER: Final = Way(
    "declarative, user space", _locust("declarative", "--timestamps", "user"), counted_by_locust
)
SCRIPTED: Final = Way("scripted", _locust("scripted"), counted_by_locust)
PLAIN: Final = Way("loadgen", _command_line(), counted_by_loadgen)
PLAIN_USER: Final = Way(
    "loadgen, user space", _command_line(*ARRIVALS[USER_SPACE]), counted_by_loadgen
)

WAYS: Final = (BY_HAND, DECLARATIVE, PLAIN, DECLARATIVE_USER, PLAIN_USER, SCRIPTED)
"""Those that are compared stand beside each other: the machine's speed drifts."""


# ---- a run ---------------------------------------------------------------------------


class Counts:
    """What the C server has counted so far, read from the file that it keeps."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        self._numbers = memoryview(self._map).cast("Q")

    @property
    def messages(self) -> int:
        """Whole messages received."""
        return self._numbers[0] // len(MESSAGE)

    @property
    def connections(self) -> int:
        """Open now."""
        return self._numbers[1]

    def close(self) -> None:
        """Let the file go."""
        self._numbers.release()
        self._map.close()


@contextmanager
def counting_server(program: Path, core: int | None) -> Iterator[tuple[int, Counts]]:
    """Run the C server on ``core``; yield its port and its counts."""
    path = program.parent / "counts"
    with server(program, core, _BACKLOG, path) as port:
        counts = Counts(path)
        try:
            yield port, counts
        finally:
            counts.close()


def measure(way: Way, run: Run, program: Path) -> Found:
    """Run ``way`` against a server of its own, on a core each if there are two.

    Raises UnavailableError where it does not open its connections, or end when it is told to.
    """
    client_core, server_core = two_cores()
    lag_file = program.parent / "lag.json"
    lag_file.unlink(missing_ok=True)
    with counting_server(program, server_core) as (port, counts):
        command = way.command(port, run, lag_file)
        with start_on(client_core, command) as client:
            try:
                _wait_for_connections(client, counts, run.users)
                _let_run(client, run.settle_s)
                began_ns = time.monotonic_ns()
                cost, taken_share = _cost(client, counts, run.duration_s)
                ended_ns = time.monotonic_ns()
                client.send_signal(signal.SIGTERM)
                output, _ = client.communicate(timeout=_END_WITHIN_S)
                stop_s = (time.monotonic_ns() - ended_ns) / 1e9
            except (UnavailableError, subprocess.TimeoutExpired) as reason:
                raise UnavailableError(f"`{' '.join(command)}`: {reason}") from None
            finally:
                client.kill()
        naps = json.loads(lag_file.read_text()) if lag_file.exists() else []
        lag = lag_of(naps, began_ns, ended_ns)
        return Found(cost, taken_share, way.counted(output), counts.messages, stop_s, lag)


def _cost(client: subprocess.Popen[str], counts: Counts, duration_s: float) -> tuple[Cost, float]:
    """Return the cost of the messages of that time, and the share of it that others took."""
    process = psutil.Process(client.pid)
    began_ns, before, messages = time.monotonic_ns(), process.cpu_times(), -counts.messages
    taken_ns = -_kept_waiting_ns(client.pid)
    _let_run(client, duration_s)
    messages += counts.messages
    taken_ns += _kept_waiting_ns(client.pid)
    elapsed_ns, after = time.monotonic_ns() - began_ns, process.cpu_times()
    if not messages:
        raise UnavailableError("no message came in the time that was measured")
    cost = Cost(
        messages_per_s=messages / max(elapsed_ns - taken_ns, 1) * 1e9,
        user_us=(after.user - before.user) / messages * 1e6,
        system_us=(after.system - before.system) / messages * 1e6,
    )
    return cost, taken_ns / elapsed_ns


def _kept_waiting_ns(pid: int) -> int:
    """Return how long that process's first thread has been ready, and another had the core."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1])


def _wait_for_connections(client: subprocess.Popen[str], counts: Counts, users: int) -> None:
    give_up_s = time.monotonic() + _OPEN_WITHIN_S
    while counts.connections < users:
        if time.monotonic() > give_up_s:
            raise UnavailableError(
                f"{counts.connections} of {users} connections were open after {_OPEN_WITHIN_S:g} s"
            )
        _let_run(client, _LOOK_EVERY_S)


def _let_run(client: subprocess.Popen[str], duration_s: float) -> None:
    """Return after that time. Raises UnavailableError if the client ends within it."""
    try:
        code = client.wait(duration_s)
    except subprocess.TimeoutExpired:
        return
    raise UnavailableError(f"ended with {code} before its time; run it by hand in {ROOT} to see")
