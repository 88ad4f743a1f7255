"""How late a greenlet wakes up beside the load, as heartbeats and the web UI of Locust do.

A locustfile that calls `watch` gets the option ``--lag-json FILE``: a greenlet sleeps for 10 ms at
a time throughout the run. When Locust quits, FILE gets every nap, ``[[woken_ns, late_ns], ...]``:
when it woke up, by CLOCK_MONOTONIC, and how much later than it wanted to.
"""

import json
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

import gevent
from locust import events
from locust.env import Environment

from bench.locustfiles import LAG_OPTION

_NAP_NS: Final = 10_000_000


def watch() -> None:
    """Add the option to Locust's command line, and do what it says."""
    events.init_command_line_parser.add_listener(_add_option)  # type: ignore[no-untyped-call]
    events.init.add_listener(_begin)  # type: ignore[no-untyped-call]


def _add_option(parser: ArgumentParser, **_: Any) -> None:
    parser.add_argument(
        LAG_OPTION, metavar="FILE", default="", help="write there how late a greenlet wakes up"
    )


def _begin(environment: Environment, **_: Any) -> None:
    path = environment.parsed_options.lag_json if environment.parsed_options else ""
    if not path:
        return
    naps: list[tuple[int, int]] = []
    sleeping = gevent.spawn(_sleep_and_note, naps)

    def end(**_: Any) -> None:
        sleeping.kill()
        Path(path).write_text(json.dumps(naps), encoding="utf-8")

    environment.events.quitting.add_listener(end)  # type: ignore[no-untyped-call]


def _sleep_and_note(naps: list[tuple[int, int]]) -> None:
    while True:
        due_ns = time.monotonic_ns() + _NAP_NS
        gevent.sleep(_NAP_NS / 1e9)
        woken_ns = time.monotonic_ns()
        naps.append((woken_ns, woken_ns - due_ns))
