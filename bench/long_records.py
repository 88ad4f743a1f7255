"""What do records of very long runs take to be written, read and drawn?

Makes two of them: of a day under 5000 messages a second, with some hundred occupied buckets in each
histogram of a second; and of a million intervals with three messages each. Prints, for each step in
a process of its own, how long it took and the most memory that it had.

    python -m bench long_records
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from bench.yardstick import ROOT, UnavailableError, output_of
from loadgen import RunRecord, from_json
from loadgen.files.writing import write_atomically
from loadgen.results.distribution import Distribution
from loadgen.results.histogram import Histogram
from loadgen.results.instruments import MonitorRecord, ProcessSamples
from loadgen.results.interval_packer import packed
from loadgen.results.intervals import (
    BLOCK,
    IntervalBlock,
    IntervalRecord,
    PackedIntervals,
)
from loadgen.runner.monitor import MOST_SAMPLES

MOST_BYTES: Final = 1e9
MOST_S: Final = 20.0

DAY: Final = 86_400
MILLION: Final = 1_000_000

_DIFFERENT_BLOCKS: Final = 10  # they are repeated: to pack a day takes minutes


class Kind(NamedTuple):
    """A record to be made: how many intervals, each of how many messages, by which load."""

    intervals: int
    messages: int
    load: tuple[str, ...]


KINDS: Final = {
    "a day": Kind(DAY, 5000, ("--rate", "5000", "-c", "1000")),
    "a million intervals": Kind(MILLION, 3, ("-c", "10")),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench long_records",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--share", type=float, default=1.0, help="make them so much shorter, such as 0.01 (1)"
    )
    parser.add_argument("--write", nargs=3, help=argparse.SUPPRESS)  # what the first step runs
    chosen = parser.parse_args(arguments)
    if chosen.write is not None:
        name, frame, file = chosen.write
        return _write(KINDS[name], chosen.share, Path(frame), Path(file))
    print(f"{'':20} {'step':6} {'seconds':>8} {'MB at most':>11}")
    with tempfile.TemporaryDirectory(prefix="loadgen-records-") as directory:
        try:
            for name in KINDS:
                _measure(name, chosen.share, Path(directory))
        except UnavailableError as reason:
            print(f"bench.long_records: {reason}", file=sys.stderr)
            return 1
    print(f"aims: {MOST_S:.0f} s and {MOST_BYTES / 1e6:.0f} MB")
    return 0


def _measure(name: str, share: float, directory: Path) -> None:
    """Print what each step takes. Raises UnavailableError where one fails."""
    frame, file = directory / "frame.json", directory / "long.json"
    run = [sys.executable, "-m", "loadgen", "-d", "2s", "--quiet", "--json", "-"]
    frame.write_text(output_of(None, [*run, *KINDS[name].load]))
    read = "import pathlib, sys, loadgen; loadgen.from_json(pathlib.Path(sys.argv[1]).read_bytes())"
    write = ["-m", "bench", "long_records", "--share", str(share)]
    steps = {
        "write": [*write, "--write", name, str(frame), str(file)],
        "read": ["-c", read, str(file)],
        "draw": ["-m", "loadgen", "report", str(file), "-o", str(directory / "page")],
    }
    for step, words in steps.items():
        seconds, peak_bytes, said = _run([sys.executable, *words])
        took_s = float(said) if step == "write" else seconds  # without the making of it
        print(f"{name:20} {step:6} {took_s:8.1f} {peak_bytes / 1e6:11.0f}", flush=True)
    print(f"{name:20} {'file':6} {'':8} {file.stat().st_size / 1e6:11.0f}", flush=True)


def _run(command: Sequence[str]) -> tuple[float, int, str]:
    """Return the seconds that ``command`` takes, its peak of resident memory, and what it says."""
    began_s = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, spent = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UnavailableError(f"{' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - began_s, spent.ru_maxrss * 1024, said


# ---- making them --------------------------------------------------------------------------


def _write(kind: Kind, share: float, frame: Path, file: Path) -> int:
    """Make a record of that kind, and print how long it takes to write it to ``file``."""
    record = long_record(from_json(frame.read_bytes()), kind, round(kind.intervals * share))
    began_s = time.perf_counter()
    write_atomically(file, record.to_json())
    print(time.perf_counter() - began_s)
    return 0


def long_record(frame: RunRecord, kind: Kind, count: int) -> RunRecord:
    """Return ``frame`` as if it had gone on for ``count`` intervals of a second each."""
    random = np.random.default_rng(7)
    second = frame.intervals[-2]  # the last one is of the drain
    seconds = [_second(second, kind, random) for _ in range(BLOCK * _DIFFERENT_BLOCKS)]
    different = packed(seconds).blocks
    blocks = [
        _moved(different[start // BLOCK % _DIFFERENT_BLOCKS], start, min(BLOCK, count - start))
        for start in range(0, count, BLOCK)
    ]
    return msgspec.structs.replace(
        frame,
        intervals=PackedIntervals(blocks),
        actual=msgspec.structs.replace(frame.actual, duration_s=float(count)),
        monitor=_monitor(frame.monitor, count),
    )


def _second(like: IntervalRecord, kind: Kind, random: np.random.Generator) -> IntervalRecord:
    """Return an interval with such times as a run has: most near each other, some far out."""
    times = {}
    for name, median_ns in {
        "service_time_ns": 60e3,
        "response_time_ns": 150e3,
        "schedule_lag_ns": 80e3,
        "generator_lag_ns": 75e3,
        "blocked_ns": 0.0,
        "receive_lag_ns": 60e3,
        "user_space_latency_ns": 130e3,
    }.items():
        if getattr(like, name) is not None:
            values_ns = median_ns * random.lognormal(0, 0.6, kind.messages)
            values_ns[random.random(kind.messages) < 0.1] *= 30
            histogram = Histogram()
            histogram.record(values_ns.astype(np.int64))
            times[name] = Distribution.of(histogram)
    messages = kind.messages + int(random.integers(0, 50))
    return msgspec.structs.replace(
        like,
        **times,
        stage="loading",
        duration_s=1.0,
        messages=messages,
        bytes_sent=64 * messages,
        bytes_received=64 * messages,
    )


def _moved(block: IntervalBlock, start_s: int, count: int) -> IntervalBlock:
    """Return a copy of ``block`` that shares no memory with it, from then on."""
    numbers: dict[str, list[Any]] = {
        name: [value + 0 for value in column[:count]] for name, column in block.numbers.items()
    }
    numbers["start_s"] = [float(start_s + number) for number in range(count)]
    if count < len(block):
        rows = block.rows()[:count]
        return msgspec.structs.replace(packed(rows).blocks[0], numbers=numbers)
    times = {kind: bytes(bytearray(content)) for kind, content in block.times.items()}
    return IntervalBlock(stage=block.stage, numbers=numbers, times=times)


def _monitor(like: MonitorRecord | None, duration_s: int) -> MonitorRecord | None:
    """Return the samples of a run of that length: as many as there can be, or two a second."""
    if like is None:
        return None
    samples = min(MOST_SAMPLES, duration_s * 2)

    def longer(column: list[Any], step: float) -> list[Any]:
        """Continue a column from its last value on."""
        last = column[-1]
        return [last if last is None else last + step * number for number in range(samples)]

    def processes(of: ProcessSamples) -> ProcessSamples:
        return msgspec.structs.replace(
            of,
            cpu_s=longer(of.cpu_s, 0.27),
            memory_bytes=longer(of.memory_bytes, 4096),
            descriptors=longer(of.descriptors, 0),
            threads=longer(of.threads, 0),
            context_switches=longer(of.context_switches, 1234),
        )

    return msgspec.structs.replace(
        like,
        at_s=longer([0.0], duration_s / samples),
        generator=processes(like.generator),
        target=None if like.target is None else processes(like.target),
        machine=msgspec.structs.replace(
            like.machine,
            cpu_share=[0.5] * samples,
            sent_bytes=longer(like.machine.sent_bytes, 320_123),
            received_bytes=longer(like.machine.received_bytes, 320_123),
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
