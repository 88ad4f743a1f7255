"""Packed intervals: unpacked unchanged, small, and readable by other programs."""

import base64
import json
import tracemalloc
import zlib
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest
from drawn_figures import interval
from hypothesis import given
from hypothesis import strategies as st
from records import HEALTHY, OPEN_LOOP_TIMES, distribution, healthy

from loadgen.errors import RecordError
from loadgen.results.histogram import BUCKETS, HIGHEST_NS
from loadgen.results.interval_packer import IntervalPacker, packed
from loadgen.results.intervals import (
    BLOCK,
    IntervalRecord,
    PackedIntervals,
    numbers_of,
    phases_of,
    times_of,
    total_of,
)
from loadgen.results.packed_times import summed
from loadgen.results.record import from_json
from loadgen.results.schema import json_schema

DURATIONS = st.lists(st.integers(0, 300) | st.integers(0, HIGHEST_NS + 9), max_size=20)


def of_a_run(count: int = 2 * BLOCK + 5) -> list[IntervalRecord]:
    """The opening, a warm-up, and the load of so many seconds, some without an answer."""
    stages = ["opening", "warming", "warming"] + ["loading"] * count + ["draining"]
    return [
        interval(
            number - 3.0,
            stage=stage,
            messages=10 * number,
            failures=number % 3,
            service_time_ns=distribution(*range(1000 * number, 1000 * number + 50 * (number % 4))),
        )
        for number, stage in enumerate(stages)
    ]


class TestPackedIntervals:
    @given(st.lists(st.tuples(DURATIONS, DURATIONS), max_size=5))
    def test_come_back_as_they_were(self, times: list[tuple[list[int], list[int]]]) -> None:
        intervals = [
            interval(
                0.1 * number,
                service_time_ns=distribution(*service_ns),
                response_time_ns=distribution(*response_ns) if number % 2 else None,
            )
            for number, (service_ns, response_ns) in enumerate(times)
        ]
        assert list(packed(intervals)) == intervals

    def test_are_used_as_the_list_of_them(self) -> None:
        intervals = of_a_run()
        kept = packed(intervals)
        assert len(kept) == len(intervals)
        assert kept[0] == intervals[0]
        assert kept[-1] == intervals[-1]
        assert kept[BLOCK - 2 : BLOCK + 9 : 3] == intervals[BLOCK - 2 : BLOCK + 9 : 3]
        assert kept[-5:-1] == intervals[-5:-1]
        with pytest.raises(IndexError):
            kept[len(intervals)]
        with pytest.raises(IndexError):
            kept[-len(intervals) - 1]

    def test_of_an_open_loop_keep_all_of_their_times(self) -> None:
        intervals = [interval(0.0, **OPEN_LOOP_TIMES)]
        assert list(packed(intervals)) == intervals

    def test_give_one_field_of_all_as_the_list_does(self) -> None:
        intervals = of_a_run()
        kept = packed(intervals)
        assert phases_of(kept) == phases_of(intervals) == [each.stage for each in intervals]
        assert numbers_of(kept, "messages").tolist() == [each.messages for each in intervals]
        assert numbers_of(intervals, "messages").tolist() == numbers_of(kept, "messages").tolist()
        for form in (kept, intervals):
            assert total_of(form, "messages", "opening", "warming") == 30
        each, size = np.arange(len(intervals)), len(intervals)
        assert summed(times_of(kept, "service_time_ns"), each, size) == [
            each.service_time_ns for each in intervals
        ]
        assert summed(times_of(intervals, "response_time_ns"), each, size) == summed(
            times_of(kept, "response_time_ns"), each, size
        )

    def test_can_be_moved_and_the_last_one_given_its_length(self) -> None:
        packer = IntervalPacker()
        for each in of_a_run():
            packer.append(each)
        packer.set_last_duration(0.25)
        packer.move(-2.0)
        moved = packer.packed()
        starts_s = numbers_of(moved, "start_s").tolist()
        assert starts_s == [each.start_s - 2.0 for each in of_a_run()]
        assert [each.duration_s for each in moved] == [1.0] * (len(starts_s) - 1) + [0.25]

    def test_take_less_than_a_tenth_of_what_they_take_one_by_one(self) -> None:
        times = dict.fromkeys(OPEN_LOOP_TIMES, distribution(*range(100_000, 10_000_000, 2000)))
        assert len(times["service_time_ns"].buckets) > 500
        packer = IntervalPacker()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for number in range(2 * BLOCK):
                packer.append(interval(float(number), messages=10_000 + number, **times))
            kept = packer.packed()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(kept) == 2 * BLOCK
        assert (after - before) / len(kept) < 10_000  # bytes an interval, of seven histograms


