"""The processor quota of this process's control groups, and the time for which it was throttled.

A container's limit of processors is a quota of its control group: an amount of processor time in
each period (100 ms by default). A group that has used it up is throttled until the next period. The
quotas of all groups above it apply, too. Version 1 keeps them in ``cpu.cfs_quota_us`` and
``cpu.cfs_period_us``, version 2 in ``cpu.max``; the time for which a group's processors were
throttled is in ``cpu.stat`` (Linux: Documentation/scheduler/sched-bwc.rst,
admin-guide/cgroup-v2.rst). A process sees only the groups of its cgroup namespace: a quota outside
of a container may be invisible.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from loadgen.files.writing import text_of

_US_PER_S: Final = 1e6
_NS_PER_S: Final = 1e9


class ProcessorQuota(NamedTuple):
    """A quota: how many processors may be used, on average over a period."""

    processors: float
    period_s: float


class Cgroups:
    """The control groups that limit this process's processor time, the innermost first.

    root: the folder that contains proc, and the mount points that proc names.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._folders = list(_folders(root))

    def quota(self) -> ProcessorQuota | None:
        """Return the tightest quota; None where there is none."""
        found = [quota for quota in map(_quota, self._folders) if quota is not None]
        return min(found, default=None)

    def throttled_s(self) -> float | None:
        """Return the throttled time of the group that was throttled most, summed over processors.

        None if no group is known.
        """
        return max(map(_throttled_s, self._folders), default=None)


def _folders(root: Path) -> Iterator[Path]:
    """Yield the folder of each group that this process is in, and of those above it."""
    groups = [line.split(":", 2) for line in text_of(root / "proc/self/cgroup").splitlines()]
    for line in text_of(root / "proc/self/mountinfo").splitlines():
        mount, _, source = line.partition(" - ")
        kind, _, options = source.partition(" ")
        if kind not in ("cgroup", "cgroup2"):
            continue
        _, _, _, mount_root, mount_point = mount.split()[:5]
        for group in groups:
            controllers, path = group[1].split(","), Path(group[2])
            is_this = not group[1] if kind == "cgroup2" else "cpu" in controllers
            if not is_this or (kind == "cgroup" and "cpu" not in options.split()[-1].split(",")):
                continue
            top = root / mount_point.lstrip("/")
            inner = path.relative_to(mount_root) if path.is_relative_to(mount_root) else Path()
            yield from (top / folder for folder in (inner, *inner.parents))


def _quota(folder: Path) -> ProcessorQuota | None:
    words = text_of(folder / "cpu.max").split()
    if not words:
        words = [text_of(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    try:
        quota_us, period_us = map(int, words)
    except ValueError:  # "max", or no such file
        return None
    if quota_us <= 0 or period_us <= 0:
        return None
    return ProcessorQuota(quota_us / period_us, period_us / _US_PER_S)


def _throttled_s(folder: Path) -> float:
    entries = dict(line.split(" ", 1) for line in text_of(folder / "cpu.stat").splitlines())
    if "throttled_usec" in entries:
        return int(entries["throttled_usec"]) / _US_PER_S
    return int(entries.get("throttled_time", 0)) / _NS_PER_S
