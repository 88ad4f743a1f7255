"""Makes the record of a run's datagrams of the tallies of its channels."""

from collections.abc import Iterable

from loadgen.engine.connection import Connection
from loadgen.engine.datagrams import DatagramChannel
from loadgen.results.datagrams import DatagramsRecord


def datagrams_record(connections: Iterable[Connection], cut_off: int) -> DatagramsRecord | None:
    """Return the record of the datagrams of ``connections``; None if they are streams.

    cut_off: messages that were in flight on connections when these were cut.
    """
    messages = (connection.messages for connection in connections)
    channels = [each for each in messages if isinstance(each, DatagramChannel)]
    if not channels:
        return None
    tallies = [channel.tally for channel in channels]
    counts = [channel.counts() for channel in channels]
    jitters = [channel.jitter_ns for channel in channels if channel.jitter_ns is not None]
    lost, late = sum(each.lost for each in tallies), sum(each.late for each in tallies)
    refused = sum(each.send_refused for each in tallies)
    unanswered = sum(channel.unanswered for channel in channels)
    are_numbered = channels[0].is_numbered
    return DatagramsRecord(
        sent=sum(each[0] for each in counts) - refused,
        answered=sum(each[1] for each in counts),
        lost=lost,
        late=late,
        in_flight=cut_off + sum(channel.in_flight for channel in channels),
        failed=unanswered - lost - late - refused - cut_off,
        duplicates=sum(each.duplicates for each in tallies) if are_numbered else None,
        reordered=sum(each.reordered for each in tallies) if are_numbered else None,
        unmatched=sum(each.unmatched for each in tallies),
        jitter_ns=sum(jitters) // len(jitters) if jitters else None,
        send_refused=refused,
        receive_buffer_errors=sum(channel.dropped for channel in channels),
    )
