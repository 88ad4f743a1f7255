"""Where a run took place: versions, machine and limits, as facts for its record."""

import functools
import os
import platform
from pathlib import Path
from typing import Annotated

import msgspec

from loadgen._version import __version__
from loadgen.files.writing import text_of
from loadgen.net import descriptors
from loadgen.quantities import MOST_KINDS, Amount, Bytes, Count, Seconds, Text
from loadgen.runner.cgroup import Cgroups

_LIBRARIES = ("msgspec", "numpy", "psutil")


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


def observe() -> Environment:
    """Return the facts of this process and machine."""
    import psutil  # noqa: PLC0415 - slow to import, and not needed before a run is over

    quota = Cgroups().quota()
    return Environment(
        loadgen=__version__,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libraries=_libraries(),
        system=platform.system(),
        kernel=platform.release(),
        machine=platform.node(),
        cpu=_cpu_model(),
        cpus=os.cpu_count() or 1,
        cpus_usable=_cpus_usable(),
        memory_bytes=psutil.virtual_memory().total,
        limits=_limits(),
        cpu_quota=None if quota is None else quota.processors,
        cpu_quota_period_s=None if quota is None else quota.period_s,
    )


@functools.cache
def _libraries() -> dict[str, str]:
    import importlib.metadata  # noqa: PLC0415 - slow to import

    return {name: importlib.metadata.version(name) for name in _LIBRARIES}


def _cpus_usable() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def _cpu_model() -> str:
    for line in text_of(Path("/proc/cpuinfo")).splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _limits() -> dict[str, str | int | None]:
    limits: dict[str, str | int | None] = {
        "descriptors_soft": descriptors.current().soft,
        "descriptors_hard": descriptors.current().hard,
    }
    for name in (
        "core/somaxconn",
        "ipv4/ip_local_port_range",
        "ipv4/tcp_max_syn_backlog",
        "ipv4/tcp_tw_reuse",
    ):
        text = " ".join(text_of(Path(f"/proc/sys/net/{name}")).split())
        if text:
            limits[name.partition("/")[2]] = int(text) if text.isdigit() else text
    return limits
