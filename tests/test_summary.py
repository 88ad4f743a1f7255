import re
from textwrap import dedent

import msgspec
import pytest
from records import (
    HEALTHY,
    actual,
    connection,
    connections_record,
    distribution,
    failure,
    healthy,
    plan,
    requested,
)

from loadgen.failure import Cause, Phase
from loadgen.payload import FilePayload, LinesPayload, PayloadSource, SizePayload
from loadgen.record import RunRecord
from loadgen.summary import summarise

BEYOND_NS = 2**43
HEALTHY_MEAN_NS = 250_000


def text_of(record: RunRecord) -> str:
    lines = (line.text.replace("\N{NO-BREAK SPACE}", " ") for line in summarise(record))
    return "\n".join(lines) + "\n"


def check(record: RunRecord, golden: str, begin: str = "loadgen", end: str = "") -> None:
    """Compare the summary from the line ``begin…`` up to the line ``end…`` with ``golden``."""
    assert dedent(part(record, begin, end)) == dedent(golden).removeprefix("\n")


def part(record: RunRecord, begin: str, end: str = "") -> str:
    text = text_of(record)
    first = re.search(rf"^ *{re.escape(begin)}", text, re.MULTILINE)
    last = re.search(rf"^ *{re.escape(end)}", text, re.MULTILINE) if end else None
    assert first is not None
    return text[first.start() : last.start() if last else None]


def lines_of(record: RunRecord, style: str) -> list[str]:
    return [line.text.strip() for line in summarise(record) if line.style == style]


def test_of_a_healthy_run() -> None:
    check(
        HEALTHY,
        """
        loadgen 0.1.0: 10.0.0.5:9999
          64 B payload, reply echo, 1 in flight per connection, on epoll

          connections  2 of 2 up in 3.50 ms
          duration     2 s, asked for 2 s; then 250 µs to drain
          messages     4   2/s
          sent         256 B   128 B/s
          received     256 B   128 B/s
          this process 25 % of one core

                        min     mean      p50      p90      p99    p99.9      max
          connect    100 µs   110 µs   100 µs   120 µs   120 µs   120 µs   120 µs
          message    100 µs   250 µs   200 µs   400 µs   400 µs   400 µs   400 µs
          (message: from send to read on this process's clock, its own queue included)

          failures     none
          fairness     1.000 (Jain's index; 1 is even), none starved
          slowest      connection 1: 2 messages, mean 350 µs, p99 400 µs, max 400 µs
        """,
    )


def test_of_a_run_with_failures() -> None:
    record = healthy(
        actual=actual(connections=1, submitted=9, messages=4, cut_off=2),
        requested=requested(connections=2000),
        failures=[
            failure(Phase.CONNECT, Cause.DESCRIPTORS, count=1999, first_s=-0.5, last_s=0.25),
            failure(Phase.RECEIVE, Cause.RESET, first_s=1.5, last_s=1.5),
        ],
        connections=connections_record(connection(0, 4), fairness=1.0),
    )
    check(
        record,
        """
          connections  1 of 2 000 up in 3.50 ms
          duration     2 s, asked for 2 s; then 250 µs to drain
          messages     4   2/s   (2 cut off by the end, 3 lost with failed connections)
        """,
        begin="connections",
        end="sent",
    )
    when = "from 0.50 s before the load to 0.25 s"
    blame = "(this machine's limit, not the server's)"
    check(
        record,
        f"""
          failures     2 000
                1 999  connect: {Cause.DESCRIPTORS.text}  {when}  {blame}
                    1  receive: connection reset by the server  at 1.50 s
        """,
        begin="failures",
    )


def test_of_an_interrupted_run() -> None:
    record = healthy(
        outcome="interrupted",
        actual=actual(duration_s=0.5, cut_off=1, submitted=5),
        requested=requested(duration_s=60.0, messages_per_connection=10_000),
    )
    check(
        record,
        """
        loadgen 0.1.0: 10.0.0.5:9999
          64 B payload, reply echo, 1 in flight per connection, on epoll
          interrupted: the figures cover the time until then

          connections  2 of 2 up in 3.50 ms
          duration     500 ms, asked for 60 s or 10 000 messages each; then 250 µs to drain
          messages     4   2/s   (1 cut off by the end)
        """,
        end="sent",
    )


def test_of_a_one_way_run() -> None:
    record = healthy(
        plan=plan(reply="none"),
        latency_ns=distribution(),
        actual=actual(bytes_received=0, bytes_received_per_s=0.0),
        connections=connections_record(connection(0, 2), connection(1, 2), fairness=1.0),
    )
    check(
        record,
        """
          received     0 B   0 B/s
          this process 25 % of one core

                        min     mean      p50      p90      p99    p99.9      max
          connect    100 µs   110 µs   100 µs   120 µs   120 µs   120 µs   120 µs
          message      one way: there is no reply to wait for

          failures     none
          fairness     1.000 (Jain's index; 1 is even), none starved
        """,
        begin="received",
    )


