"""What must hold in every record, however the run went."""

from collections.abc import Iterator

from servers import ScriptedServer

from loadgen.results.distribution import Distribution
from loadgen.results.intervals import Times
from loadgen.results.record import RunRecord


def check(record: RunRecord) -> None:
    """Every sum in ``record`` agrees with every other."""
    actual, intervals, ledger = record.actual, record.intervals, record.connections.ledger
    measured = [interval for interval in intervals if interval.stage != "warming"]
    assert actual.opened == actual.closed
    assert actual.messages == sum(interval.messages for interval in measured)
    answered = actual.messages + actual.warmup_messages
    assert answered == sum(interval.messages for interval in intervals)
    assert answered == sum(ledger["answered"])
    assert actual.submitted == sum(ledger["submitted"])
    assert actual.bytes_sent == sum(interval.bytes_sent for interval in intervals)
    assert actual.bytes_sent == sum(ledger["bytes_sent"])
    assert actual.bytes_received == sum(interval.bytes_received for interval in intervals)
    assert actual.bytes_received == sum(ledger["bytes_received"])
    assert actual.submitted >= answered + actual.cut_off
    _check_datagrams(record)
    failures = sum(each.count for each in record.failures if not each.is_rejection)
    assert failures == sum(ledger["failures"])
    assert failures == sum(interval.failures for interval in intervals) or not intervals
    rejected = sum(each.count for each in record.failures if each.is_rejection)
    assert rejected == actual.rejected <= actual.messages
    assert rejected == sum(interval.rejected for interval in measured)
    assert sum(ledger["connects"]) == actual.opened
    if record.tls is None:
        assert record.connect_latency_ns.count == actual.opened
    else:  # the others were connected, and failed or were cut off while they shook hands
        assert record.connect_latency_ns.count >= record.tls.count == actual.opened
    # The others were connected, and failed while they were greeted.
    assert actual.connections <= sum(connects > 0 for connects in ledger["connects"])
    starts = [interval.start_s for interval in intervals]
    assert starts == sorted(set(starts))
    assert {len(column) for column in ledger.values()} == {record.connections.count}
    _check_times(record)
    for times in zip(_distributions(record), *map(_distributions, measured), strict=True):
        whole, *parts = times
        assert whole.count == sum(part.count for part in parts)
        assert whole.sum == sum(part.sum for part in parts)


def _check_datagrams(record: RunRecord) -> None:
    """Each datagram has one end: what was submitted was sent or refused, and so on."""
    found, actual = record.datagrams, record.actual
    assert (found is not None) == record.plan.is_datagram
    if found is None:
        return
    ended = found.answered + found.lost + found.late + found.in_flight + found.failed
    assert found.sent == ended
    in_load = actual.submitted - actual.warmup_messages
    assert found.sent + found.send_refused <= in_load
    assert found.sent + found.send_refused == in_load or actual.warmup_s
    assert found.answered == actual.messages
    assert found.in_flight == actual.cut_off
    assert found.failed == 0 or record.failures
    assert (found.duplicates is None) == (found.reordered is None)
    assert (found.reordered or 0) <= found.answered


def _distributions(times: Times) -> Iterator[Distribution]:
    for name in Times.__struct_fields__:
        distribution = getattr(times, name)
        if distribution is not None:
            yield distribution


def _check_times(record: RunRecord) -> None:
    """Every reply has a user-space latency, and an arrival time or a reason to have none.

    What a pause of this process has gone into is in no time, and is counted.
    """
    delayed = record.generator.delayed
    delayed_services = delayed.service_ns.count if delayed else 0
    delayed_responses = delayed.response_ns.count if delayed else 0
    delayed_sends = delayed.schedule_lag_ns.count if delayed else 0
    evidence, actual = record.timestamps, record.actual
    replies = 0 if record.plan.reply == "none" else actual.messages
    assert record.user_space_latency_ns.count == replies
    without = evidence.upper_bounds + evidence.missing + evidence.implausible
    without += evidence.unsampled + evidence.left_out
    service, receive_lag = record.service_time_ns, record.receive_lag_ns
    if evidence.mode == "kernel":
        assert receive_lag is not None
        assert receive_lag.count == evidence.stamped == replies - without
        assert service.count + delayed_services == receive_lag.count
    else:
        assert evidence.read_uncertainty_ns is not None
        assert service.count + delayed_services == replies
        assert evidence.read_uncertainty_ns.count == replies
        assert receive_lag is None
        assert (without, evidence.stamped) == (0, 0)
    response, lag = record.response_time_ns, record.schedule_lag_ns
    blocked, own = record.blocked_ns, record.generator_lag_ns
    assert len({times is None for times in (response, lag, blocked, own)}) == 1
    if response is None or lag is None or blocked is None or own is None:
        assert (actual.due, actual.overdue) == (None, None)
        return
    assert actual.due is not None
    assert actual.overdue is not None
    arrived = service.count + delayed_services
    assert response.count + delayed_responses == arrived
    assert lag.count == blocked.count == own.count
    assert lag.sum == blocked.sum + own.sum
    assert lag.count + delayed_sends >= actual.due - actual.overdue >= 0
    if not actual.warmup_s:
        assert lag.count + delayed_sends == actual.due - actual.overdue == actual.submitted


def sums_ns(record: RunRecord) -> tuple[int, int, int]:
    """Return all response times, schedule lags and service times of an open loop, added up.

    Those that pauses of this process have gone into are in them.
    """
    assert record.response_time_ns is not None
    assert record.schedule_lag_ns is not None
    response, lag = record.response_time_ns.sum, record.schedule_lag_ns.sum
    service, delayed = record.service_time_ns.sum, record.generator.delayed
    if delayed is None:
        return response, lag, service
    return (
        response + delayed.response_ns.sum,
        lag + delayed.schedule_lag_ns.sum,
        service + delayed.service_ns.sum,
    )


def check_against(record: RunRecord, server: ScriptedServer, unread_bytes: int = 0) -> None:
    """The record agrees with itself and with what ``server`` has counted."""
    check(record)
    server.settle(record.actual.opened)
    assert record.actual.bytes_sent == server.bytes_received
    assert record.actual.bytes_received == server.bytes_sent - unread_bytes


def failures(record: RunRecord) -> dict[str, int]:
    """Return the counts of failures by ``phase: cause``."""
    return {f"{failure.phase}: {failure.cause}": failure.count for failure in record.failures}
