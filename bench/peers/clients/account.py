"""What the clients share: their arguments, and the line in which they give an account."""

import json
import resource
import sys
import time
from typing import NamedTuple


class Task(NamedTuple):
    """What a client is to do."""

    port: int
    connections: int
    duration_s: float


def task() -> Task:
    """Return what the command line says, and allow as many open files as the system does."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    port, connections, duration_s = sys.argv[1:]
    return Task(int(port), int(connections), float(duration_s))


class Account:
    """Time and processor time from its making on."""

    def __init__(self) -> None:
        self._began_s = time.perf_counter()
        self._before = resource.getrusage(resource.RUSAGE_SELF)

    def print(self, messages: int) -> None:
        """Print what has been done since, and what it took."""
        seconds = time.perf_counter() - self._began_s
        after = resource.getrusage(resource.RUSAGE_SELF)
        line = {
            "messages": messages,
            "seconds": seconds,
            "user_s": after.ru_utime - self._before.ru_utime,
            "system_s": after.ru_stime - self._before.ru_stime,
        }
        print(json.dumps(line), flush=True)
