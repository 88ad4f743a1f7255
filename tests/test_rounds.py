"""What the rounds of one side hold, and what two sides have in common."""

from typing import Any

import msgspec
import pytest
from records import actual, closed_loop, failure, healthy, open_loop, plan, spread
from sides import STEADY, side

from loadgen.compare.rounds import Kind, are_pairs, of_benchmarks, of_records, unlike
from loadgen.evidence import Health
from loadgen.failure import Cause, Phase
from loadgen.record import RunRecord


def at(second: int, record: RunRecord, **changes: Any) -> RunRecord:
    started_at = f"2026-01-31T12:00:{second:02}.000+00:00"
    return msgspec.structs.replace(record, started_at=started_at, **changes)


def document(medians_s: dict[str, float], **changes: Any) -> dict[str, Any]:
    """Return what pytest-benchmark writes, as far as it matters."""
    return {
        "machine_info": {
            "system": "Linux",
            "release": "6.1",
            "cpu": {"brand_raw": "a processor", "count": 2},
        },
        "datetime": "2026-01-31T12:00:00+00:00",
        "benchmarks": [
            {"fullname": name, "stats": {"median": median_s}}
            for name, median_s in medians_s.items()
        ],
        **changes,
    }


class TestOfRecords:
    def test_are_in_the_order_of_time(self) -> None:
        later, earlier = (
            at(second, closed_loop(actual=actual(messages_per_s=float(second))))
            for second in (20, 10)
        )
        rounds = of_records("base", [later, earlier])
        assert rounds.figures["messages_per_s"] == [10, 20]
        assert list(rounds.taken_at) == [earlier.started_at, later.started_at]

    def test_hold_the_figures_of_a_closed_loop(self) -> None:
        record = closed_loop(
            service_time_ns=spread(1_000, 2_000, 3_000, 4_000),
            failures=[failure(Phase.RECEIVE, Cause.RESET, count=25)],
        )
        rounds = of_records("base", [record])
        assert rounds.figures["errors"] == [25 / 10_000]
        assert list(rounds.figures["service_p50"]) == pytest.approx([1_000], rel=0.004)
        assert list(rounds.figures["service_p999"]) == pytest.approx([4_000], rel=0.004)
        cpu_s = record.actual.cpu_user_s + record.actual.cpu_system_s
        assert list(rounds.figures["cpu_per_message"]) == pytest.approx([cpu_s * 1e9 / 10_000])
        assert rounds.kinds["messages_per_s"] == Kind("messages/s", "per_s")
        assert rounds.aliases["p99"] == ("service_p99",)
        assert not any(name.startswith("response") for name in {**rounds.figures, **rounds.missing})

    def test_latency_is_response_time_in_an_open_loop(self) -> None:
        rounds = of_records("base", [open_loop(plan=plan(rate=1000.0))])
        assert {"service_p99", "response_p99"} <= rounds.figures.keys()
        assert rounds.aliases["p99"] == ("response_p99",)

    def test_leave_out_what_is_left_to_chance(self) -> None:
        few = closed_loop(service_time_ns=spread(1_000, 2_000, 3_000, count=500))
        rounds = of_records("base", [closed_loop(), few])
        assert "service_p50" in rounds.figures
        assert "left to chance" in rounds.missing["service_p99"]

    def test_one_way_messages_have_no_times(self) -> None:
        rounds = of_records("base", [closed_loop(plan=plan(reply="none"))])
        assert not any(name.startswith("service") for name in {**rounds.figures, **rounds.missing})

    def test_say_what_must_be_known_of_them(self) -> None:
        bound = closed_loop(health=Health(verdict="generator-bound", findings=[]))
        rounds = of_records("base", [bound, bound, closed_loop(outcome="lost")])
        assert [remark.partition(":")[0] for remark in rounds.remarks] == [
            "generator-bound in 2 of 3 rounds",
            "lost before the end in 1 of 3 rounds",
        ]


class TestOfBenchmarks:
    def test_hold_the_median_of_each(self) -> None:
        first, second = document({"one": 1e-6, "two": 2e-6}), document({"one": 3e-6, "two": 4e-6})
        rounds = of_benchmarks("base", [first, second])
        assert rounds.figures == {"one": [1e3, 3e3], "two": [2e3, 4e3]}
        assert rounds.aliases == {"time": ("one", "two")}

    def test_must_be_in_every_round(self) -> None:
        rounds = of_benchmarks("base", [document({"one": 1.0, "two": 1.0}), document({"one": 1.0})])
        assert rounds.figures.keys() == {"one"}
        assert rounds.missing == {"two": "not in every round"}


class TestUnlike:
    def test_names_what_differs(self) -> None:
        base = of_records("base", [closed_loop()])
        head = of_records(
            "head",
            [
                closed_loop(
                    plan=plan(connections=3, target="10.0.0.6:1", seed=2),
                    backend="poll",
                    environment=msgspec.structs.replace(healthy().environment, kernel="6.2"),
                )
            ],
        )
        assert unlike(base, head) == [
            "plan: connections: 2 and 3",
            "backend: epoll and poll",
            "machine: kernel: 6.1 and 6.2",
        ]

    def test_versions_may_be_what_is_compared(self) -> None:
        newer = msgspec.structs.replace(
            healthy().environment, loadgen="9.9", python="CPython 3.14.0", libraries={}
        )
        base = of_records("base", [closed_loop()])
        assert unlike(base, of_records("head", [closed_loop(environment=newer)])) == []

    def test_knows_the_machine_of_pytest_benchmark(self) -> None:
        other = {"system": "Linux", "release": "6.2", "cpu": {"brand_raw": "another", "count": 2}}
        base = of_benchmarks("base", [document({"one": 1.0})])
        head = of_benchmarks("head", [document({"one": 1.0}, machine_info=other)])
        assert unlike(base, head) == [
            "machine: cpu: a processor and another",
            "machine: kernel: 6.1 and 6.2",
        ]


class TestPairs:
    @pytest.mark.parametrize(
        ("base", "head", "paired"),
        [("03", "12", True), ("02", "13", True), ("01", "23", False), ("013", "24", False)],
        ids=["in turn, A B B A", "in turn, A B A B", "one after the other", "unlike numbers"],
    )
    def test_are_neighbours_in_time(self, base: str, head: str, paired: bool) -> None:
        one = side(STEADY[: len(base)], taken_at=tuple(base))
        other = side(STEADY[: len(head)], head=True, taken_at=tuple(head))
        assert are_pairs(one, other) is paired