def test_of_a_run_without_messages() -> None:
    record = healthy(
        actual=actual(
            messages=0,
            messages_per_s=0.0,
            submitted=2,
            cut_off=2,
            bytes_received=0,
            bytes_received_per_s=0.0,
        ),
        latency_ns=distribution(),
        connections=connections_record(
            connection(0, 0), connection(1, 0), fairness=None, starved=2
        ),
    )
    check(
        record,
        """
          messages     0   0/s   (2 cut off by the end)
          sent         256 B   128 B/s
          received     0 B   0 B/s
          this process 25 % of one core

                        min     mean      p50      p90      p99    p99.9      max
          connect    100 µs   110 µs   100 µs   120 µs   120 µs   120 µs   120 µs
          message         -        -        -        -        -        -        -
          (message: from send to read on this process's clock, its own queue included)

          failures     none
          the server sent nothing; does the payload need its line end, \\r\\n?
        """,
        begin="messages",
    )


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
          starved      2 connections were never answered
          slowest      connection 0: 1 234 messages, mean 150 µs, p99 200 µs, max 400 µs
        """,
        begin="failures",
    )


def test_of_a_run_with_values_beyond_the_histogram() -> None:
    record = healthy(latency_ns=distribution(1_000_000, BEYOND_NS, BEYOND_NS))
    beyond = "2 values were beyond the histogram's range of 73 minutes; they count as the maximum"
    check(
        record,
        f"""
          message      1 ms   5864 s   8796 s   8796 s   8796 s   8796 s   8796 s
          (message: from send to read on this process's clock, its own queue included)
          message: {beyond}

        """,
        begin="message  ",
        end="failures",
    )


def test_of_a_run_that_lost_every_connection_says_so_at_the_top() -> None:
    assert lines_of(healthy(outcome="lost"), "bad") == [
        "every connection had failed before the end"
    ]


def test_of_a_run_that_reached_nobody_has_no_messages_to_speak_of() -> None:
    record = healthy(
        outcome="unreachable",
        actual=actual(connections=0, duration_s=0.0, messages=0, messages_per_s=0.0),
        connect_latency_ns=distribution(),
        latency_ns=distribution(),
        failures=[failure(Phase.CONNECT, Cause.REFUSED)],
    )
    assert "nobody could connect" in lines_of(record, "bad")
    assert "  messages " not in text_of(record)
    assert "fairness" not in text_of(record)


def test_names_the_embedded_server() -> None:
    record = healthy(target=msgspec.structs.replace(HEALTHY.target, embedded=True))
    assert text_of(record).startswith(
        "loadgen 0.1.0: 10.0.0.5:9999 (the embedded echo server; no target was named)\n"
    )


@pytest.mark.parametrize(
    ("payloads", "words"),
    [
        ((SizePayload(1536),), "1.50 KiB payload"),
        ((b"PING\r\n",), "6 B payload"),
        ((FilePayload("request.bin"),), "payload from request.bin"),
        ((LinesPayload("words.txt"),), "payloads from the lines of words.txt"),
        ((b"a", SizePayload(9)), "2 payloads in turn"),
    ],
)
def test_says_what_was_sent(payloads: tuple[PayloadSource, ...], words: str) -> None:
    record = healthy(plan=plan(payloads=payloads, verify=True, pipeline=8))
    second = text_of(record).splitlines()[1]
    assert second == f"  {words}, reply echo, verified, 8 in flight per connection, on epoll"


def test_puts_what_is_bad_in_its_own_style() -> None:
    record = healthy(
        outcome="interrupted",
        latency_ns=distribution(BEYOND_NS, BEYOND_NS),
        failures=[failure(Phase.RECEIVE, Cause.RESET, count=2)],
        connections=connections_record(connection(0, 0), connection(1, 0), fairness=1.0, starved=2),
    )
    found = [line.split()[0] for line in lines_of(record, "bad")]
    assert found == ["interrupted:", "message:", "failures", "2", "starved"]
    assert lines_of(HEALTHY, "bad") == []


def test_tells_of_overflowing_connects_of_a_one_way_run_too() -> None:
    record = healthy(
        plan=plan(reply="none"),
        connect_latency_ns=distribution(BEYOND_NS, BEYOND_NS),
        latency_ns=distribution(),
    )
    assert "connect: 2 values were beyond" in text_of(record)


def test_names_three_connections_at_most_that_are_far_slower_than_usual() -> None:
    slow_ns, usual_ns = 40 * HEALTHY_MEAN_NS, HEALTHY_MEAN_NS
    each = [connection(index, 1, (slow_ns,) * 5) for index in range(10)]
    record = healthy(connections=connections_record(*each, fairness=1.0))
    assert part(record, "slowest").count("connection ") == 3
    each = [connection(0, 1, (slow_ns,) * 5), connection(1, 1, (usual_ns,) * 5)]
    record = healthy(connections=connections_record(*each, fairness=1.0))
    assert part(record, "slowest").count("connection ") == 1
