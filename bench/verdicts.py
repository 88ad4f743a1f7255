"""Is the verdict right where something fools a load generator?

Brings about situations in which the numbers of a run are worth less than they look, or blame the
wrong side, on real servers and real processes, and prints what loadgen says of each. Then it loads
a healthy server again and again: none of those runs may be called anything but valid.

    python -m bench verdicts                    # some two minutes
    python -m bench verdicts --healthy 3

The exit code is 1 where a verdict or its reason is not the right one.
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.yardstick import heading, print_title
from loadgen import RunRecord
from loadgen.results.record import from_json
from loadgen.units import format_share

FROZEN_S: Final = 1.0
LOAD: Final = ("-c", "50", "--rate", "1000", "-d", "4s")
BEGUN_MESSAGES: Final = 500
"""A load is under way when its server has seen as many."""

_LONGEST_S: Final = 60.0
_GROUPS: Final = Path("/sys/fs/cgroup/cpu")


class Answering:
    """An echo server in this process, that treats connections and replies as it is told to.

    keeps: closes all connections but so many of the first at once. replies: closes a connection
    after so many.
    """

    def __init__(self, keeps: int = sys.maxsize, replies: int = sys.maxsize) -> None:
        self._keeps, self._replies = keeps, replies
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._open: list[socket.socket] = []
        self.has_begun = threading.Event()
        self._seen = 0

    def __enter__(self) -> "Answering":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.die()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def die(self) -> None:
        """Close the listener and all connections."""
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):  # the other side was faster
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it is closed in the end
            while True:
                accepted, _ = self._listener.accept()
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open.append(accepted)
                is_kept = len(self._open) <= self._keeps
                replies = self._replies if is_kept else 0
                threading.Thread(target=self._serve, args=(accepted, replies), daemon=True).start()

    def _serve(self, accepted: socket.socket, replies: int) -> None:
        with accepted, contextlib.suppress(OSError):
            while replies and (data := accepted.recv(65536)):
                accepted.sendall(data)
                replies -= 1
                self._seen += 1
                if self._seen == BEGUN_MESSAGES:
                    self.has_begun.set()


@contextlib.contextmanager
def generator(address: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run loadgen against ``address``; its record is its output."""
    words = [sys.executable, "-m", "loadgen", address, *options, "--json", "-", "--quiet"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def record_of(process: subprocess.Popen[bytes]) -> RunRecord:
    """Return the record of the run that ``process`` makes, once it has ended."""
    output, _ = process.communicate(timeout=_LONGEST_S)
    return from_json(output)


def freeze(*processes: subprocess.Popen[bytes]) -> None:
    """Stop ``processes`` for `FROZEN_S`."""
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    threading.Event().wait(FROZEN_S)
    for process in processes:
        process.send_signal(signal.SIGCONT)


# ---- situations ---------------------------------------------------------------------------


def healthy() -> RunRecord:
    """Load a server that does what it should."""
    with Answering() as server, generator(server.address, *LOAD) as process:
        return record_of(process)


def stopped() -> RunRecord:
    """Stop the generator for a second."""
    with Answering() as server, generator(server.address, *LOAD) as process:
        server.has_begun.wait(_LONGEST_S)
        freeze(process)
        return record_of(process)


def stopped_together() -> RunRecord:
    """Stop the generator and its server for a second, in a run of a minute's messages."""
    words = [sys.executable, "-m", "loadgen", "server", "--port", "0", "--delay", "5ms"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            line = server.stdout.readline().decode()
            address = next(word.strip(",;") for word in line.split() if word.startswith("127."))
            with generator(address, "-c", "20", "-d", "15s") as process:
                threading.Event().wait(5.0)
                freeze(server, process)
                return record_of(process)
        finally:
            server.terminate()


def throttled() -> RunRecord | None:
    """Give the generator a tenth of a processor; None where that cannot be done."""
    group = _GROUPS / f"loadgen-bench-{os.getpid()}"
    if not os.access(_GROUPS / "cpu.cfs_quota_us", os.W_OK):
        return None
    group.mkdir()
    try:
        (group / "cpu.cfs_quota_us").write_text("10000", encoding="ascii")
        with Answering() as server, generator(server.address, *LOAD) as process:
            (group / "cgroup.procs").write_text(str(process.pid), encoding="ascii")
            return record_of(process)
    finally:
        with contextlib.suppress(OSError):
            group.rmdir()


def turned_away() -> RunRecord:
    """Load a server that closes all connections but one at once."""
    with Answering(keeps=1) as server, generator(server.address, *LOAD) as process:
        return record_of(process)


def backing_off() -> RunRecord:
    """Load a server that ends each connection after a hundred replies."""
    options = ("-c", "10", "-d", "3s", "--reconnect")
    with Answering(replies=100) as server, generator(server.address, *options) as process:
        return record_of(process)


def gone() -> RunRecord:
    """Kill the server in the midst of the load."""
    with Answering() as server, generator(server.address, *LOAD, "--reconnect") as process:
        server.has_begun.wait(_LONGEST_S)
        server.die()
        return record_of(process)


@dataclass(frozen=True, slots=True)
class Situation:
    """What is brought about, and the finding that must make the run inconclusive."""

    words: str
    bring_about: Callable[[], RunRecord | None]
    code: str


SITUATIONS: Final = (
    Situation("generator stopped for 1 s of 4 s", stopped, "preempted"),
    Situation("generator and server stopped for 1 s of 15 s", stopped_together, "stopped-together"),
    Situation("generator with a tenth of a processor", throttled, "throttled"),
    Situation("server closes 49 of 50 connections at once", turned_away, "connections-down"),
    Situation("server ends connections after 100 replies", backing_off, "backing-off"),
    Situation("server dies, --reconnect", gone, "backing-off"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Try all situations and print; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench verdicts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--healthy", type=int, default=20, metavar="N", help="healthy runs in a row (20)"
    )
    chosen = parser.parse_args(arguments)
    print(heading())
    print_title("Verdicts", f"{'situation':46} {'verdict':14} finding")
    are_right = [_try(situation) for situation in SITUATIONS]
    are_right.append(_is_healthy(chosen.healthy))
    return 0 if all(are_right) else 1


def _try(situation: Situation) -> bool:
    record = situation.bring_about()
    if record is None or record.health is None:
        print(f"{situation.words:46} cannot be had here", flush=True)
        return True
    findings = {finding.code: finding.evidence for finding in record.health.findings}
    is_right = record.health.verdict == "inconclusive" and situation.code in findings
    found = findings.get(situation.code, f"WRONG: {', '.join(findings) or 'nothing'}")
    print(f"{situation.words:46} {record.health.verdict:14} {found}", flush=True)
    return is_right


def _is_healthy(runs: int) -> bool:
    """Load a healthy server so often; print what was said of it other than that it is valid."""
    alarms, shares = [], []
    for _ in range(runs):
        record = healthy()
        assert record is not None
        assert record.health is not None
        shares.append(record.generator.gaps_s / record.actual.duration_s)
        if record.health.verdict != "valid":
            alarms.append(record.health.findings[0].evidence)
    if runs:
        print(
            f"{f'healthy server, {runs} runs':46} {runs - len(alarms)} valid; pauses took up to "
            f"{format_share(max(shares))} of the load"
        )
    for evidence in alarms:
        print(f"{'':46} FALSE ALARM: {evidence}")
    return not alarms


if __name__ == "__main__":
    sys.exit(main())
