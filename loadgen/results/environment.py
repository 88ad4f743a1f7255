"""Where a run took place: versions, machine and limits."""

from typing import Annotated

import msgspec

from loadgen.quantities import MOST_KINDS, Amount, Bytes, Count, Seconds, Text


class Environment(msgspec.Struct, frozen=True):
    """The machine and the software under a run. ``memory_bytes`` is what is installed.

    limits: descriptors (soft, hard), and on Linux the kernel settings that bound a load test:
    somaxconn, local port range, tcp_max_syn_backlog, tcp_tw_reuse.
    cpu_quota, cpu_quota_period_s: how many processors' time this process's control groups may use
    in each period; null where there is no quota.
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
