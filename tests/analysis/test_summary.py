import re
from textwrap import dedent
from typing import Any

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
    offered,
    open_loop,
    plan,
    requested,
    timestamps,
)

from loadgen.analysis.summary import summarise
from loadgen.net.failure import Cause, Phase
from loadgen.plan.payloads import (
    FilePayload,
    LinesPayload,
    MadePayload,
    PayloadSource,
    SizePayload,
)
from loadgen.results.record import RunRecord, TargetRecord

KERNEL_NOTE = "(service time: from send to arrival, by the kernel's clock; user space: to read)"
NOT_ANSWERED = actual(
    messages=0,
    messages_per_s=0.0,
    in_flight_at_server=None,
    submitted=2,
    cut_off=2,
    bytes_received=0,
    bytes_received_per_s=0.0,
)


def summary_of(record: RunRecord) -> str:
    lines = (line.text.replace("\N{NO-BREAK SPACE}", " ") for line in summarise(record))
    return "\n".join(lines) + "\n"


def section(record: RunRecord, begin: str, end: str = "") -> str:
    """The summary from the line ``begin…`` up to the line ``end…``."""
    text = summary_of(record)
    first = re.search(rf"^ *{re.escape(begin)}", text, re.MULTILINE)
    last = re.search(rf"^ *{re.escape(end)}", text, re.MULTILINE) if end else None
    assert first is not None
    return text[first.start() : last.start() if last else None]


def lines_of(record: RunRecord, style: str) -> list[str]:
    return [line.text.strip() for line in summarise(record) if line.style == style]


def check(record: RunRecord, golden: str, begin: str = "loadgen", end: str = "") -> None:
    assert dedent(section(record, begin, end)) == dedent(golden).removeprefix("\n")


def one_way(**changes: Any) -> RunRecord:
    """The healthy record of a one-way load."""
    (load,) = HEALTHY.intervals
    silence = {
        "plan": plan(reply="none"),
        "actual": actual(in_flight_at_server=None, bytes_received=0, bytes_received_per_s=0.0),
        "timestamps": timestamps(mode="user", reason="there are no replies", stamped=0),
        "service_time_ns": distribution(),
        "receive_lag_ns": None,
        "user_space_latency_ns": distribution(),
        "intervals": [msgspec.structs.replace(load, bytes_received=0)],
        "connections": connections_record(connection(0, 2), connection(1, 2), fairness=1.0),
    }
    return healthy(**{**silence, **changes})


def test_of_a_healthy_run() -> None:
    check(
        HEALTHY,
        f"""
        loadgen 0.1.0: 10.0.0.5:9999
          64 B payload, reply echo, closed loop, 1 in flight per connection, on epoll, Python engine

          verdict      valid: the figures may be believed

          connections  2 of 2 up in 3.50 ms
          duration     2 s, asked for 2 s; then 250 µs to drain
          messages     4   2/s
          in flight    less than 0.01 at the server, of 2 (rate times mean service time)
          sent         256 B   128 B/s
          received     256 B   128 B/s
          this process 25 % of one core, 125 ms a message

                               min     mean      p50      p90      p99    p99.9      max
          connect           100 µs   110 µs        -        -        -        -   120 µs
          service time      100 µs   250 µs        -        -        -        -   400 µs
          receive lag         5 µs  6.25 µs        -        -        -        -     9 µs
          user space        105 µs   256 µs        -        -        -        -   409 µs
          {KERNEL_NOTE}
          (-: too few values for that percentile)

          failures     none
          fairness     1.000 (Jain's index; 1 is even), none starved
          slowest      connection 1: service time mean 350 µs, max 400 µs
        """,
    )


