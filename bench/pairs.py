"""An engine whose connections are socketpairs: the kernel at its cheapest, and no server."""

import contextlib
import socket
from functools import partial
from typing import Self

from bench.ways import NATIVE, PYTHON
from loadgen.engine.conversation import Conversation
from loadgen.engine.driver import PythonDriver
from loadgen.engine.engine import Engine
from loadgen.engine.group import Group, new_native_stream
from loadgen.engine.load_models import ClosedLoop
from loadgen.engine.native_driver import NativeDriver
from loadgen.engine.recorder import Recorder
from loadgen.engine.slots import Slots
from loadgen.engine.timeouts import ConnectionPolicy
from loadgen.net import backends
from loadgen.net.clock import monotonic_ns
from loadgen.net.dialer import Dialer
from loadgen.net.protocols import Echo
from loadgen.net.transport import SocketTransport, Transport
from loadgen.plan.payloads import PayloadQueue

MESSAGE = b"x" * 64
CONNECTIONS = backends.TURN_EVENTS
"""As many as one turn handles."""


class PairDialer(Dialer):
    """Dials no server: each connection is one end of a new pair, and ``far_ends`` has the other."""

    stamp_every = 0
    is_layered = False

    def __init__(self) -> None:
        self.far_ends: list[socket.socket] = []

    def dial(self) -> Transport:
        """Return a transport that is connected."""
        near, far = socket.socketpair()
        near.setblocking(False)
        self.far_ends.append(far)
        return SocketTransport(near)


def new_side(dialer: PairDialer, backend: str, engine: str) -> tuple[PythonDriver, Group]:
    """Return the driver of that engine, and a group for it: a closed loop over ``dialer``."""
    if engine == NATIVE:
        slots = Slots()
        group = Group(dialer, ClosedLoop(), new_channel=partial(new_native_stream, slots))
        return NativeDriver(backend, slots), group
    driver = PythonDriver(backends.open_selector(backend), monotonic_ns)
    return driver, Group(dialer, ClosedLoop())


class PairedEngine:
    """An engine with `CONNECTIONS` up and a message in flight on each, for a ``with``."""

    def __init__(self, backend: str, engine: str = PYTHON) -> None:
        self._dialer = PairDialer()
        driver, group = new_side(self._dialer, backend, engine)
        recorder = Recorder(CONNECTIONS)
        self.engine = Engine(driver, [group], recorder, monotonic_ns, ConnectionPolicy())

    def __enter__(self) -> Self:
        self.engine.add(Conversation(PayloadQueue((MESSAGE,)), Echo()), CONNECTIONS)
        while self.engine.pool.is_opening:
            self.engine.turn(0)
        self.engine.start()
        while self.engine.pool.totals().submitted < CONNECTIONS:
            self.engine.turn(0)
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.ExitStack() as closing:
            for far in self._dialer.far_ends:
                closing.callback(far.close)
            self.engine.close()

    def answer(self) -> None:
        """Echo, from the far ends, all that is in flight."""
        for far in self._dialer.far_ends:
            far.sendall(far.recv(65536))
