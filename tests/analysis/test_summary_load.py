import re

import msgspec
import pytest
from records import (
    HEALTHY,
    actual,
    closed_loop,
    connection,
    connections_record,
    distribution,
    failure,
    healthy,
    plan,
    requested,
    timestamps,
)
from test_summary import NOT_ANSWERED, check, lines_of, one_way, section, summary_of

from loadgen.net.failure import Cause, Phase
from loadgen.results.record import RunRecord

BEYOND_NS = 2**43
HEALTHY_MEAN_NS = 250_000


def test_the_warm_up_has_a_line_of_its_own() -> None:
    record = healthy(actual=actual(warmup_s=1.0, warmup_messages=1500, submitted=1504))
    assert "  warm-up      1 s, 1 500 messages, left out below\n" in summary_of(record)
    assert "lost" not in summary_of(record)
    assert "warm-up" not in summary_of(HEALTHY)


def test_bytes_of_the_warm_up_are_left_out() -> None:
    (load,) = HEALTHY.intervals
    warmup = msgspec.structs.replace(load, stage="warming", bytes_sent=9999, bytes_received=9999)
    drain = msgspec.structs.replace(load, stage="draining", bytes_sent=0, bytes_received=64)
    text = summary_of(healthy(intervals=[warmup, load, drain]))
    assert "  sent         256 B   128 B/s\n" in text
    assert "  received     320 B   128 B/s\n" in text


def test_a_run_that_ended_in_its_warm_up_has_nothing_measured() -> None:
    record = healthy(outcome="interrupted", actual=actual(duration_s=0.0, warmup_s=0.5))
    assert "it ended before the warm-up did" in lines_of(record, "bad")
    assert "  messages " not in summary_of(record)


@pytest.mark.parametrize(
    ("asked_per_s", "overdue", "words"),
    [
        (None, None, "4   2/s\n"),
        (2.0, 0, "4   2/s, asked for 2/s\n"),
        (0.5, 0, "4   2/s, asked for 0.5/s\n"),
        (50_000.0, 12_345, "4   2/s, asked for 50 000/s; 12 345 overdue at the end\n"),
    ],
)
def test_the_rate_stands_beside_the_one_asked_for(
    asked_per_s: float | None, overdue: int | None, words: str
) -> None:
    record = healthy(requested=requested(rate_per_s=asked_per_s), actual=actual(overdue=overdue))
    assert f"  messages     {words}" in summary_of(record)


def test_a_low_rate_is_not_rounded_to_nothing() -> None:
    assert "4   0.4/s\n" in summary_of(healthy(actual=actual(messages_per_s=0.4)))


@pytest.mark.parametrize(
    ("number", "changes", "words"),
    [
        (950.4, {"connections": 1000}, "950 at the server, of 1 000"),
        (1.25, {"connections": 4, "pipeline": 8}, "1.2 at the server, of 32"),
        (0.001, {"connections": 2}, "less than 0.01 at the server, of 2"),
        (950.4, {"rate": 500.0, "unlimited": True}, "950 at the server"),
    ],
)
def test_littles_law_says_how_many_were_at_the_server(
    number: float, changes: dict[str, object], words: str
) -> None:
    chosen = plan(**changes)
    counted = actual(in_flight_at_server=number, connections=chosen.connections)
    record = healthy(plan=chosen, actual=counted)
    line = f"  in flight    {words} (rate times mean service time)\n"
    assert line in summary_of(record)
    user = timestamps(mode="user", reason="UNIX sockets have none")
    line = line.replace("at the server", "at the server or not yet read")
    assert line in summary_of(healthy(plan=chosen, actual=counted, timestamps=user))


def test_littles_law_is_silent_without_a_steady_state() -> None:
    steady = msgspec.structs.replace(closed_loop().actual, in_flight_at_server=1.0)
    assert "  in flight " in summary_of(closed_loop(actual=steady))
    behind = msgspec.structs.replace(steady, messages_per_s=500.0)
    assert "  in flight " not in summary_of(closed_loop(actual=behind))


