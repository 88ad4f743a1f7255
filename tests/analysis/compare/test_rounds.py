"""What the rounds of one side hold, and what two sides have in common."""

import json
from typing import Any

import msgspec
import pytest
from records import (
    actual,
    at,
    closed_loop,
    distribution,
    document,
    failure,
    healthy,
    open_loop,
    plan,
    spread,
    timestamps,
)
from sides import STEADY, side

from loadgen.analysis.compare import benchmark_rounds
from loadgen.analysis.compare.rounds import (
    Kind,
    Rounds,
    are_pairs,
    unlike,
)
from loadgen.analysis.compare.run_rounds import of_records
from loadgen.errors import RecordError
from loadgen.net.failure import Cause, Phase
from loadgen.results.delivered import Actual
from loadgen.results.record import from_json
from loadgen.results.verdict import Health


def long_actual(**changes: Any) -> Actual:
    return msgspec.structs.replace(closed_loop().actual, **changes)


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
        assert "too few for a p99" in rounds.missing["service_p99"]

    def test_one_way_messages_have_no_times(self) -> None:
        rounds = of_records("base", [closed_loop(plan=plan(reply="none"))])
        assert not any(name.startswith("service") for name in {**rounds.figures, **rounds.missing})

    def test_what_was_never_answered_leaves_the_tail_unknown(self) -> None:
        silent = closed_loop(actual=long_actual(submitted=12_000))
        rounds = of_records("base", [closed_loop(), silent])
        assert "service_p50" in rounds.figures
        assert rounds.missing["service_p99"] == (
            "2\u00a0000 of 12\u00a0000 messages had no answer; they took longer (in 1 of 2 rounds)"
        )

    def test_what_this_machine_has_disturbed_is_left_out_of_all_but_errors(self) -> None:
        disturbed = closed_loop(outcome="interrupted")
        rounds = of_records("base", [at(1, closed_loop()), at(2, disturbed)])
        assert rounds.figures["messages_per_s"] == [closed_loop().actual.messages_per_s, None]
        assert rounds.figures["errors"] == [0.0, 0.0]
        assert "1 of 2 rounds" in rounds.remarks[0]
        assert "interrupted after" in rounds.remarks[0]

    def test_where_every_round_is_left_out_there_is_nothing(self) -> None:
        rounds = of_records("base", [closed_loop(outcome="interrupted")] * 2)
        assert list(rounds.figures) == ["errors"]
        assert rounds.missing["messages_per_s"] == "every round is left out"

    def test_a_server_that_dies_has_delivered_less_and_has_no_times(self) -> None:
        record = closed_loop(
            outcome="lost", actual=long_actual(messages=400, messages_per_s=4000.0)
        )
        rounds = of_records("base", [record, record])
        asked_s = record.requested.duration_s
        assert asked_s
        assert rounds.figures["messages_per_s"] == [400 / asked_s] * 2
        assert rounds.missing["service_p50"] == "lost before the end (in 2 of 2 rounds)"

    def test_a_server_that_answers_nothing_has_a_rate_of_0(self) -> None:
        silent = closed_loop(
            actual=long_actual(messages=0, messages_per_s=0.0), service_time_ns=distribution()
        )
        rounds = of_records("base", [silent, silent])
        assert rounds.figures["messages_per_s"] == [0.0, 0.0]

    def test_say_what_must_be_known_of_them(self) -> None:
        bound = closed_loop(health=Health(verdict="generator-bound", findings=[]))
        rounds = of_records("base", [bound, bound, closed_loop(outcome="lost")])
        assert [remark.partition(":")[0] for remark in rounds.remarks] == [
            "generator-bound in 2 of 3 rounds",
            "lost before the end in 1 of 3 rounds",
        ]

    def test_say_that_replies_read_together_hide_their_times(self) -> None:
        hidden = closed_loop(timestamps=timestamps(upper_bounds=5_000))
        assert "a stall may be hidden there" in of_records("base", [hidden]).remarks[0]


def benchmarks(label: str, documents: list[dict[str, Any]]) -> Rounds:
    read = (benchmark_rounds.from_json(json.dumps(each).encode()) for each in documents)
    return benchmark_rounds.of_benchmarks(label, list(read))


class TestOfBenchmarks:
    def test_hold_the_median_of_each(self) -> None:
        first, second = document({"one": 1e-6, "two": 2e-6}), document({"one": 3e-6, "two": 4e-6})
        rounds = benchmarks("base", [first, second])
        assert rounds.figures == {"one": [1e3, 3e3], "two": [2e3, 4e3]}
        assert rounds.aliases == {"time": ("one", "two")}

    def test_must_be_in_every_round(self) -> None:
        rounds = benchmarks("base", [document({"one": 1.0, "two": 1.0}), document({"one": 1.0})])
        assert rounds.figures.keys() == {"one"}
        assert rounds.missing == {"two": "not in every round"}

    def test_are_not_twice_in_one_file(self) -> None:
        twice = document({"one": 1.0})
        twice["benchmarks"] *= 2
        with pytest.raises(RecordError, match="one twice"):
            benchmarks("base", [twice])

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            ({"benchmarks": None}, r"benchmarks"),
            ({"benchmarks": [7]}, r"benchmarks\[0\]"),
            ({"benchmarks": [{"fullname": "one", "stats": {"median": "x"}}]}, "median"),
            ({"machine_info": {"system": "Linux", "release": "6.1", "cpu": 2}}, "cpu"),
            ({"datetime": 7}, "datetime"),
        ],
    )
    def test_of_another_form_are_refused(self, change: dict[str, Any], complaint: str) -> None:
        with pytest.raises(RecordError, match=complaint):
            benchmarks("base", [document({"one": 1.0}, **change)])


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

    @pytest.mark.parametrize(("field", "used"), [("engine", "python"), ("backend", "epoll")])
    def test_auto_is_what_it_came_to(self, field: str, used: str) -> None:
        base = of_records("base", [closed_loop(plan=plan(**{field: "auto"}))])
        head = of_records("head", [closed_loop(plan=plan(**{field: used}))])
        assert unlike(base, head) == []

    def test_names_the_engine_once(self) -> None:
        base = of_records("base", [closed_loop(plan=plan(engine="python"))])
        native = closed_loop(plan=plan(engine="native"), engine="native")
        assert unlike(base, of_records("head", [native])) == ["engine: python and native"]

    def test_a_record_from_before_there_were_two_engines_is_one_of_python(self) -> None:
        old = json.loads(closed_loop().to_json())
        del old["engine"], old["plan"]["engine"]
        base = of_records("base", [from_json(json.dumps(old).encode())])
        asked_for = closed_loop(plan=plan(engine="python"))
        assert unlike(base, of_records("head", [asked_for])) == []
        native = closed_loop(engine="native")
        assert unlike(base, of_records("head", [native])) == ["engine: python and native"]

    def test_versions_may_be_what_is_compared(self) -> None:
        newer = msgspec.structs.replace(
            healthy().environment, loadgen="9.9", python="CPython 3.14.0", libraries={}
        )
        base = of_records("base", [closed_loop()])
        assert unlike(base, of_records("head", [closed_loop(environment=newer)])) == []

    def test_knows_the_machine_of_pytest_benchmark(self) -> None:
        other = {"system": "Linux", "release": "6.2", "cpu": {"brand_raw": "another", "count": 2}}
        base = benchmarks("base", [document({"one": 1.0})])
        head = benchmarks("head", [document({"one": 1.0}, machine_info=other)])
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
