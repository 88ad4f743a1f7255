"""What the command makes of records that are damaged or forged."""

import contextlib
import faulthandler
import io
import json
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import backend_rows
import msgspec
import searches
from hypothesis import HealthCheck, settings
from record_damage import Damaged, Start
from records import HEALTHY, OPEN_LOOP_TIMES, distribution, failure, healthy

from loadgen.analysis import backends, max_rate
from loadgen.analysis.compare import benchmark_rounds
from loadgen.analysis.merge import merge
from loadgen.cli import main
from loadgen.errors import LoadgenError, RecordError
from loadgen.net.failure import Cause, Phase
from loadgen.results.hdr_log import to_hdr_log
from loadgen.results.instruments import MachineSamples, MonitorRecord, ProbeRecord, ProcessSamples
from loadgen.results.interval_packer import packed
from loadgen.results.record import RunRecord, from_json
from loadgen.results.schema import json_schema
from loadgen.results.verdict import CheckResult, Finding, Health

LONGEST_S: Final = 60.0
"""Generous, for a busy machine: what is wrong takes minutes.

An example that takes longer ends the process, with a traceback of where it was.
"""

ACCEPTED_CODES: Final = (0, 1, 2, 4)

SETTINGS: Final = settings(
    database=None,
    deadline=None,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)
"""For tests that draw damaged records: the texts are long, and all of them are wanted."""

# ---- records as they should be ------------------------------------------------------------

_PROCESSES: Final = ProcessSamples(
    name="server",
    pids=[7],
    cpu_s=[0.0, 0.1, 0.2],
    memory_bytes=[1000, 2000, 3000],
    descriptors=[3, None, 5],
    threads=[1, 1, 1],
    context_switches=[0, 5, None],
)
MONITORED: Final = healthy(
    monitor=MonitorRecord(
        interval_s=0.5,
        at_s=[-0.1, 1.0, 2.0],
        generator=_PROCESSES,
        target=_PROCESSES,
        why_no_target="",
        target_ended_at_s=None,
        machine=MachineSamples(
            cpu_share=[0.0, 0.5, 0.5], sent_bytes=[0, 1, 2], received_bytes=[0, 1, 2]
        ),
    ),
)
PACKED: Final = healthy(intervals=packed(HEALTHY.intervals))
_JUDGED: Final = healthy(
    health=Health(
        verdict="busy", findings=[Finding(code="load", evidence="80 % busy", advice="use less")]
    ),
    checks=[CheckResult(check="errors==0", outcome="failed", measured="1", reason="")],
    probe=ProbeRecord(requests=2, failure="", latency_ns=distribution(100_000, 200_000)),
    failures=[failure(Phase.RECEIVE, Cause.RESET)],
)
_RECORDS: Final[Mapping[str, RunRecord]] = {
    "closed loop": HEALTHY,
    "open loop": healthy(**OPEN_LOOP_TIMES),
    "monitored": MONITORED,
    "packed": PACKED,
    "judged": _JUDGED,
    "merged": merge({"a": HEALTHY, "b": PACKED}),
}
BENCHMARKS: Final = "pytest-benchmark"
_BENCHMARKS: Final = {
    "datetime": "2026-01-31T12:00:00+00:00",
    "machine_info": {
        "system": "Linux",
        "release": "6.1",
        "cpu": {"brand_raw": "a processor", "count": 2},
    },
    "benchmarks": [
        {"fullname": "test_one", "stats": {"median": 0.001}},
        {"fullname": "test_two", "stats": {"median": 0.002}},
    ],
}


FIRST_FORM: Final = Path(__file__).parents[1] / "recorded" / "first_form.json"
"""A real run of 500 messages a second, in which there is nothing that has been added since."""


def _starts() -> Iterator[Start]:
    schema = json_schema()
    for name, record in _RECORDS.items():
        yield Start(name, schema, json.loads(record.to_json()))
    yield Start("an old one", schema, json.loads(FIRST_FORM.read_text()))
    yield Start(
        "a search for the highest rate",
        msgspec.json.schema(max_rate.MaxRecord),
        json.loads(searches.record_of(searches.wall_at(5000.0).search()).to_json()),
    )
    rows = backend_rows.rows_of(backend_rows.same())
    yield Start(
        "backends compared",
        msgspec.json.schema(backends.BackendsRecord),
        json.loads(backend_rows.record_of(rows).to_json()),
    )
    benchmarks = msgspec.json.schema(benchmark_rounds.Document)
    yield Start(BENCHMARKS, benchmarks, _BENCHMARKS)


STARTS: Final = tuple(_starts())

# ---- what is made of them -----------------------------------------------------------------


class Told(NamedTuple):
    """What a command has said and how it ended."""

    code: int
    stderr: str


def told(*arguments: str) -> Told:
    """Run the command in this process; no warning and no exception is right."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
        err.flush()
    said = err.buffer
    assert isinstance(said, io.BytesIO)
    return Told(code, said.getvalue().decode())


def is_drawn(hostile: Damaged, every: int) -> bool:
    """Return whether ``hostile`` is one of those, 1 in ``every``, of which a page is made."""
    return zlib.crc32(hostile.text) % every == 0


def check(hostile: Damaged, folder: Path, draws: bool) -> None:
    """Let everything that reads records read ``hostile``. Raises AssertionError if it falls over.

    draws: whether the page of a report is made, too, which takes long.
    """
    file, good = folder / "hostile.json", folder / "good.json"
    file.write_bytes(hostile.text)
    good.write_text(json.dumps(hostile.start.content))
    gate = "time>5%" if hostile.start.name == BENCHMARKS else "p99>5%"
    commands = [
        ("report", "list", str(folder)),
        ("compare", str(file), str(good), "--force", "--fail-on", gate, "--strict"),
    ]
    if draws:
        commands.append(("report", str(file), "-o", str(folder / "out")))
    with _bounded():
        for command in commands:
            _check_told(command, told(*command), file)
        _check_conversions(hostile.text)


def _check_told(command: Sequence[str], done: Told, file: Path) -> None:
    where = f"{command}: {done}"
    assert done.code in ACCEPTED_CODES, where
    if done.code == 2:
        assert done.stderr.count("\n") == 1, where
        assert done.stderr.endswith("\n"), where
        assert str(file.parent) in done.stderr or "--fail-on" in done.stderr, where
        assert len(done.stderr) < 2000, where


_OTHER_FORMS: Final[Sequence[Callable[[bytes], Any]]] = (
    max_rate.from_json,
    backends.from_json,
    benchmark_rounds.from_json,
)


def _check_conversions(text: bytes) -> None:
    for other in _OTHER_FORMS:
        with contextlib.suppress(RecordError):
            other(text)
    with contextlib.suppress(LoadgenError):
        record = from_json(text)
        to_hdr_log(record)
        merged = merge({"a": record, "b": HEALTHY} if _is_alike(record) else {"a": record})
        merged.to_json()


def _is_alike(record: RunRecord) -> bool:
    return record.plan == HEALTHY.plan and record.backend == HEALTHY.backend


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """End the process where what is done in it takes longer than `LONGEST_S`."""
    faulthandler.dump_traceback_later(LONGEST_S, exit=True, file=2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    finally:
        faulthandler.cancel_dump_traceback_later()