def test_tells_of_failures_before_the_load() -> None:
    early = failure(Phase.CONNECT, Cause.REFUSED, count=2, first_s=-0.5, last_s=0.25)
    assert "refused  from 0.50 s before the load to 0.25 s\n" in summary_of(
        healthy(failures=[early])
    )


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (healthy(actual=NOT_ANSWERED), "the server sent nothing"),
        (healthy(actual=actual(messages=0)), "no reply was complete: --reply echo waits for more"),
        (healthy(failures=[failure(Phase.RECEIVE, Cause.UNEXPECTED_BYTES)]), "--dump-one shows"),
    ],
)
def test_says_what_is_amiss_where_the_replies_do_not_fit(record: RunRecord, words: str) -> None:
    assert words in summary_of(record)


@pytest.mark.parametrize(
    "record",
    [
        HEALTHY,
        healthy(actual=msgspec.structs.replace(NOT_ANSWERED, warmup_s=1.0, warmup_messages=1)),
        one_way(actual=NOT_ANSWERED),
        healthy(actual=NOT_ANSWERED, failures=[failure(Phase.RECEIVE, Cause.RESET)]),
    ],
)
def test_does_not_doubt_the_payload_without_reason(record: RunRecord) -> None:
    text = summary_of(record)
    assert "sent nothing" not in text
    assert "was whole" not in text
    assert "--dump-one" not in text


def test_of_a_run_with_starved_connections() -> None:
    record = healthy(
        connections=connections_record(
            connection(1, 0),
            connection(2, 0),
            connection(0, 1234, (100_000, 150_000, 100_000, 200_000, 400_000)),
            fairness=0.333,
            starved=2,
        )
    )
    check(
        record,
        """
          failures     none
          fairness     0.333 (Jain's index; 1 is even)
          starved      connections that were never answered: 2
          slowest      connection 0: service time mean 150 µs, max 400 µs
        """,
        begin="failures",
    )


def test_of_a_run_with_values_beyond_the_histogram() -> None:
    record = healthy(service_time_ns=distribution(1_000_000, BEYOND_NS, BEYOND_NS))
    beyond = "2 values were beyond the histogram's range of 73 minutes; they count as the maximum"
    assert f"  service time: {beyond}" in summary_of(record)


def test_of_a_run_that_lost_every_connection_says_so_at_the_top() -> None:
    assert lines_of(healthy(outcome="lost"), "bad") == [
        "every connection had failed before the end"
    ]


def test_of_a_run_without_connections_has_no_line_of_messages() -> None:
    record = healthy(
        outcome="unreachable",
        actual=actual(connections=0, duration_s=0.0, messages=0, messages_per_s=0.0),
        connect_latency_ns=distribution(),
        service_time_ns=distribution(),
        failures=[failure(Phase.CONNECT, Cause.REFUSED)],
    )
    assert "no connection came up" in lines_of(record, "bad")
    assert "  messages " not in summary_of(record)
    assert "fairness" not in summary_of(record)


def test_puts_what_is_bad_in_its_own_style() -> None:
    record = healthy(
        outcome="interrupted",
        service_time_ns=distribution(BEYOND_NS, BEYOND_NS),
        failures=[failure(Phase.RECEIVE, Cause.RESET, count=2)],
        connections=connections_record(connection(0, 0), connection(1, 0), fairness=1.0, starved=2),
    )
    found = [line.split()[0] for line in lines_of(record, "bad")]
    assert found == ["interrupted", "service", "failures", "2", "starved"]
    assert lines_of(HEALTHY, "bad") == []


def test_tells_of_overflowing_connects_of_a_one_way_run_too() -> None:
    record = one_way(connect_latency_ns=distribution(BEYOND_NS, BEYOND_NS))
    assert "connect: 2 values were beyond" in summary_of(record)


@pytest.mark.parametrize(("others_ns", "named"), [(40 * HEALTHY_MEAN_NS, 3), (HEALTHY_MEAN_NS, 1)])
def test_names_three_connections_at_most_that_are_far_slower_than_usual(
    others_ns: int, named: int
) -> None:
    slowest = connection(0, 1, (40 * HEALTHY_MEAN_NS,) * 5)
    others = [connection(index, 1, (others_ns,) * 5) for index in range(1, 10)]
    record = healthy(connections=connections_record(slowest, *others, fairness=1.0))
    assert len(re.findall(r"connection \d", section(record, "slowest"))) == named
