"""What became of a run's datagrams, in words."""

from collections.abc import Iterator

from loadgen.results.datagrams import DatagramsRecord
from loadgen.units import format_count, format_duration_ns, format_share


def facts(record: DatagramsRecord) -> Iterator[tuple[str, str]]:
    """Yield all of it as pairs of a label and a text."""
    yield "datagrams", books(record)
    replies = ", ".join(of_the_replies(record))
    if replies:
        yield "replies", replies
    if record.local_drops:
        yield "local drops", local_drops(record)


def books(record: DatagramsRecord) -> str:
    """Return how the datagrams that were sent add up."""
    parts = {
        "answered": record.answered,
        "lost": record.lost,
        "late": record.late,
        "in flight at the end": record.in_flight,
        "on connections that failed": record.failed,
    }
    always = ("answered", "lost", "late")
    shown = [
        f"{format_count(count)} {name}" + (_share(count, record.sent) if name == "lost" else "")
        for name, count in parts.items()
        if count or name in always
    ]
    return f"{format_count(record.sent)} sent = {' + '.join(shown)}"


def of_the_replies(record: DatagramsRecord) -> Iterator[str]:
    """Yield what else is known of the replies."""
    if record.duplicates is not None:
        yield f"{format_count(record.duplicates)} duplicates"
    if record.reordered is not None:
        yield f"{format_count(record.reordered)} reordered"
    if record.unmatched:
        yield f"{format_count(record.unmatched)} that answered no message"
    if record.jitter_ns is not None:
        yield f"jitter {format_duration_ns(record.jitter_ns)}"


def local_drops(record: DatagramsRecord) -> str:
    """Return what this machine has dropped; empty if it has dropped nothing."""
    parts = {
        "refused when sent": record.send_refused,
        "dropped since the receive buffer was full": record.receive_buffer_errors,
    }
    return ", ".join(f"{format_count(count)} {what}" for what, count in parts.items() if count)


def _share(count: int, of: int) -> str:
    return f" ({format_share(count / of)})" if count and of else ""
