"""The native driver, where what it does is not what the one in Python does."""

import socket
import time
from array import array
from functools import partial

from optional import NEEDS_NATIVE
from stepped_engine import DEADLINE_S, PairDialer, conversation

from loadgen.engine.engine import Engine
from loadgen.engine.group import Group, new_native_stream
from loadgen.engine.load_models import OpenLoop
from loadgen.engine.native_driver import NativeDriver
from loadgen.engine.recorder import Recorder
from loadgen.engine.slots import Slots
from loadgen.engine.timeouts import ConnectionPolicy
from loadgen.net import backends
from loadgen.net.clock import monotonic_ns


@NEEDS_NATIVE
def test_sends_that_there_is_no_room_for_in_a_turn_make_some() -> None:
    ours, peer = socket.socketpair()
    slots, recorder = Slots(), Recorder(1)
    model = OpenLoop([0], monotonic_ns)
    group = Group(PairDialer(ours), model, new_channel=partial(new_native_stream, slots))
    driver = NativeDriver(backends.resolve("auto"), slots)
    engine = Engine(driver, [group], recorder, monotonic_ns, ConnectionPolicy())
    [connection] = engine.add(conversation(b"ping", scheduled=True))
    bulk = recorder.bulk
    bulk.sends[:] = array("q", [1]) * len(bulk.sends)
    bulk.sends_filled = bulk.rows
    engine.start()
    deadline_s = time.monotonic() + DEADLINE_S
    with peer:
        while not connection.submitted:
            assert time.monotonic() < deadline_s
            engine.turn(0)
        engine.close()
    recorder.flush()
    assert recorder.due == bulk.rows + 1
