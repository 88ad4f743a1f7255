"""Rules on datagrams: what this machine has dropped, and what had no reply."""

from loadgen.analysis import datagrams
from loadgen.analysis.censoring import TOLERANCE
from loadgen.analysis.verdict.rule_result import RuleResult, RuleResults
from loadgen.results.record import RunRecord
from loadgen.units import format_count, format_share


def local_drops(record: RunRecord) -> RuleResults:
    """Report datagrams that this machine has dropped: the generator's own fault."""
    found = record.datagrams
    if found is not None and found.local_drops:
        yield RuleResult.of(
            "generator-bound",
            "local-drops",
            f"this machine has dropped datagrams: {datagrams.local_drops(found)}",
            "a larger --rcvbuf or --sndbuf, more connections, or a lower --rate; the server and "
            "the network are not the cause",
        )


def lost(record: RunRecord) -> RuleResults:
    """Report messages whose reply did not come in time, and what they leave unknown."""
    found = record.datagrams
    if found is None or not found.in_vain:
        return
    share = found.in_vain / found.sent
    late = f", {format_count(found.late)} of them came later" if found.late else ""
    is_exact = record.plan.is_one_way or found.duplicates is not None
    doubt = "" if is_exact else "; only --reply sequence tells late replies from the next ones"
    yield RuleResult.of(
        "server-bound" if share > TOLERANCE else "valid",
        "datagrams-lost",
        f"{format_count(found.in_vain)} of {format_count(found.sent)} datagrams "
        f"({format_share(share)}) had no reply in time{late}",
        "the network or the server has dropped them, or was too slow: the highest percentiles are "
        f"unknown; --io-timeout waits longer for each{doubt}",
    )
