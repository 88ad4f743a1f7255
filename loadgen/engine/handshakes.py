"""The tally of handshakes: how long they took, what was agreed on, and what they cost."""

from collections import Counter
from typing import Final

from loadgen.net.negotiated import Negotiated
from loadgen.results.histogram import Histogram

_BATCH: Final = 512


class HandshakeTally:
    """The handshakes of a run that have succeeded, from its beginning.

    versions, ciphers, protocols: how often each was agreed on; ``""`` is the protocol where ALPN
    has chosen none. work_ns: what this process has spent on handshakes, also on failed ones.
    """

    def __init__(self) -> None:
        self.versions: Counter[str] = Counter()
        self.ciphers: Counter[str] = Counter()
        self.protocols: Counter[str] = Counter()
        self.work_ns = 0
        self._full, self._resumed = Histogram(), Histogram()
        self._full_ns: list[int] = []
        self._resumed_ns: list[int] = []

    def add(self, latency_ns: int, negotiated: Negotiated) -> None:
        """Add one that took ``latency_ns``, from connected to secured."""
        self.versions[negotiated.version] += 1
        self.ciphers[negotiated.cipher] += 1
        self.protocols[negotiated.protocol] += 1
        (self._resumed_ns if negotiated.is_resumed else self._full_ns).append(latency_ns)
        if len(self._full_ns) + len(self._resumed_ns) >= _BATCH:
            self._bin()

    @property
    def full(self) -> Histogram:
        """The latencies of those that began a session."""
        self._bin()
        return self._full

    @property
    def resumed(self) -> Histogram:
        """The latencies of those that resumed a session."""
        self._bin()
        return self._resumed

    def _bin(self) -> None:
        self._full.record(self._full_ns)
        self._resumed.record(self._resumed_ns)
        self._full_ns.clear()
        self._resumed_ns.clear()
