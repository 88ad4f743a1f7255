"""Several groups of connections in one engine, and channels that are no streams."""

import pytest
from datagrams import DatagramDialer, new_datagrams
from layers import LayeredDialer
from served import NotingRecorder, Served
from stepped_engine import conversation

from loadgen.engine.group import Group
from loadgen.engine.load_models import ClosedLoop, LoadModel, OpenLoop, Thinking
from loadgen.engine.recorder import Recorder
from loadgen.engine.rows import INTENDED_NS, READ_NS, REPLIES, SENT_NS
from loadgen.engine.sinks import GroupTallies
from loadgen.net.clock import monotonic_ns

MESSAGES = 20
CONNECTIONS = 3


def models() -> dict[str, LoadModel]:
    offsets_ns = range(0, CONNECTIONS * MESSAGES * 1000, 1000)
    return {
        "closed": ClosedLoop(),
        "thinking": Thinking(lambda _: 1000, monotonic_ns),
        "open": OpenLoop(offsets_ns, monotonic_ns, lambda _: None),
    }


class TestDatagrams:
    @pytest.mark.parametrize("pipeline", [1, 8])
    @pytest.mark.parametrize("model", models())
    def test_are_matched_with_their_replies_in_any_order(self, model: str, pipeline: int) -> None:
        dialer, recorder = DatagramDialer(), NotingRecorder()
        group = Group(dialer, models()[model], new_channel=new_datagrams)
        talk = conversation(b"one", b"seven", pipeline=pipeline, messages=MESSAGES)
        with Served(recorder, [group], dialer) as served:
            served.engine.add(talk, CONNECTIONS)
            served.run()
            assert recorder.failures == {}
            assert served.engine.pool.totals()[:2] == (CONNECTIONS * MESSAGES,) * 2
            for connection, peer in zip(served.engine.pool.connections, dialer.peers, strict=True):
                assert connection.bytes_sent == peer.bytes_received == MESSAGES * (4 + 4)
                assert connection.bytes_received == peer.bytes_sent
        assert sum(row[REPLIES] for row in recorder.rows) == CONNECTIONS * MESSAGES
        assert all(row[INTENDED_NS] <= row[SENT_NS] <= row[READ_NS] for row in recorder.rows)


class TestGroups:
    @pytest.mark.parametrize("second", models())
    @pytest.mark.parametrize("first", models())
    def test_have_targets_framings_and_load_models_of_their_own(
        self, first: str, second: str
    ) -> None:
        """A stream over a layer, and datagrams: all that may differ does."""
        streams, datagrams, tallies = LayeredDialer(), DatagramDialer(), GroupTallies()
        recorder = Recorder(0, None, [tallies])
        groups = [
            Group(streams, models()[first]),
            Group(datagrams, models()[second], 1, new_datagrams),
        ]
        lines = conversation(b"a line\n", reply=r"delimiter:\n", messages=MESSAGES)
        pings = conversation(b"ping", pipeline=4, messages=MESSAGES)
        with Served(recorder, groups, streams, datagrams) as served:
            served.engine.add(lines, CONNECTIONS)
            served.engine.add(pings, CONNECTIONS, groups[1])
            served.run()
            assert recorder.failures == {}
            pool = served.engine.pool
            assert [connection.answered for connection in pool.connections] == (
                [MESSAGES] * 2 * CONNECTIONS
            )
            sent = [connection.bytes_sent for connection in pool.connections]
            assert sent[:CONNECTIONS] == [layer.carried[0] for layer in streams.layers]
            assert sent[:CONNECTIONS] == [7 * MESSAGES] * CONNECTIONS
            assert sent[CONNECTIONS:] == [peer.bytes_received for peer in datagrams.peers]
            assert sent[CONNECTIONS:] == [8 * MESSAGES] * CONNECTIONS
        recorder.flush()
        assert [tallies.by_group[number].replies for number in (0, 1)] == (
            [CONNECTIONS * MESSAGES] * 2
        )

    def test_are_counted_together_where_a_schedule_has_ended(self) -> None:
        group = Group(LayeredDialer(), OpenLoop([5, 6], monotonic_ns, lambda _: None))
        other = Group(LayeredDialer(), OpenLoop([7], monotonic_ns, lambda _: None), 1)
        with Served(Recorder(0), [group, other]) as served:
            began_ns = served.engine.start()
            assert served.engine.overdue(began_ns, began_ns + 10) == 3
