"""Streams over a transport that holds bytes, and that reads in order to write and the reverse."""

import pytest
from layers import DATA, Layer, LayeredDialer, LayeredEcho, invert
from outcomes import Rejecting
from served import Served
from stepped_engine import conversation, greeted_by

from loadgen.engine.conversation import ONE_BY_ONE, Conversation, GreetingStep
from loadgen.engine.group import Group
from loadgen.engine.load_models import ClosedLoop, LoadModel, OpenLoop, Thinking
from loadgen.engine.recorder import Recorder
from loadgen.net import protocols
from loadgen.net.clock import monotonic_ns
from loadgen.net.transport import NOTHING
from loadgen.plan.payloads import PayloadQueue

MESSAGES = 6
CONNECTIONS = 3
LONG = bytes(range(251)) * 8
"""Many records, and more than the socket of a layer holds."""


def run(
    model: LoadModel, recorder: Recorder, *payloads: bytes, reply: str, pipeline: int, stamps: int
) -> None:
    """Exchange the messages through layers, and let the books of both ends be compared."""
    dialer = LayeredDialer(stamps)
    group = Group(dialer, model)
    talk = conversation(
        *payloads,
        reply=reply,
        pipeline=pipeline,
        messages=MESSAGES,
        scheduled=group.is_scheduled,
    )
    with Served(recorder, [group], dialer) as served:
        served.engine.add(talk, CONNECTIONS)
        served.run()
        assert recorder.failures == {}
        assert served.engine.pool.totals()[:2] == (CONNECTIONS * MESSAGES,) * 2
        sizes = [len(payloads[number % len(payloads)]) for number in range(MESSAGES)]
        for connection, layer in zip(served.engine.pool.connections, dialer.layers, strict=True):
            assert layer.carried == [sum(sizes)] * 2
            assert [connection.bytes_sent, connection.bytes_received] == layer.carried
        if LONG in payloads:
            every = {"send waits for bytes", "receive waits for room", "bytes are inside"}
            assert set.union(*(layer.turned for layer in dialer.layers)) == every


@pytest.mark.parametrize("stamps", [0, 1], ids=["", "stamped"])
@pytest.mark.parametrize("pipeline", [1, 4])
@pytest.mark.parametrize(
    ("payloads", "reply"),
    [((b"ping",), "echo"), ((LONG,), "verify"), ((b"a", LONG, b"bc"), "verify")],
    ids=["steady", "long", "unequal"],
)
def test_carry_every_byte_in_a_closed_loop(
    payloads: tuple[bytes, ...], reply: str, pipeline: int, stamps: int
) -> None:
    run(ClosedLoop(), Recorder(0), *payloads, reply=reply, pipeline=pipeline, stamps=stamps)


@pytest.mark.parametrize("pipeline", [1, 4])
def test_carry_every_byte_in_an_open_loop(pipeline: int) -> None:
    recorder = Recorder(0)
    offsets_ns = range(0, CONNECTIONS * MESSAGES * 1000, 1000)
    model = OpenLoop(offsets_ns, monotonic_ns)
    run(model, recorder, LONG, b"x", reply="verify", pipeline=pipeline, stamps=0)


def test_think_once_between_two_messages() -> None:
    pauses: list[int] = []

    def pause_ns(index: int) -> int:
        pauses.append(index)
        return 1000

    recorder = Recorder(0)
    run(Thinking(pause_ns, monotonic_ns), recorder, LONG, reply="echo", pipeline=1, stamps=0)
    assert sorted(pauses) == sorted([*range(CONNECTIONS)] * (MESSAGES - 1))


def test_carry_a_greeting() -> None:
    dialer = LayeredDialer()
    steps = (GreetingStep(LONG, protocols.Echo(verify=True)), GreetingStep(b"b", protocols.Echo()))
    with Served(Recorder(0), [Group(dialer, ClosedLoop())], dialer) as served:
        [connection] = served.engine.add(greeted_by(*steps))
        served.turn_until(lambda: connection.is_up)
        assert dialer.layers[0].carried == [len(LONG) + 1] * 2
        assert [connection.bytes_sent, connection.bytes_received] == dialer.layers[0].carried


