"""Several groups of connections in one engine, and channels that are no streams."""

from functools import partial

import pytest
from datagrams import DatagramDialer, new_datagrams
from layers import LayeredDialer
from served import NotingRecorder, Served
from stepped_engine import conversation

from loadgen.engine.group import Group
from loadgen.engine.load_models import ClosedLoop, LoadModel, OnDemand, OpenLoop, Thinking
from loadgen.engine.recorder import Recorder
from loadgen.engine.rows import INTENDED_NS, READ_NS, REPLIES, SENT_NS
from loadgen.engine.sinks import GroupTallies
from loadgen.errors import LoadgenBug
from loadgen.net.clock import monotonic_ns

MESSAGES = 20
CONNECTIONS = 3


def models() -> dict[str, LoadModel]:
    offsets_ns = range(0, CONNECTIONS * MESSAGES * 1000, 1000)
    return {
        "closed": ClosedLoop(),
        "thinking": Thinking(lambda _: 1000, monotonic_ns),
        "open": OpenLoop(offsets_ns, monotonic_ns),
    }


class TestDatagrams:
    @pytest.mark.parametrize("pipeline", [1, 8])
    @pytest.mark.parametrize("model", models())
    def test_are_matched_with_their_replies_in_any_order(self, model: str, pipeline: int) -> None:
        dialer, recorder = DatagramDialer(), NotingRecorder()
        group = Group(dialer, models()[model], new_channel=new_datagrams)
        talk = conversation(b"number 1", b"number two", pipeline=pipeline, messages=MESSAGES)
        with Served(recorder, [group], dialer) as served:
            served.engine.add(talk, CONNECTIONS)
            served.run()
            assert recorder.failures == {}
            assert served.engine.pool.totals()[:2] == (CONNECTIONS * MESSAGES,) * 2
            for connection, peer in zip(served.engine.pool.connections, dialer.peers, strict=True):
                assert connection.bytes_sent == peer.bytes_received == MESSAGES * 9
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
        pings = conversation(b"one ping", pipeline=4, messages=MESSAGES)
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
        group = Group(LayeredDialer(), OpenLoop([5, 6], monotonic_ns))
        other = Group(LayeredDialer(), OpenLoop([7], monotonic_ns), 1)
        with Served(Recorder(0), [group, other]) as served:
            began_ns = served.engine.start()
            assert served.engine.overdue(began_ns, began_ns + 10) == 3

    def test_may_share_a_load_model(self) -> None:
        one, other, recorder = LayeredDialer(), LayeredDialer(), Recorder(0)
        pauses: list[int] = []

        def pause_ns(index: int) -> int:
            pauses.append(index)
            return 1000

        model = Thinking(pause_ns, monotonic_ns)
        groups = [Group(one, model), Group(other, model, 1)]
        with Served(recorder, groups, one, other) as served:
            for group in groups:
                served.engine.add(conversation(messages=5), 1, group)
            served.run()
            assert sorted(pauses) == [0] * 4 + [1] * 4
            assert recorder.failures == {}

    def test_may_be_sent_on_when_their_owner_says_so(self) -> None:
        streams, others, recorder = LayeredDialer(), LayeredDialer(), Recorder(0)
        free: list[int] = []
        owner = Owner(free)
        groups = [Group(streams, ClosedLoop()), Group(others, OnDemand(lambda _: owner), 1)]
        with Served(recorder, groups, streams, others) as served:
            served.engine.add(conversation(messages=2), 2)
            [asked] = served.engine.add(conversation(scheduled=True), 1, groups[1])
            served.turn_until(lambda: not served.engine.pool.is_opening)
            served.engine.start()
            for number in (1, 2, 3):
                served.turn_until(partial(is_free_again, free, number))
                assert asked.submitted == asked.answered == number - 1
                served.engine.send_now(asked.messages)
            served.turn_until(lambda: served.engine.pool.totals().answered == 7)
            assert recorder.failures == {}

    def test_that_are_not_known_are_refused(self) -> None:
        dialer = LayeredDialer()
        known, other = Group(dialer, ClosedLoop()), Group(dialer, ClosedLoop(), 1)
        with (
            Served(Recorder(0), [known]) as served,
            pytest.raises(LoadgenBug, match="group 1"),
        ):
            served.engine.add(conversation(), 1, other)

    def test_of_the_same_number_are_refused(self) -> None:
        groups = [Group(LayeredDialer(), ClosedLoop()), Group(LayeredDialer(), ClosedLoop())]
        with pytest.raises(LoadgenBug, match="same number"):
            Served(Recorder(0), groups)


class Owner:
    """Notes when a connection is free."""

    def __init__(self, free: list[int]) -> None:
        self._free = free

    def when_free(self, index: int) -> None:
        self._free.append(index)


def is_free_again(free: list[int], count: int) -> bool:
    return len(free) == count
