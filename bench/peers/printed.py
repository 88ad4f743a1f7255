"""What other load tools print, and what it says."""

import json
import re
from dataclasses import dataclass
from typing import Final

Percentiles = dict[float, float]
"""Latency in microseconds by percentage, as far as the tool tells."""

_US_OF: Final = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6}
_WRK_PERCENTILE: Final = re.compile(
    r"^ *(\d+(?:\.\d+)?)% +(\d+(?:\.\d+)?)(us|ms|s|m) *$", re.MULTILINE
)
_TCPKALI_LINE: Final = re.compile(r"atency at percentiles: ([\d./]+) \(([\d./]+)%\)")
_WRK_REQUESTS: Final = re.compile(
    r"^ *(\d+) requests in .*^Requests/sec: +([\d.]+)", re.MULTILINE | re.DOTALL
)
_WRK_ERRORS: Final = re.compile(r"Socket errors: .*|Non-2xx or 3xx responses: .*")
_H2LOAD_RATE: Final = re.compile(r"^finished in .*, ([\d.]+) req/s", re.MULTILINE)
_H2LOAD_REQUESTS: Final = re.compile(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout")
_SOCKPERF_TOTAL: Final = re.compile(r"\[Total Run\] RunTime=([\d.]+) sec;.* ReceivedMessages=(\d+)")


class UnreadableError(Exception):
    """A tool printed no figures, or failures among them; the text says what."""


@dataclass(frozen=True)
class Told:
    """What a client says that it has done.

    user_s, system_s: the processor time of those seconds, where it tells; None otherwise.
    """

    messages: float
    seconds: float
    user_s: float | None = None
    system_s: float | None = None


def wrk_percentiles(text: str) -> Percentiles:
    """Return what wrk and wrk2 print with --latency."""
    return {
        float(percent): float(value) * _US_OF[unit]
        for percent, value, unit in _WRK_PERCENTILE.findall(text)
    }


def tcpkali_percentiles(text: str) -> Percentiles:
    """Return what tcpkali prints with --latency-marker, in milliseconds there."""
    found = _TCPKALI_LINE.search(text)
    if found is None:
        return {}
    values, percents = found.group(1).split("/"), found.group(2).split("/")
    return {
        float(percent): float(value) * 1e3 for percent, value in zip(percents, values, strict=True)
    }


def wrk(text: str) -> Told:
    """Return the requests of wrk. Raises UnreadableError where some failed, or there are none."""
    if errors := _WRK_ERRORS.search(text):
        raise UnreadableError(errors.group())
    messages, per_s = map(float, _groups(_WRK_REQUESTS, text))
    return _at_rate(messages, per_s)


def h2load(text: str) -> Told:
    """Return the requests of h2load. Raises UnreadableError as `wrk` does."""
    succeeded, *others = map(int, _groups(_H2LOAD_REQUESTS, text))
    if any(others):
        raise UnreadableError("{} failed, {} errored, {} timeout".format(*others))
    return _at_rate(succeeded, float(_groups(_H2LOAD_RATE, text)[0]))


def autocannon(text: str) -> Told:
    """Return the responses of autocannon, of what it prints with --json.

    Raises UnreadableError where some failed, or there are none.
    """
    try:
        report = json.loads(text)
    except ValueError:
        raise UnreadableError("no JSON was printed") from None
    failed = {name: report[name] for name in ("errors", "timeouts", "non2xx") if report[name]}
    if failed:
        raise UnreadableError(", ".join(f"{count} {name}" for name, count in failed.items()))
    return _some(Told(report["2xx"], report["duration"]))


def redis_benchmark(text: str, messages: int) -> Told:
    """Return those ``messages`` at the rate that redis-benchmark prints with --csv.

    Raises UnreadableError where there is none.
    """
    lines = [line.strip('"').split('","') for line in text.splitlines() if line.startswith('"')]
    if len(lines) != 2 or "rps" not in lines[0]:
        raise UnreadableError("no rate was printed")
    return _at_rate(messages, float(lines[1][lines[0].index("rps")]))


def sockperf(text: str) -> Told:
    """Return the round trips of sockperf's whole run, of which it judges but the middle.

    Raises UnreadableError where there are none.
    """
    seconds, messages = _groups(_SOCKPERF_TOTAL, text)
    return _some(Told(float(messages), float(seconds)))


def iperf3(text: str, block_bytes: int) -> Told:
    """Return the blocks that iperf3 sent, of what it prints with --json.

    Raises UnreadableError where there are none.
    """
    try:
        report = json.loads(text)
    except ValueError:
        raise UnreadableError("no JSON was printed") from None
    if error := report.get("error"):
        raise UnreadableError(str(error))
    sent = report["end"]["sum_sent"]
    return _some(Told(sent["bytes"] / block_bytes, sent["seconds"]))


def own_client(text: str) -> Told:
    """Return the account of one of `bench.peers.clients`.

    Raises UnreadableError where there is none.
    """
    try:
        return _some(Told(**json.loads(text)))
    except ValueError:
        raise UnreadableError("no account was printed") from None


def _groups(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    found = pattern.search(text)
    if found is None:
        raise UnreadableError("no figures were printed")
    return found.groups()


def _at_rate(messages: float, per_s: float) -> Told:
    if not messages or not per_s:
        raise UnreadableError("no message was answered")
    return Told(messages, messages / per_s)


def _some(told: Told) -> Told:
    if not told.messages:
        raise UnreadableError("no message was answered")
    return told
