"""What must hold in every record, however the run went."""

from servers import ScriptedServer

from loadgen.record import RunRecord


def check(record: RunRecord) -> None:
    """Every sum in ``record`` agrees with every other."""
    actual, intervals, ledger = record.actual, record.intervals, record.connections.ledger
    assert actual.opened == actual.closed
    assert actual.messages == sum(interval.messages for interval in intervals)
    assert actual.messages == sum(ledger["answered"])
    assert actual.submitted == sum(ledger["submitted"])
    assert actual.bytes_sent == sum(interval.bytes_sent for interval in intervals)
    assert actual.bytes_sent == sum(ledger["bytes_sent"])
    assert actual.bytes_received == sum(interval.bytes_received for interval in intervals)
    assert actual.bytes_received == sum(ledger["bytes_received"])
    assert actual.submitted >= actual.messages + actual.cut_off
    failures = sum(failure.count for failure in record.failures)
    assert failures == sum(ledger["failures"])
    assert failures == sum(interval.failures for interval in intervals) or not intervals
    latencies = 0 if record.plan.reply == "none" else actual.messages
    assert record.latency_ns.count == latencies
    assert latencies == sum(interval.latency_ns.count for interval in intervals)
    assert record.latency_ns.sum == sum(interval.latency_ns.sum for interval in intervals)
    assert record.connect_latency_ns.count == sum(ledger["connects"]) == actual.opened
    assert actual.connections == sum(connects > 0 for connects in ledger["connects"])
    starts = [interval.start_s for interval in intervals]
    assert starts == sorted(set(starts))
    assert {len(column) for column in ledger.values()} == {record.connections.count}


def check_against(record: RunRecord, server: ScriptedServer, unread_bytes: int = 0) -> None:
    """The record agrees with itself and with what ``server`` has counted."""
    check(record)
    server.settle(record.actual.opened)
    assert record.actual.bytes_sent == server.bytes_received
    assert record.actual.bytes_received == server.bytes_sent - unread_bytes


def failures(record: RunRecord) -> dict[str, int]:
    """Return the counts of failures by ``phase: cause``."""
    return {f"{failure.phase}: {failure.cause}": failure.count for failure in record.failures}
