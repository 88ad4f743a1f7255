"""What a record says of TLS: the handshakes of a run, and what was agreed on."""

from collections.abc import Sequence

import msgspec

from loadgen.quantities import Amount
from loadgen.results.counts import Counts, sum_of
from loadgen.results.distribution import Distribution


class TlsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The handshakes of a run that have succeeded, its opening and its warm-up included.

    is_verified: whether the server's certificates were verified.
    full_ns: from connected to secured, of handshakes that began a session; resumed_ns: of those
    that resumed one. Both contain the time in which this process was busy with other handshakes.
    versions, ciphers, protocols: how many agreed on each; ``""`` is the protocol where ALPN
    (RFC 7301) has chosen none.
    work_s: the processor time that this process has spent on handshakes within the duration of the
    load, also on those that failed; without what the kernel does for a connect.
    """

    is_verified: bool
    full_ns: Distribution
    resumed_ns: Distribution
    versions: Counts
    ciphers: Counts
    protocols: Counts
    work_s: Amount

    @property
    def count(self) -> int:
        """How many there were."""
        return self.full_ns.count + self.resumed_ns.count

    @property
    def all_ns(self) -> Distribution:
        """From connected to secured, of all."""
        return Distribution.of_all((self.full_ns, self.resumed_ns))

    @classmethod
    def of_all(cls, records: Sequence["TlsRecord"]) -> "TlsRecord":
        """Return the sum of what several workers have recorded."""
        return cls(
            is_verified=all(each.is_verified for each in records),
            full_ns=Distribution.of_all(each.full_ns for each in records),
            resumed_ns=Distribution.of_all(each.resumed_ns for each in records),
            versions=sum_of(each.versions for each in records),
            ciphers=sum_of(each.ciphers for each in records),
            protocols=sum_of(each.protocols for each in records),
            work_s=sum(each.work_s for each in records),
        )
