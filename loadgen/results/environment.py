"""The environment of a run, as a record holds it: versions, machine and limits."""

from typing import Annotated

import msgspec

from loadgen.quantities import MOST_KINDS, Amount, Bytes, Count, Seconds, Text


class Environment(msgspec.Struct, frozen=True):
    """The machine and the software of a run. ``memory_bytes`` is the installed memory.

    limits: descriptors (soft, hard), and on Linux the kernel settings that limit a load test:
    somaxconn, local port range, tcp_max_syn_backlog, tcp_tw_reuse.
    cpu_quota, cpu_quota_period_s: the number of processors that this process's control groups may
    use, on average over a period; null if there is no quota.
    """

    loadgen: Text
    python: Text
    libraries: Annotated[dict[Text, Text], msgspec.Meta(max_length=MOST_KINDS)]
    system: Text
    kernel: Text
    machine: Text
    cpu: Text
    cpus: Count
    cpus_usable: Count
    memory_bytes: Bytes
    limits: Annotated[dict[Text, Text | Count | None], msgspec.Meta(max_length=MOST_KINDS)]
    cpu_quota: Amount | None = None
    cpu_quota_period_s: Seconds | None = None
