"""Loadgen's page in Locust's web UI, in its own process, with figures that the test sets."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from command import ROOT, environment

PROGRAM: Final = Path(__file__).with_name("locust_page_program.py")
NASTY: Final = "<script>document.title='fooled'</script><b>bold</b>"


class Pages:
    """Three web UIs: ``plain``, ``below`` a base path, ``locked``; addresses without a slash."""

    def __init__(self, ports: dict[str, int], overview: Path) -> None:
        self.plain = f"http://127.0.0.1:{ports['plain']}"
        self.below = f"http://127.0.0.1:{ports['below']}/under/here"
        self.locked = f"http://127.0.0.1:{ports['locked']}"
        self._overview = overview

    def show(self, state: str, *user_classes: dict[str, Any]) -> None:
        """Set the figures."""
        found = {"state": state, "user_classes": list(user_classes)}
        self._overview.write_text(json.dumps(found), encoding="utf-8")

    def break_down(self) -> None:
        """Make every request for figures fail from now on."""
        self._overview.unlink()


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[Pages]:
    """Serve within the ``with``; ``directory`` holds the figures and the log."""
    overview = directory / "overview.json"
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, PROGRAM, overview],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment(PYTHONPATH=str(ROOT)),
        ) as process,
    ):
        try:
            assert process.stdout is not None
            ports = process.stdout.readline()
            assert ports, (directory / "log").read_text(encoding="utf-8")
            yield Pages(json.loads(ports), overview)
        finally:
            process.terminate()


def times(name: str, **changes: Any) -> dict[str, Any]:
    found = {
        "name": name,
        "count": 123_456,
        "mean_ns": 45_678.9,
        "p50_ns": 1_125,
        "p90_ns": 67_800,
        "p99_ns": 120_400,
        "p999_ns": 2_500_000,
        "max_ns": 3_500_000_000,
    }
    return {**found, **changes}


NO_TIMES: Final = {
    "count": 0,
    **dict.fromkeys(("mean_ns", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns")),
}


def worker(name: str, **changes: Any) -> dict[str, Any]:
    found = {
        "name": name,
        "users": 50,
        "connections_up": 50,
        "messages": 61_728,
        "messages_per_s": 617.2,
        "verdict": "valid",
        "evidence": "it waited for 61 % of the time",
        "service_p50_ns": 41_300,
        "service_p99_ns": 120_400,
        "receive_lag_p99_ns": None,
        "waiting_share": 0.61,
        "report_age_s": 1.2,
        "lost_at_s": None,
    }
    return {**found, **changes}


def user_class(**changes: Any) -> dict[str, Any]:
    finding = {
        "code": "generator-busy",
        "evidence": "the generator waited for 20 % of the time",
        "advice": "leave the tail of receive lag alone, or ask for less",
    }
    found = {
        "user_class": "Ping",
        "target": "127.0.0.1:9999",
        "plan": "64 B, echoed, one at a time",
        "verdict": "busy",
        "findings": [finding],
        "users": 100,
        "connections_up": 99,
        "messages": 123_456,
        "messages_per_s": 1234.5,
        "names": [times("get"), times("set")],
        "failures": [{"text": "receive: connection reset by the server", "count": 3}],
        "times": [
            *(times("service time"), times("response time"), times("schedule lag")),
            *(times("receive lag", **NO_TIMES), times("connect", p999_ns=None)),
        ],
        "workers": [worker("host_ab12"), worker("host_cd34")],
        "recent": [
            {"at_s": at, "messages_per_s": 1000 + at, "p50_ns": 41_300, "p99_ns": 130_000 + at}
            for at in range(1, 31)
        ],
    }
    many = len(changes.get("workers", found["workers"]))
    return {**found, "workers_expected": many, "workers_reporting": many, **changes}
