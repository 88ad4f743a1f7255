"""The limit on open file descriptors: read, raised, or refused before the first socket."""

import os
import sys
from typing import NamedTuple

from loadgen.errors import LocalLimitError

if sys.platform != "win32":
    import resource

SPARE = 64
"""Descriptors beside the connections: standard streams, selector, files, libraries."""


class DescriptorLimit(NamedTuple):
    """RLIMIT_NOFILE (getrlimit(2)); None where there is no such limit."""

    soft: int | None
    hard: int | None


def current() -> DescriptorLimit:
    """Return the limit in force."""
    if sys.platform == "win32":
        return DescriptorLimit(None, None)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    return DescriptorLimit(None if soft == unlimited else soft, None if hard == unlimited else hard)


def ensure(connections: int) -> None:
    """Raise this process's soft limit as far as ``connections`` need.

    Raises LocalLimitError, with what is needed, what there is and how to raise it.
    """
    needed = connections + SPARE
    limit = current()
    if limit.soft is None or limit.soft >= needed:
        return
    if limit.hard is not None and limit.hard < needed:
        raise LocalLimitError(
            f"--connections {connections} needs {needed} file descriptors; this process may have "
            f"{limit.hard}. Raise the hard limit: as root `ulimit -Hn {needed}` in this shell, "
            f"for good in /etc/security/limits.conf (nofile), for a service LimitNOFILE={needed}, "
            f"in a container --ulimit nofile={needed}"
        )
    if sys.platform != "win32":
        hard = resource.RLIM_INFINITY if limit.hard is None else limit.hard
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def free_below(limit: int) -> int:
    """Return how many of the numbers below ``limit`` are no open descriptor of this process."""
    return sum(not _is_open(number) for number in range(limit))


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
