"""The pytest plugin: the fixture ``loadrun`` carries out load runs in tests.

    def test_holds_200_connections(loadrun):
        record = loadrun(target="localhost:9999", connections=200, duration_s=2)
        assert record.latency.percentile(99) < 5e6  # nanoseconds

pytest imports this module in every suite of an environment that has loadgen installed; so it
imports nothing else of loadgen before the first run.
"""

import difflib
import re
import zlib
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

import loadgen

if TYPE_CHECKING:
    from loadgen.plan import Plan
    from loadgen.results.record import RunRecord

FOLDER: Final = ".loadgen"
"""Where records of failed tests go, in pytest's root directory, if no other place is named."""

_LONGEST_STEM: Final = 100


class LoadRun:
    """Carries out plans for one test, and keeps their records in ``records`` until it has ended.

    extra_info: finds where the figures of all its runs go, after each; None for nowhere.
    """

    def __init__(
        self, extra_info: Callable[[], MutableMapping[str, Any] | None] = lambda: None
    ) -> None:
        self.records: list[RunRecord] = []
        self._find_extra_info = extra_info
        self._saved = 0

    def __call__(self, plan: "Plan | None" = None, /, **fields: Any) -> "RunRecord":
        """Carry out ``plan`` with ``fields`` of it changed, or the `loadgen.Plan` of ``fields``.

        Return the record. Raises what `loadgen.Plan` and `loadgen.run` raise, and UsageError for a
        field that a Plan does not have; of those, a traceback shows the caller's line alone.
        """
        __tracebackhide__ = True
        try:
            record = loadgen.run(_plan_of(plan, fields))
        except loadgen.LoadgenBug:
            raise
        except loadgen.LoadgenError as error:
            if isinstance(error, loadgen.UnreachableTargetError):
                self.records.append(error.record)
            raise error.with_traceback(None) from None
        self.records.append(record)
        extra_info = self._find_extra_info()
        if extra_info is not None:
            extra_info.update(figures(self.records))
        return record

    def save(self, folder: Path, stem: str) -> Iterator[str]:
        """Write the records that are not saved yet into ``folder``; yield lines about them.

        The last one, which the test most likely failed on, is summarised in full.
        """
        unsaved = list(enumerate(self.records, 1))[self._saved :]
        self._saved = len(self.records)
        for number, record in unsaved:
            yield _saved(record, folder / f"{stem}-{number}.json")
            if number < self._saved:
                yield from _in_short(record)
            else:
                from loadgen.analysis.summary import summarise

                yield from (line.text for line in summarise(record))


def _plan_of(plan: "Plan | None", fields: dict[str, Any]) -> "Plan":
    known = loadgen.Plan.__struct_fields__
    for name in fields:
        if name not in known:
            meant = difflib.get_close_matches(name, known, n=1)
            guess = f"did you mean {meant[0]}?" if meant else f"it has {', '.join(known)}"
            raise loadgen.UsageError(f"loadrun: a Plan has no {name!r}; {guess}")
    if plan is None:
        return loadgen.Plan(**fields)
    from msgspec.structs import replace

    return replace(plan, **fields)


def figures(records: "list[RunRecord]") -> dict[str, Any]:
    """Return the figures of some runs of one plan, taken together, by name.

    Rates and processor time are medians of the runs; percentiles, in nanoseconds, are those of all
    their messages, where these are enough for that percentile and all are known. The verdict is the
    most severe one.
    """
    from statistics import median

    from loadgen.results.verdict import SEVERITY

    verdicts = [record.health.verdict for record in records if record.health is not None]
    cpu_ns = [record.actual.cpu_per_message_ns for record in records]
    known_cpu_ns = [each for each in cpu_ns if each is not None]
    return {
        "verdict": min(verdicts, key=SEVERITY.index, default=None),
        "verdicts": {
            verdict: verdicts.count(verdict) for verdict in SEVERITY if verdict in verdicts
        },
        "messages_per_s": median(record.actual.messages_per_s for record in records),
        "cpu_us_per_message": median(known_cpu_ns) / 1e3 if known_cpu_ns else None,
        **_percentiles("service", records),
        **_percentiles("response", records),
    }


