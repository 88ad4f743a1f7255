"""What the suite of benchmarks adds to pytest: a table of what runs say besides their time."""

from collections.abc import Iterator
from typing import Any

import pytest

from loadgen.units import format_count, format_duration_ns

_RUNS = pytest.StashKey[dict[str, dict[str, Any]]]()

# Of the processor, what changes from moment to moment; it is no other machine for that.
_FLEETING = ("hz_actual", "hz_actual_friendly")


def pytest_configure(config: pytest.Config) -> None:
    """Make room for what the runs say."""
    config.stash[_RUNS] = {}


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Leave out what would make a machine unlike itself."""
    for name in _FLEETING:
        machine_info["cpu"].pop(name, None)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Function, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Remember what a run says besides its time."""
    benchmark: Any = item.funcargs.get("benchmark") if call.when == "call" else None
    if benchmark is not None and benchmark.enabled and "verdict" in benchmark.extra_info:
        item.config.stash[_RUNS][item.name] = benchmark.extra_info
    yield


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print what the runs say besides their time, and whether it may be believed."""
    runs = config.stash[_RUNS]
    if not runs:
        return
    width = max(map(len, runs))
    terminalreporter.section("runs: service time, and what the figures are worth")
    terminalreporter.write_line(
        f"{'':{width}}  messages/s       p50       p99     p99.9  CPU/message  verdict (rounds)"
    )
    for name, found in runs.items():
        terminalreporter.write_line(f"{name:{width}}  {_in_words(found)}")
    terminalreporter.write_line("(generator-bound: messages/s is loadgen's own limit)")


def _in_words(found: dict[str, Any]) -> str:
    times = [_duration(found.get(f"service_{name}_ns")) for name in ("p50", "p99", "p999")]
    cpu_us = found["cpu_us_per_message"]
    verdicts = ", ".join(f"{verdict} ({count})" for verdict, count in found["verdicts"].items())
    return (
        f"{format_count(found['messages_per_s']):>10}{''.join(f'{time:>10}' for time in times)}"
        f"{_duration(cpu_us and cpu_us * 1000):>13}  {verdicts}"
    )


def _duration(time_ns: float | None) -> str:
    return "-" if time_ns is None else format_duration_ns(time_ns)