def test_of_an_open_loop() -> None:
    record = open_loop(
        plan=plan(rate=5000.0, arrivals="poisson"),
        **offered(5000.0, 4000.0),
        blocked_ns=distribution(*[0] * 50, *[3_000_000] * 50),
    )
    check(
        record,
        f"""
          messages     40 000   4 000/s, asked for 5 000/s; 10 000 overdue at the end
          in flight    less than 0.01 at the server, of 2 (rate times mean service time)
          sent         256 B   128 B/s
          received     256 B   128 B/s
          this process 5 % of one core, 12.5 µs a message

                               min     mean      p50      p90      p99    p99.9      max
          connect           100 µs   110 µs        -        -        -        -   120 µs
          service time     1.00 ms  1.01 ms  1.01 ms  1.01 ms  1.02 ms  1.02 ms  1.02 ms
          response time    1.02 ms  1.04 ms  1.03 ms        -        -        -  1.07 ms
          blocked             0 ns  1.50 ms     0 ns     3 ms        -        -     3 ms
          generator lag      16 µs    26 µs  16.0 µs  30.0 µs    60 µs    60 µs    60 µs
          receive lag        20 µs    35 µs  20.0 µs  40.1 µs  89.9 µs  89.9 µs    90 µs
          user space       1.02 ms  1.04 ms  1.03 ms  1.04 ms  1.11 ms  1.11 ms  1.11 ms
          {KERNEL_NOTE}
          (-: too few values for that percentile)
          (-: too many messages had no answer for that percentile to be known)

        """,
        begin="messages",
        end="failures",
    )


def test_of_a_run_with_failures() -> None:
    record = healthy(
        actual=actual(connections=1, submitted=9, messages=4, cut_off=2),
        requested=requested(connections=2000),
        failures=[
            failure(Phase.CONNECT, Cause.DESCRIPTORS, count=1999, first_s=0.25, last_s=0.5),
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
        end="in flight",
    )
    check(
        record,
        """
          failures     2 000
                1 999  connect: this machine is out of file descriptors  from 0.25 s to 0.50 s
                       (this machine's limit, not the server's)
                    1  receive: connection reset by the server  at 1.50 s
        """,
        begin="failures",
    )


def test_of_an_interrupted_run() -> None:
    record = healthy(
        outcome="interrupted",
        actual=actual(duration_s=0.5, cut_off=1, submitted=5),
        requested=requested(duration_s=60.0, messages_per_connection=10_000),
        health=None,
    )
    check(
        record,
        """
        loadgen 0.1.0: 10.0.0.5:9999
          64 B payload, reply echo, closed loop, 1 in flight per connection, on epoll, Python engine
          interrupted before the end

          connections  2 of 2 up in 3.50 ms
          duration     500 ms, asked for 60 s or 10 000 messages each; then 250 µs to drain
          messages     4   2/s   (1 cut off by the end)
        """,
        end="in flight",
    )


def test_of_a_one_way_run() -> None:
    check(
        one_way(),
        """
          received     0 B   0 B/s
          this process 25 % of one core, 125 ms a message

                               min     mean      p50      p90      p99    p99.9      max
          connect           100 µs   110 µs        -        -        -        -   120 µs
          (one way: there is no reply to wait for)
          (-: too few values for that percentile)

          failures     none
          fairness     1.000 (Jain's index; 1 is even), none starved
        """,
        begin="received",
    )


def test_of_a_run_without_messages() -> None:
    record = healthy(
        actual=NOT_ANSWERED,
        intervals=[msgspec.structs.replace(HEALTHY.intervals[0], bytes_received=0)],
        service_time_ns=distribution(),
        receive_lag_ns=distribution(),
        user_space_latency_ns=distribution(),
        connections=connections_record(
            connection(0, 0), connection(1, 0), fairness=None, starved=2
        ),
    )
    check(
        record,
        f"""
          messages     0   0/s   (2 cut off by the end)
          sent         256 B   128 B/s
          received     0 B   0 B/s
          this process 25 % of one core

                               min     mean      p50      p90      p99    p99.9      max
          connect           100 µs   110 µs        -        -        -        -   120 µs
          service time           -        -        -        -        -        -        -
          receive lag            -        -        -        -        -        -        -
          user space             -        -        -        -        -        -        -
          {KERNEL_NOTE}
          (-: too few values for that percentile)
          (-: too many messages had no answer for that percentile to be known)

          failures     none
          the server sent nothing; does the payload need its line end, \\r\\n?
        """,
        begin="messages",
    )


def test_names_the_embedded_server() -> None:
    record = healthy(target=msgspec.structs.replace(HEALTHY.target, embedded=True))
    assert summary_of(record).startswith(
        "loadgen 0.1.0: 10.0.0.5:9999 (the embedded echo server; no target was named)\n"
    )


@pytest.mark.parametrize(
    ("payloads", "words"),
    [
        ((SizePayload(1536),), "1.50 KiB payload"),
        ((b"PING\r\n",), "6 B payload"),
        ((FilePayload("request.bin"),), "payload from request.bin"),
        ((LinesPayload("words.txt"),), "payloads from the lines of words.txt"),
        ((MadePayload("Ping.payload"),), "payloads made by Ping.payload"),
        ((b"a", SizePayload(9)), "2 payloads in turn"),
    ],
)
def test_says_what_was_sent(payloads: tuple[PayloadSource, ...], words: str) -> None:
    record = healthy(plan=plan(payloads=payloads, verify=True))
    second = summary_of(record).splitlines()[1]
    assert second.startswith(f"  {words}, reply echo, verified, closed loop, ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pipeline": 8}, "closed loop, 8 in flight per connection"),
        ({"think": "10ms"}, "closed loop, 1 in flight per connection, thinking 10 ms"),
        ({"rate": 500.0}, "open loop, 500/s, 1 in flight per connection"),
        ({"rate": 500.0, "arrivals": "poisson"}, "open loop, 500/s, poisson, 1 in flight"),
        ({"rate": 500.0, "unlimited": True}, "open loop, 500/s, any number in flight"),
        ({"rate": "0..50k/30s"}, "open loop, 0 to 50 000/s within 30 s, 1 in flight"),
        ({"reply": "none"}, "64 B payload, no reply, closed loop"),
    ],
)
def test_says_how_it_was_sent(changes: dict[str, object], words: str) -> None:
    assert words in summary_of(healthy(plan=plan(**changes))).splitlines()[1]