def _percentiles(name: str, records: "list[RunRecord]") -> dict[str, int]:
    """Return the percentiles of one kind of time, as far as they are known."""
    from loadgen.analysis.time_metric import TimeMetric
    from loadgen.results.distribution import Distribution

    times = [getattr(record, f"{name}_time_ns") for record in records]
    known = [each for each in times if each is not None]
    found = Distribution.of_all(known)
    percents = {"p50": 50.0, "p99": 99.0, "p999": 99.9}
    return {
        f"{name}_{short}_ns": value
        for short, percent in percents.items()
        if found.carries(percent)
        and (value := found.percentile(percent)) is not None
        and not any(TimeMetric(name, percent).why_unanswered(record) for record in records)
    }


def _in_short(record: "RunRecord") -> Iterator[str]:
    from loadgen.units import format_rate

    rate = format_rate(record.actual.messages_per_s)
    verdict = record.health.verdict if record.health else "not judged"
    yield f"  verdict      {verdict}"
    yield f"  messages     {record.actual.messages}   {rate}"
    yield ""


def _saved(record: "RunRecord", path: Path) -> str:
    """Write the record; return a line that says where it is, or why it is not."""
    from loadgen.errors import reason
    from loadgen.files.writing import write_within
    from loadgen.text import escaped, readable

    shown = readable(escaped(str(path)))
    try:
        write_within(path.parent, path.name, record.to_json())
    except OSError as error:
        return f"the record is not kept: {shown}: {reason(error)}"
    return f"the record is kept: {shown}"


def _stem(test_id: str) -> str:
    """Return a name for files of the test ``test_id``, which no other test has."""
    readable = re.sub(r"[^A-Za-z0-9_.]+", "-", test_id).strip("-.")[-_LONGEST_STEM:]
    return f"{readable}-{zlib.crc32(test_id.encode()):08x}"


# ---- hooks and the fixture ----------------------------------------------------------------

_RUN = pytest.StashKey[LoadRun]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that says where records go."""
    parser.getgroup("loadgen").addoption(
        "--loadgen-records",
        metavar="DIR",
        type=Path,
        help="where the records of the load runs of failed tests are kept "
        f"({FOLDER} in the root directory)",
    )


def _folder(config: pytest.Config) -> Path:
    """Return where records go, independent of the present working directory."""
    named: Path | None = config.getoption("--loadgen-records")
    return config.rootpath / FOLDER if named is None else config.invocation_params.dir / named


@pytest.fixture
def loadrun(request: pytest.FixtureRequest) -> LoadRun:
    """Carry out load runs: ``loadrun(target="localhost:9999", connections=200, duration_s=2)``.

    Takes the fields of a `loadgen.Plan`, or a Plan and fields to be changed; returns the RunRecord.
    If the test fails, the records are kept. In a test that uses pytest-benchmark's ``benchmark``
    the figures of its runs are in ``benchmark.extra_info``.
    """

    def extra_info() -> MutableMapping[str, Any] | None:
        # Not requested by name: a fixture of that name may be another one, and use this one.
        found = getattr(request.node.funcargs.get("benchmark"), "extra_info", None)
        return found if isinstance(found, MutableMapping) else None

    run = LoadRun(extra_info)
    request.node.stash[_RUN] = run
    return run


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Save the records of a failed test, and name them in its report."""
    outcome: Any = yield
    report: pytest.TestReport = outcome.get_result()
    run = item.stash.get(_RUN, None)
    if run is None or not report.failed:
        return
    lines = list(run.save(_folder(item.config), _stem(item.nodeid)))
    if lines:
        report.sections.append(("load runs", "\n".join(lines)))
