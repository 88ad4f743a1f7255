"""Does a long run grow, slow down, or lose count?

Runs loadgen for a while against a server of its own that logs its answers, looks at its memory and
its open descriptors once a second, and holds its books against the server's at the end. The
first third of the run, two minutes at most, is left out of the slopes: the process still warms up.

    python -m bench soak --duration 30m

exit codes: 0 nothing is wrong beyond doubt; 1 memory or descriptors grow by more than was promised
(for memory: and by a megabyte more), or the books do not agree; 2 usage.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import psutil

from bench.trend import CONFIDENCE, LEAST_SAMPLES, Slope, Word, slope
from bench.yardstick import ROOT, UnavailableError, heading
from loadgen import RunRecord, from_json
from loadgen.results.intervals import numbers_of, phases_of
from loadgen.server.connections import ServerCounts
from loadgen.server.embedded import EmbeddedServer
from loadgen.server.residence_log import read_residence_log
from loadgen.units import format_count, parse_duration_s

MEMORY_PER_S: Final = 10_000.0
"""Bytes of memory that a run may grow by in every second."""

DESCRIPTORS_PER_S: Final = 1 / 60

SETTLING_BYTES: Final = 1e6
"""What a process may yet take once and for all, in pages that it comes to touch for the first time.
In a minute that looks like growth, in half an hour like none; what a promise is broken by is more.
"""

_LOOK_EVERY_S: Final = 1.0  # in a run of a minute or more, in others 120 times in all
_LOOKS: Final = 120
_LEFT_OUT_S: Final = 120.0
_GUARD_S: Final = 1.5  # at the end of the load, when the record is made
_LINES: Final = 10
_S_PER_HOUR: Final = 3600


class Look(NamedTuple):
    """What the process had at a moment of the wall clock."""

    at_s: float
    memory_bytes: int
    descriptors: int


class Entry(NamedTuple):
    """One thing that both sides have counted."""

    what: str
    ours: int
    theirs: int


@dataclass(frozen=True)
class Soaked:
    """A run, what it looked like from outside, and what the server has counted."""

    record: RunRecord
    looks: Sequence[Look]
    counts: ServerCounts
    in_ledger: int


@dataclass(frozen=True)
class Trends:
    """How memory, descriptors and rate moved in the part of the run from ``from_s`` on.

    watched_s: how long that part was.
    rates_per_s: of each interval of it. rate: None where they are too few for a slope.
    """

    from_s: float
    watched_s: float
    rates_per_s: Sequence[float]
    memory: Slope
    descriptors: Slope
    rate: Slope | None

    @property
    def of_memory(self) -> Word:
        """What became of the promise about memory."""
        return self.memory.against(MEMORY_PER_S, SETTLING_BYTES / self.watched_s)

    @property
    def of_descriptors(self) -> Word:
        """What became of that about descriptors."""
        return self.descriptors.against(DESCRIPTORS_PER_S)


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak and print; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--duration", type=parse_duration_s, default=1800.0, help="(30m)")
    parser.add_argument("--rate", type=int, default=5000, help="messages a second (5000)")
    parser.add_argument("--conns", type=int, default=1000, help="connections (1000)")
    chosen = parser.parse_args(arguments)
    print(f"{heading().rpartition(';')[0]}; {chosen.conns} connections, {chosen.rate} messages/s")
    try:
        soaked = soak(chosen.duration, chosen.rate, chosen.conns)
        found = trends(soaked)
    except (UnavailableError, ValueError) as reason:
        print(f"bench.soak: {reason}", file=sys.stderr)
        return 1
    print("\n".join(conclusion(found, books(soaked))))
    return int(is_wrong(found, books(soaked)))


def soak(duration_s: float, rate_per_s: int, connections: int) -> Soaked:
    """Run the load, and look at it. Raises UnavailableError where the run fails."""
    with tempfile.TemporaryDirectory(prefix="loadgen-soak-") as directory:
        ledger, json = Path(directory) / "ledger", Path(directory) / "run.json"
        with EmbeddedServer(("--ledger", str(ledger))) as server:
            command = [sys.executable, "-m", "loadgen", server.address, "--quiet"]
            command += ["--conns", str(connections), "--rate", str(rate_per_s)]
            command += [
                "--duration",
                f"{duration_s}s",
                "--timestamps",
                "kernel",
                "--json",
                str(json),
            ]
            looks = list(_watched(command, duration_s))
        content = json.read_bytes()
        return Soaked(from_json(content), looks, server.counts, len(read_residence_log(ledger)))


def _watched(command: Sequence[str], duration_s: float) -> Iterator[Look]:
    """Yield what ``command`` looks like until it ends, and print some of it."""
    began_s, said = time.time(), 0
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            outside = psutil.Process(process.pid)
            while process.poll() is None:
                look = Look(time.time(), outside.memory_info().rss, outside.num_fds())
                yield look
                if look.at_s - began_s >= said * duration_s / _LINES:
                    said += 1
                    print(f"  {look.at_s - began_s:6.0f} s {_in_words(look)}", flush=True)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(min(_LOOK_EVERY_S, duration_s / _LOOKS))
        except psutil.NoSuchProcess:
            process.wait()
        finally:
            process.terminate()
    if process.returncode:
        raise UnavailableError(f"loadgen ended with {process.returncode}")


def _in_words(look: Look) -> str:
    return f"{look.memory_bytes / 1e6:8.1f} MB {look.descriptors:6} descriptors"


# ---- what it means ------------------------------------------------------------------------


def trends(soaked: Soaked) -> Trends:
    """Return the slopes of a run. Raises ValueError where it was too short to tell."""
    actual = soaked.record.actual
    load_at_s = datetime.fromisoformat(soaked.record.started_at).timestamp() + actual.opening_s
    from_s = min(_LEFT_OUT_S, actual.duration_s / 3)
    looks = [
        look
        for look in soaked.looks
        if from_s <= look.at_s - load_at_s <= actual.duration_s - _GUARD_S
    ]
    at_s = [look.at_s for look in looks]
    starts_s, rates_per_s = _rates(soaked.record, from_s)
    return Trends(
        from_s=from_s,
        watched_s=max(1.0, actual.duration_s - from_s),
        rates_per_s=rates_per_s,
        memory=slope(at_s, [look.memory_bytes for look in looks]),
        descriptors=slope(at_s, [look.descriptors for look in looks]),
        rate=slope(starts_s, rates_per_s) if len(starts_s) >= LEAST_SAMPLES else None,
    )


def _rates(record: RunRecord, from_s: float) -> tuple[list[float], list[float]]:
    """Return the messages a second of each whole interval from then on, and when it began."""
    intervals = record.intervals
    starts_s, lasting_s, messages = (
        numbers_of(intervals, name) for name in ("start_s", "duration_s", "messages")
    )
    is_loading = np.array(phases_of(intervals)) == "loading"
    counted = is_loading & (starts_s >= from_s) & (lasting_s >= 1.0)
    return starts_s[counted].tolist(), (messages[counted] / lasting_s[counted]).tolist()


def books(soaked: Soaked) -> list[Entry]:
    """Return what was counted twice: by the generator, and by the server or once more by itself."""
    record, counts = soaked.record, soaked.counts
    actual, ledger = record.actual, record.connections.ledger
    answered = actual.messages + actual.warmup_messages
    return [
        Entry("messages, and the server's log", answered, soaked.in_ledger),
        Entry("bytes sent, and received there", actual.bytes_sent, counts.bytes_received),
        Entry("bytes received, and sent there", actual.bytes_received, counts.bytes_sent),
        Entry("connections opened, and accepted", actual.opened, counts.accepted),
        Entry("connections closed, and closed there", actual.closed, counts.closed),
        Entry("messages, and those submitted", answered, actual.submitted),
        Entry(
            "messages, and those of all intervals",
            answered,
            int(numbers_of(record.intervals, "messages").sum()),
        ),
        Entry("messages, and those of all connections", answered, sum(ledger["answered"])),
    ]


def is_wrong(found: Trends, entries: Sequence[Entry]) -> bool:
    """Return whether growth is beyond what was promised, without doubt, or books do not agree."""
    return "broken" in (found.of_memory, found.of_descriptors) or any(
        entry.ours != entry.theirs for entry in entries
    )


def conclusion(found: Trends, entries: Sequence[Entry]) -> list[str]:
    """Return lines for people."""
    tenths = np.array_split(np.array(found.rates_per_s), min(_LINES, len(found.rates_per_s)) or 1)
    rates = ", ".join(f"{part.mean():.0f}" for part in tenths if part.size)
    memory, descriptors = _bounds(found.memory, 1e-3), _bounds(found.descriptors, 60)
    drift = "too short to tell" if found.rate is None else _in_hours(found.rate)
    lines = [
        f"  messages/s over time: {rates}",
        f"slopes after the first {found.from_s:.0f} s (Theil-Sen; {CONFIDENCE:.0%} intervals):",
        f"  memory       {memory} KB/s; {MEMORY_PER_S / 1e3:.0f} at most is {found.of_memory}",
        f"  descriptors  {descriptors} a minute; 1 at most is {found.of_descriptors}",
        f"  rate         {drift}",
        "books, ours and theirs:",
    ]
    for entry in entries:
        word = "agree" if entry.ours == entry.theirs else "DO NOT AGREE"
        ours, theirs = format_count(entry.ours), format_count(entry.theirs)
        lines.append(f"  {entry.what:40} {ours:>15} {theirs:>15}  {word}")
    return lines


def _in_hours(rate: Slope) -> str:
    return f"{_bounds(rate, _S_PER_HOUR)} messages/s in an hour"


def _bounds(found: Slope, factor: float) -> str:
    per, low, high = (factor * each for each in (found.per_s, found.low_per_s, found.high_per_s))
    return f"{per:.2f} (from {low:.2f} to {high:.2f})"


if __name__ == "__main__":
    sys.exit(main())
