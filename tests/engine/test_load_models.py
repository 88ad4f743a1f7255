"""Which connections may send, and when, without a schedule; the test sets which are up."""

import itertools

from stepped_engine import MS, START_NS, idle_channels

from loadgen.engine.channel import MessageChannel
from loadgen.engine.load_models import ClosedLoop, OnDemand, Thinking
from loadgen.net.backends import TURN_EVENTS
from loadgen.net.clock import ManualClock


class TestClosedLoop:
    def test_lets_a_connection_send_at_once_when_it_was_answered(self) -> None:
        replied = idle_channels(3, ManualClock())
        assert ClosedLoop().next_senders(replied) == replied

    def test_lets_admitted_connections_send_first_in_bounded_portions(self) -> None:
        model = ClosedLoop()
        connections = idle_channels(TURN_EVENTS + 2, ManualClock())
        for connection in connections[:-1]:
            model.admit(connection)
        assert model.next_ns() == 0
        assert model.next_senders(connections[-1:]) == connections[:TURN_EVENTS]
        assert model.next_ns() == 0
        assert model.next_senders([]) == connections[TURN_EVENTS:]
        assert model.next_ns() is None

    def test_skips_a_connection_that_is_down(self) -> None:
        model = ClosedLoop()
        gone, here = idle_channels(2, ManualClock())
        model.admit(gone)
        model.admit(here)
        gone.detach()
        assert model.next_senders([]) == [here]


class ThinkTimes:
    """A `Thinking` model on a clock that the test moves."""

    def __init__(self, *think_ns: int) -> None:
        self.clock = ManualClock(START_NS)
        pauses_ns = itertools.cycle(think_ns)
        self.model = Thinking(lambda _: next(pauses_ns), self.clock)

    def senders_at(self, offset_ns: int, *replied: MessageChannel) -> list[MessageChannel]:
        self.clock.now_ns = START_NS + offset_ns
        return self.model.next_senders(list(replied))


class TestThinking:
    def test_begins_without_think_time(self) -> None:
        scene = ThinkTimes(5 * MS)
        [newcomer] = idle_channels(1, scene.clock)
        scene.model.admit(newcomer)
        assert scene.model.next_ns() == 0
        assert scene.senders_at(0) == [newcomer]

    def test_drops_the_think_time_of_a_connection_that_is_opened_again(self) -> None:
        scene = ThinkTimes(5 * MS)
        [connection] = idle_channels(1, scene.clock)
        assert scene.senders_at(0, connection) == []
        connection.generation += 1
        assert scene.senders_at(5 * MS) == []

    def test_lets_each_send_once_its_time_is_over_and_no_earlier(self) -> None:
        scene = ThinkTimes(5 * MS, 3 * MS)
        one, other = idle_channels(2, scene.clock)
        assert scene.senders_at(0, one, other) == []
        assert scene.model.next_ns() == START_NS + 3 * MS
        assert scene.senders_at(3 * MS - 1) == []
        assert scene.senders_at(3 * MS) == [other]
        assert scene.senders_at(5 * MS) == [one]
        assert scene.model.next_ns() is None

    def test_lets_equals_send_in_the_order_of_their_replies(self) -> None:
        scene = ThinkTimes(MS)
        connections = idle_channels(5, scene.clock)[::-1]
        scene.senders_at(0, *connections)
        assert scene.senders_at(MS) == connections

    def test_lets_a_bounded_number_send_at_a_time(self) -> None:
        scene = ThinkTimes(MS)
        connections = idle_channels(TURN_EVENTS + 5, scene.clock)
        scene.senders_at(0, *connections)
        assert scene.senders_at(MS) == connections[:TURN_EVENTS]
        assert scene.model.next_ns() == START_NS + MS
        assert scene.senders_at(MS) == connections[TURN_EVENTS:]

    def test_has_no_think_time_after_the_last_message(self) -> None:
        scene = ThinkTimes(MS)
        [draining] = idle_channels(1, scene.clock)
        draining.in_flight = 1
        draining.revoke()
        assert scene.senders_at(0, draining) == [draining]

    def test_skips_a_connection_that_broke_in_its_think_time(self) -> None:
        scene = ThinkTimes(MS)
        [broken] = idle_channels(1, scene.clock)
        scene.senders_at(0, broken)
        broken.detach()
        assert scene.senders_at(MS) == []
        assert scene.model.next_ns() is None


class Owner:
    """Notes when its connections are free."""

    def __init__(self) -> None:
        self.free: list[int] = []

    def when_free(self, index: int) -> None:
        self.free.append(index)


class TestOnDemand:
    def test_tells_the_owner_of_each_connection_that_it_is_free(self) -> None:
        owners = [Owner(), Owner()]
        model = OnDemand(owners.__getitem__)
        one, other = idle_channels(2, ManualClock(), scheduled=True)
        model.admit(other)
        assert [owner.free for owner in owners] == [[], [1]]
        assert model.note_free(one)
        assert [owner.free for owner in owners] == [[0], [1]]

    def test_knows_owners_that_are_added_later(self) -> None:
        owners: list[Owner] = []
        model = OnDemand(owners.__getitem__)
        [connection] = idle_channels(1, ManualClock(), scheduled=True)
        owners.append(Owner())
        model.admit(connection)
        assert owners[0].free == [0]

    def test_tells_nothing_of_connections_that_are_busy_or_done(self) -> None:
        owner = Owner()
        model = OnDemand([owner, owner].__getitem__)
        busy, silent = idle_channels(2, ManualClock(), scheduled=True)
        busy.in_flight = 1
        silent.revoke()
        assert not model.note_free(busy)
        assert not model.note_free(silent)
        assert owner.free == []

    def test_sends_nothing_by_itself(self) -> None:
        model = OnDemand([Owner()].__getitem__)
        [connection] = idle_channels(1, ManualClock(), scheduled=True)
        model.begin(START_NS)
        model.admit(connection)
        model.send_due(lambda _: None)
        assert connection.counts()[0] == 0
        assert model.next_ns() is None
        assert model.overdue(START_NS, START_NS + MS) == 0

    def test_lets_replied_connections_transmit_to_end(self) -> None:
        replied = idle_channels(2, ManualClock(), scheduled=True)
        assert OnDemand([Owner()].__getitem__).next_senders(replied) == replied