def test_a_peer_that_ends_within_the_handshake_fails_the_connect() -> None:
    dialer, recorder = LayeredDialer(), Recorder(0)
    with Served(recorder, [Group(dialer, ClosedLoop())], dialer) as served:
        [connection] = served.engine.add(conversation())
        served.turn_until(lambda: bool(dialer.peers))
        dialer.peers[0].close()
        dialer.peers.clear()
        served.turn_until(lambda: connection.failures > 0)
        assert [str(failure) for failure in recorder.failures] == [
            "connect: connection closed by the server"
        ]
        assert connection.connects == 0


class Busy(Layer):
    """A layer whose peer works while it sends: what that has answered is read by the send."""

    peer: LayeredEcho

    def send(self, data: bytes | memoryview) -> int:
        self.peer.serve()
        return super().send(data)


class BusyDialer(LayeredDialer):
    def dial(self) -> Layer:
        layer = super().dial()
        busy = self.layers[-1] = Busy(layer.socket)
        busy.peer = self.peers[-1]
        return busy


@pytest.mark.parametrize("model", ["closed", "open"])
def test_what_a_send_has_taken_in_is_read_though_no_event_tells_of_it(model: str) -> None:
    recorder, dialer = Recorder(0), BusyDialer()
    due = OpenLoop(range(8), monotonic_ns)
    group = Group(dialer, ClosedLoop() if model == "closed" else due)
    talk = conversation(b"a", b"bc", pipeline=4, messages=8, scheduled=group.is_scheduled)
    with Served(recorder, [group], dialer) as served:
        [connection] = served.engine.add(talk)
        served.turn_until(lambda: not served.engine.pool.is_opening)
        served.engine.start()

        def is_finished() -> bool:
            served.engine.turn(0)
            assert not dialer.layers[0].pending or served.engine.next_timeout() == 0
            return served.engine.pool.is_finished

        served.turn_until(is_finished)
        assert (connection.answered, recorder.failures) == (8, {})


def test_one_that_has_ended_transmits_nothing() -> None:
    dialer = LayeredDialer()
    with Served(Recorder(0), [Group(dialer, ClosedLoop())], dialer) as served:
        [connection] = served.engine.add(conversation(messages=1))
        served.run()
        assert connection.messages.transmit() == NOTHING
        assert connection.submitted == connection.answered == 1


@pytest.mark.parametrize("model", ["closed", "thinking", "open"])
def test_carry_one_way_messages(model: str) -> None:
    recorder, dialer = Recorder(0), LayeredDialer()
    models: dict[str, LoadModel] = {
        "closed": ClosedLoop(),
        "thinking": Thinking(lambda _: 1000, monotonic_ns),
        "open": OpenLoop(range(MESSAGES), monotonic_ns),
    }
    group = Group(dialer, models[model])
    talk = conversation(LONG, reply="none", messages=MESSAGES, scheduled=group.is_scheduled)
    with Served(recorder, [group], dialer) as served:
        [connection] = served.engine.add(talk)
        served.turn_until(lambda: bool(dialer.peers))
        dialer.peers[0].is_deaf = True
        served.run()
        assert (connection.answered, recorder.failures) == (MESSAGES, {})
        assert connection.bytes_sent == MESSAGES * len(LONG) == dialer.layers[0].carried[0]


def test_one_that_breaks_is_read_again_only_once() -> None:
    """Each answer to the server finds more inside, and then comes the end."""
    dialer, recorder = LayeredDialer(), Recorder(0)
    talk = Conversation(PayloadQueue((b"one\r\n",)), Rejecting(), ONE_BY_ONE)
    with Served(recorder, [Group(dialer, ClosedLoop())], dialer) as served:
        [connection] = served.engine.add(talk)
        served.turn_until(lambda: connection.is_up)
        layer = dialer.peers.pop().layer
        pings = b"PING\r\n" * 8
        layer.socket.send(DATA + bytes((len(pings),)) + invert(pings))
        layer.close()
        served.engine.start()
        served.turn_until(lambda: connection.failures > 0)
        assert connection.answered == 0