def test_a_long_plan_goes_on_in_the_next_line() -> None:
    stages = ",".join(f"10s:{rate}k" for rate in (5, 10, 20, 30, 20, 10, 5))
    lines = summary_of(healthy(plan=plan(stages=stages))).splitlines()
    plan_lines = lines[1 : lines.index("")]
    assert len(plan_lines) > 1
    assert " ".join(plan_lines).split()[-4:] == ["on", "epoll,", "Python", "engine"]
    assert all(line.startswith("  ") and len(line) <= 105 for line in plan_lines)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"address": "10.0.0.5:80", "resolved": "10.0.0.5:80"}, "10.0.0.5:80"),
        ({"address": "here:80", "resolved": "127.0.0.1:80"}, "here:80 (127.0.0.1)"),
        (
            {"address": "here:80", "resolved": "127.0.0.1:80", "others": ["[::1]:80"]},
            "here:80 (127.0.0.1, not ::1)",
        ),
        ({"address": "far:80", "resolved": "[fe80::1%eth0]:80"}, "far:80 (fe80::1%eth0)"),
        ({"address": "unix:///run/x", "resolved": "unix:///run/x"}, "unix:///run/x"),
        ({"address": "here:80", "resolved": ""}, "here:80"),
    ],
    ids=str,
)
def test_a_name_is_shown_with_the_address_that_was_used(fields: Any, words: str) -> None:
    lines = [line.text for line in summarise(healthy(target=TargetRecord(**fields)))]
    assert lines[0].endswith(f": {words}")


def test_a_run_too_short_to_tell_what_it_used_says_so() -> None:
    short = healthy(actual=actual(cpu_user_s=0.001, cpu_system_s=0.001))
    assert "\n  this process too little to tell\n" in summary_of(short)
