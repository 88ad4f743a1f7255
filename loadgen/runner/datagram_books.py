"""Makes the record of the datagrams of the measured load of the tallies of its channels."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from loadgen.engine.connection import Connection
from loadgen.engine.datagrams import DatagramChannel
from loadgen.engine.matching import DatagramTally
from loadgen.results.datagrams import DatagramsRecord


class DatagramTotals(NamedTuple):
    """Sums, from the beginning of the run, of what no tally has.

    unanswered: those included that were cut_off, in flight on connections when these were cut.
    dropped: on arrival, by this machine.
    """

    answered: int
    unanswered: int
    cut_off: int
    dropped: int


NO_DATAGRAMS: Final = DatagramTotals(0, 0, 0, 0)


def begin_measuring(connections: Iterable[Connection], cut_off: int) -> DatagramTotals:
    """Begin new tallies of the datagrams of ``connections``; return the totals by then.

    cut_off: messages that were in flight on connections when these were cut.
    """
    channels = _channels(connections)
    for channel in channels:
        channel.matching.tally = DatagramTally()
    return _totals(channels, cut_off)


def datagrams_record(
    connections: Iterable[Connection], cut_off: int, before: DatagramTotals
) -> DatagramsRecord | None:
    """Return the record of the datagrams of ``connections``; None if they are streams.

    before: what `begin_measuring` has returned.
    """
    channels = _channels(connections)
    if not channels:
        return None
    tallies = [channel.matching.tally for channel in channels]
    totals = zip(_totals(channels, cut_off), before, strict=True)
    answered, unanswered, cut_off, dropped = (after - begun for after, begun in totals)
    jitters = [channel.jitter_ns for channel in channels if channel.jitter_ns is not None]
    lost, late = sum(each.lost for each in tallies), sum(each.late for each in tallies)
    refused = sum(each.send_refused for each in tallies)
    in_flight = sum(channel.in_flight for channel in channels)
    are_numbered = channels[0].is_numbered
    return DatagramsRecord(
        sent=answered + unanswered - refused + in_flight,
        answered=answered,
        lost=lost,
        late=late,
        in_flight=cut_off + in_flight,
        failed=unanswered - lost - late - refused - cut_off,
        duplicates=sum(each.duplicates for each in tallies) if are_numbered else None,
        reordered=sum(each.reordered for each in tallies) if are_numbered else None,
        unmatched=sum(each.unmatched for each in tallies),
        jitter_ns=sum(jitters) // len(jitters) if jitters else None,
        send_refused=refused,
        receive_buffer_errors=dropped,
    )


def _channels(connections: Iterable[Connection]) -> list[DatagramChannel]:
    messages = (connection.messages for connection in connections)
    return [each for each in messages if isinstance(each, DatagramChannel)]


def _totals(channels: Iterable[DatagramChannel], cut_off: int) -> DatagramTotals:
    answered = unanswered = dropped = 0
    for channel in channels:
        answered += channel.counts()[1]
        unanswered += channel.unanswered
        dropped += channel.dropped
    return DatagramTotals(answered, unanswered, cut_off, dropped)
