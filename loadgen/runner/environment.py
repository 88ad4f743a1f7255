"""Observes the environment of a run: versions, machine, limits and quotas."""

import functools
import os
import platform
from pathlib import Path

from loadgen._version import __version__
from loadgen.files.writing import text_of
from loadgen.net import descriptors
from loadgen.results.environment import Environment
from loadgen.runner.cgroup import Cgroups

_LIBRARIES = ("msgspec", "numpy", "psutil")


def observe() -> Environment:
    """Return the environment of this process, as it is now."""
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
