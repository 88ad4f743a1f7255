"""Handshakes in the loop: one step in a turn, whatever else is due."""

import socket

from loadgen.engine.conversation import Conversation
from loadgen.engine.driver import PythonDriver
from loadgen.engine.engine import Engine
from loadgen.engine.group import Group
from loadgen.engine.handshakes import HandshakeTally
from loadgen.engine.load_models import ClosedLoop
from loadgen.engine.recorder import Recorder
from loadgen.engine.timeouts import ConnectionPolicy
from loadgen.net import backends
from loadgen.net.clock import monotonic_ns
from loadgen.net.failure import Phase
from loadgen.net.negotiated import Negotiated
from loadgen.net.protocols import Echo
from loadgen.net.transport import NOTHING, WRITE, SocketTransport
from loadgen.plan.payloads import PayloadQueue

STEPS = 3
"""Steps of each handshake."""

AGREED = Negotiated("TLSv9", "none", "", is_resumed=False)


class Shaking(SocketTransport):
    """A connected socket whose handshake takes `STEPS` steps, and could go on at any time."""

    handshake_work_ns = 1000
    negotiated = AGREED

    def __init__(self, steps: list[int], number: int) -> None:
        ours, self.theirs = socket.socketpair()
        ours.setblocking(False)
        super().__init__(ours)
        self._taken, self._number, self._left = steps, number, STEPS
        self._is_connected = False

    @property
    def phase(self) -> Phase:
        return Phase.SECURE if self._is_connected else Phase.CONNECT

    def progress(self) -> int:
        if not self._is_connected:
            self._is_connected = True
            return WRITE
        self._taken.append(self._number)
        self._left -= 1
        return WRITE if self._left else NOTHING

    def close(self) -> None:
        super().close()
        self.theirs.close()


class ShakingDialer:
    is_layered = True
    stamp_every = 0

    def __init__(self) -> None:
        self.steps: list[int] = []
        self._dialled = 0

    def dial(self) -> Shaking:
        self._dialled += 1
        return Shaking(self.steps, self._dialled)


def test_a_turn_takes_one_step_however_many_handshakes_are_due() -> None:
    dialer, recorder, connections = ShakingDialer(), Recorder(5), 5
    selector = PythonDriver(backends.open_selector("auto"), monotonic_ns)
    group = Group(dialer, ClosedLoop())
    engine = Engine(selector, [group], recorder, monotonic_ns, ConnectionPolicy())
    try:
        engine.add(Conversation(PayloadQueue((b"x",)), Echo()), connections)
        turns, most = 0, 0
        while engine.pool.is_opening and turns < 1000:
            before = len(dialer.steps)
            engine.turn(0)
            most = max(most, len(dialer.steps) - before)
            turns += 1
        assert most == 1
        assert sorted(dialer.steps) == sorted([*range(1, connections + 1)] * STEPS)
        assert engine.pool.totals().up == connections
    finally:
        engine.close()
    assert recorder.handshakes.full.count == connections
    assert recorder.handshakes.work_ns == connections * 1000


def test_what_is_spent_on_a_handshake_that_is_cut_off_counts_too() -> None:
    dialer, recorder = ShakingDialer(), Recorder(1)
    selector = PythonDriver(backends.open_selector("auto"), monotonic_ns)
    engine = Engine(
        selector, [Group(dialer, ClosedLoop())], recorder, monotonic_ns, ConnectionPolicy()
    )
    engine.add(Conversation(PayloadQueue((b"x",)), Echo()), 1)
    while not dialer.steps:
        engine.turn(0)
    engine.close()
    assert (recorder.handshakes.full.count, recorder.handshakes.work_ns) == (0, 1000)
    assert engine.pool.opened == engine.pool.closed == 0


def test_full_and_resumed_handshakes_are_told_apart_in_any_number() -> None:
    tally = HandshakeTally()
    for number in range(1, 2001):
        tally.add(number, AGREED._replace(is_resumed=number > 1500, protocol=f"p{number % 2}"))
    assert (tally.full.count, tally.resumed.count) == (1500, 500)
    assert (tally.full.max_ns, tally.resumed.min_ns) == (1500, 1501)
    assert (tally.versions, tally.protocols) == ({"TLSv9": 2000}, {"p0": 1000, "p1": 1000})
