"""An engine of several groups, whose peers are served between its turns."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Self

from stepped_engine import DEADLINE_S

from loadgen.engine.driver import PythonDriver
from loadgen.engine.engine import Engine
from loadgen.engine.group import Group
from loadgen.engine.recorder import Recorder
from loadgen.engine.rows import Row
from loadgen.engine.timeouts import ConnectionPolicy
from loadgen.net import backends
from loadgen.net.clock import Clock, monotonic_ns
from loadgen.units import NS_PER_S


class NotingRecorder(Recorder):
    """A recorder that keeps the rows as they are."""

    def __init__(self) -> None:
        super().__init__(0)
        self.rows: list[Row] = []
        self.record = self.rows.append


class Served:
    """Runs an engine in turns; ``dialers`` have peers, each with a method ``serve``."""

    def __init__(
        self,
        recorder: Recorder,
        groups: Sequence[Group],
        *dialers: Any,
        clock: Clock = monotonic_ns,
    ) -> None:
        selector = PythonDriver(backends.open_selector("auto"), clock)
        policy = ConnectionPolicy(io_timeout_ns=int(DEADLINE_S) * NS_PER_S, reconnect=True)
        self.engine = Engine(selector, groups, recorder, clock, policy)
        self._dialers = dialers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.engine.close()
        for dialer in self._dialers:
            for peer in dialer.peers:
                peer.close()

    def turn_until(self, condition: Callable[[], bool]) -> None:
        """Take turns, and let the peers work, until ``condition`` holds."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline_s, "the condition never held"
            self.engine.turn(0)
            for dialer in self._dialers:
                for peer in dialer.peers:
                    peer.serve()

    def run(self) -> None:
        """Bring all connections up, and let them do what they have to."""
        self.turn_until(lambda: not self.engine.pool.is_opening)
        self.engine.start()
        self.turn_until(lambda: self.engine.pool.is_finished)
