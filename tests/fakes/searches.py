"""Searches for the highest rate whose runs are made up."""

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
from records import generator, offered, open_loop, spread

from loadgen.analysis import checks, max_rate_text
from loadgen.analysis.max_rate import LoadStep, MaxRecord, Search
from loadgen.analysis.verdict import judging
from loadgen.plan import Plan
from loadgen.results.record import RunRecord

MS = 1_000_000
PROMISE = "service_p99<=5ms,errors<0.1%"
BUSY: dict[str, Any] = {"generator": generator(polls=10_000, waiting_share=0.02)}
TOO_SHORT: dict[str, Any] = {"generator": generator(polls=5)}


def made_up(rate_per_s: float, duration_s: float, p99_ms: float, **changes: Any) -> RunRecord:
    """A run that got what it asked for; what it answered had that p99."""
    count = max(100, min(round(rate_per_s * duration_s / 100), 10**7) * 100)
    service = spread(MS, MS, round(p99_ms * MS), count=count)
    record = open_loop(
        **{
            **offered(rate_per_s, rate_per_s, duration_s),
            "service_time_ns": service,
            "response_time_ns": service,
            "user_space_latency_ns": service,
            **changes,
        }
    )
    return msgspec.structs.replace(record, health=judging.judge(record))


class Runs:
    """Carries out the steps of a search: ``run`` says what comes of a rate and a duration."""

    def __init__(self, run: Callable[[float, float], RunRecord]) -> None:
        self.made: list[tuple[float, float]] = []
        self.shown: list[LoadStep] = []
        self._run = run

    def measure(self, rate_per_s: float, duration_s: float) -> RunRecord:
        self.made.append((rate_per_s, duration_s))
        return self._run(rate_per_s, duration_s)

    def search(
        self,
        promise: str = PROMISE,
        should_stop: Callable[[], bool] = lambda: False,
        **options: Any,
    ) -> Search:
        looking = Search(checks.parse_all(promise), **options)
        looking.run(self.measure, should_stop, self.shown.append)
        assert self.shown == looking.steps
        assert sum(step.tries for step in looking.steps) <= len(self.made)
        return looking


def wall_at(limit_per_s: float, beyond_ms: float = 50.0) -> Runs:
    return Runs(
        lambda rate_per_s, duration_s: made_up(
            rate_per_s, duration_s, 1.0 if rate_per_s <= limit_per_s else beyond_ms
        )
    )


def runs_with(*p99s_ms: float, then_ms: float = 50.0) -> Runs:
    """Runs at any rate: with these p99s first, in turn, and with another for ever after."""
    coming = itertools.chain(p99s_ms, itertools.repeat(then_ms))
    return Runs(lambda rate, time: made_up(rate, time, next(coming)))


def record_of(looking: Search) -> MaxRecord:
    return MaxRecord(
        promise=PROMISE.split(","),
        plan=Plan(target="127.0.0.1:1"),
        target="127.0.0.1:1",
        found_per_s=looking.found_per_s,
        limited_by=looking.limited_by,
        steps=looking.steps,
    )


def conclusion_of(looking: Search) -> str:
    return "\n".join(line.text for line in max_rate_text.conclusion(record_of(looking)))