class TestRecord:
    def test_with_packed_intervals_is_read_as_it_was_written(self) -> None:
        record = healthy(intervals=packed(of_a_run()))
        assert from_json(record.to_json()) == record
        assert list(from_json(record.to_json()).intervals) == of_a_run()

    def test_with_the_intervals_one_by_one_is_read_too(self) -> None:
        read = from_json(healthy(intervals=of_a_run()).to_json())
        assert read.intervals == of_a_run()

    def test_is_as_its_schema_says(self) -> None:
        record = json.loads(healthy(intervals=packed(of_a_run())).to_json())
        jsonschema.Draft202012Validator(json_schema()).validate(record)

    def test_has_a_line_for_each_block(self) -> None:
        record = healthy(intervals=packed(of_a_run()))
        lines = record.to_json().decode().splitlines()
        assert len([line for line in lines if line.startswith('   {"stage":')]) == 6

    def test_of_an_earlier_version_has_no_column_of_rejected_replies(self) -> None:
        content = json.loads(healthy(intervals=packed(of_a_run())).to_json())
        for block in content["intervals"]["blocks"]:
            del block["numbers"]["rejected"]
        intervals = from_json(json.dumps(content).encode()).intervals
        assert list(intervals) == of_a_run()
        assert numbers_of(intervals, "rejected").tolist() == [0] * len(of_a_run())

    def test_of_a_later_version_may_have_columns_more(self) -> None:
        content = json.loads(healthy(intervals=packed(of_a_run())).to_json())
        for block in content["intervals"]["blocks"]:
            block["numbers"]["moons"] = block["numbers"]["messages"]
        assert list(from_json(json.dumps(content).encode()).intervals) == of_a_run()


# ---- as a foreign program reads it --------------------------------------------------------


def foreign(text: str) -> list[dict[str, object]]:
    """Decode one field of times, with nothing but what the schema says of it."""
    numbers, number, shift = [], 0, 0
    for byte in zlib.decompress(base64.b64decode(text)):
        number, shift = number | (byte & 127) << shift, shift + 7
        if byte < 128:
            numbers.append(number)
            number, shift = 0, 0
    intervals = []
    while numbers:
        size, low_ns, high_ns, sum_ns, *numbers = numbers
        distances, counts, numbers = numbers[:size], numbers[size : 2 * size], numbers[2 * size :]
        buckets = [sum(distances[: place + 1]) for place in range(size)]
        counted = dict(zip(buckets, counts, strict=True))
        intervals.append({"min": low_ns, "max": high_ns, "sum": sum_ns, "counted": counted})
    return intervals


def test_can_be_decoded_by_a_foreign_program() -> None:
    intervals = of_a_run(7)
    content = json.loads(healthy(intervals=packed(intervals)).to_json())
    found = [
        decoded
        for block in content["intervals"]["blocks"]
        for decoded in foreign(block["times"]["service_time_ns"])
    ]
    assert found == [
        {
            "min": times.min or 0,
            "max": times.max or 0,
            "sum": times.sum,
            "counted": dict(zip(times.buckets, times.counts, strict=True)),
        }
        for times in (each.service_time_ns for each in intervals)
    ]


# ---- damaged ones -------------------------------------------------------------------------


def with_block(**changes: Any) -> bytes:
    """A record whose one block of intervals has other values in some of its fields."""
    content = json.loads(healthy(intervals=packed(HEALTHY.intervals)).to_json())
    [block] = content["intervals"]["blocks"]
    block.update(changes)
    return json.dumps(content).encode()


def one_block() -> Any:
    return msgspec.to_builtins(packed(HEALTHY.intervals).blocks[0])


class TestDamagedIntervals:
    @pytest.mark.parametrize(
        ("changes", "word"),
        [
            ({"stage": "asleep"}, "asleep"),
            ({"numbers": {}}, "start_s"),
            ({"numbers": {**one_block()["numbers"], "messages": [1, 2]}}, "length"),
            ({"numbers": {**one_block()["numbers"], "messages": ["x"]}}, "numbers"),
            ({"times": {}}, "service_time_ns"),
            ({"times": {**one_block()["times"], "service_time_ns": "*"}}, "base64"),
        ],
    )
    def test_are_refused_when_the_record_is_read(self, changes: dict[str, Any], word: str) -> None:
        with pytest.raises(RecordError, match=word):
            from_json(with_block(**changes))

    @pytest.mark.parametrize(
        "times",
        [
            b"no stream",
            zlib.compress(b""),  # of no interval
            zlib.compress(bytes([0, 0, 0, 0] * 2)),  # of two
            zlib.compress(bytes([5, 0, 0, 0, 1])),  # cut off
            zlib.compress(b"\x80"),
            zlib.compress(bytes([1, 0, 0, 0, *((BUCKETS + 1) % 128 | 128, 37), 1])),
        ],
    )
    def test_are_named_when_they_are_unpacked(self, times: bytes) -> None:
        content = base64.b64encode(times).decode()
        text = with_block(times={**one_block()["times"], "service_time_ns": content})
        intervals = from_json(text).intervals
        assert isinstance(intervals, PackedIntervals)
        with pytest.raises(RecordError, match=r"service_time_ns of the intervals from 0\.0 s on"):
            list(intervals)
