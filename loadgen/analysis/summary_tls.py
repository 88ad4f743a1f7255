"""What a summary says of TLS: what was agreed on, and by how many handshakes."""

from collections.abc import Iterator

from loadgen.analysis.lines import Line, labelled
from loadgen.results.handshakes import TlsRecord
from loadgen.results.record import RunRecord
from loadgen.units import format_count


def handshakes(record: RunRecord) -> Iterator[Line]:
    """Yield what the ends have agreed on, and how many handshakes there were."""
    tls = record.tls
    if tls is not None and tls.count:
        yield labelled("TLS", in_words(tls))


def in_words(tls: TlsRecord) -> str:
    """Return versions, ciphers and protocols, and the handshakes."""
    protocols = {f"ALPN {name}": count for name, count in tls.protocols.items() if name}
    agreed = (_kinds(each) for each in (tls.versions, tls.ciphers, protocols) if each)
    counts = f"{format_count(tls.full_ns.count)} full"
    if tls.resumed_ns.count:
        counts += f" and {format_count(tls.resumed_ns.count)} resumed"
    return f"{', '.join(agreed)}; handshakes: {counts}"


def _kinds(counts: dict[str, int]) -> str:
    """Return the names, the most frequent first; with their counts, if there are several."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    if len(ordered) == 1:
        return ordered[0][0]
    return " and ".join(f"{name} ({format_count(count)})" for name, count in ordered)
