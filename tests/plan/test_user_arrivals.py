"""Intended times of a changing number of users, against an independent calculation."""

import itertools
import math
from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.errors import UsageError
from loadgen.net.clock import NEVER_NS
from loadgen.plan.arrivals import arrivals
from loadgen.plan.profile import Profile
from loadgen.plan.user_arrivals import Later, UserArrivals
from loadgen.units import NS_PER_S

MS: Final = 1_000_000
KINDS: Final = ("constant", "poisson", "uniform")

Change = tuple[int, int]  # (how long after the change before, users)

changes_of_users = st.lists(
    st.tuples(st.integers(0, 3 * NS_PER_S), st.integers(0, 20)), min_size=1, max_size=12
)
rates = st.floats(0.1, 100)
kinds = st.sampled_from(KINDS)
seeds = st.integers(0, 2**63 - 1)


def moments(changes: list[Change]) -> list[Change]:
    """Return (when, users) of each change."""
    when = itertools.accumulate(gap_ns for gap_ns, _ in changes)
    return list(zip(when, (users for _, users in changes), strict=True))


def on_time(arriving: UserArrivals, changes: list[Change], at_most: int = 100) -> list[int]:
    """Return the times of a generator that sends each message when it is due."""
    sent: list[int] = []
    due_ns = next(arriving)
    for at_ns, users in moments(changes):
        while due_ns < at_ns and len(sent) < at_most:
            sent.append(due_ns)
            due_ns = next(arriving)
        due_ns = arriving.resize(users, at_ns)
    while due_ns < NEVER_NS and len(sent) < at_most:
        sent.append(due_ns)
        due_ns = next(arriving)
    return sent


def too_late(arriving: UserArrivals, changes: list[Change], at_most: int = 100) -> list[int]:
    """Return the times of a generator that sends nothing before the last change."""
    due_ns = next(arriving)
    for at_ns, users in moments(changes):
        due_ns = arriving.resize(users, at_ns)
    times = itertools.chain([due_ns], arriving)
    return list(itertools.takewhile(lambda due_ns: due_ns < NEVER_NS, _first(times, at_most)))


def _first(times: Iterator[int], count: int) -> Iterator[int]:
    return itertools.islice(times, count)


def offered_by(changes: list[Change], rate_per_s: float, at_ns: float) -> float:
    """Return how many messages are due by then: what each span of time has added."""
    steps = [(0, 0), *moments(changes), (math.inf, 0)]
    return sum(
        max(0.0, min(end_ns, at_ns) - begin_ns) * users * rate_per_s / NS_PER_S
        for (begin_ns, users), (end_ns, _) in itertools.pairwise(steps)
    )


def counts(kind: str, seed: int) -> Iterator[float]:
    """Yield at which counts messages fall due."""
    return (time_ns / MS for time_ns in arrivals(Profile.constant(1000.0), kind, seed))


class TestTimes:
    @given(changes_of_users, rates, kinds, seeds)
    def test_are_when_so_many_messages_are_offered(
        self, changes: list[Change], rate_per_s: float, kind: str, seed: int
    ) -> None:
        times_ns = on_time(UserArrivals(rate_per_s, kind, seed), changes)
        for time_ns, count in zip(times_ns, counts(kind, seed), strict=False):
            # Right to the nanosecond, and where many a user comes at once, to what it is worth.
            slack = 20 * rate_per_s / NS_PER_S + 1e-6
            assert offered_by(changes, rate_per_s, time_ns) == pytest.approx(count, abs=slack)

    @given(changes_of_users, rates, kinds, seeds)
    def test_do_not_depend_on_when_they_are_asked_for(
        self, changes: list[Change], rate_per_s: float, kind: str, seed: int
    ) -> None:
        asked_in_time = on_time(UserArrivals(rate_per_s, kind, seed), changes)
        asked_late = too_late(UserArrivals(rate_per_s, kind, seed), changes)
        assert asked_late == pytest.approx(asked_in_time, abs=1)

    @given(changes_of_users, rates, kinds, seeds)
    def test_come_in_order_and_none_before_the_first_user(
        self, changes: list[Change], rate_per_s: float, kind: str, seed: int
    ) -> None:
        times_ns = on_time(UserArrivals(rate_per_s, kind, seed), changes)
        assert times_ns == sorted(times_ns)
        if times_ns:
            assert times_ns[0] >= next(at_ns for at_ns, users in moments(changes) if users)

    @given(changes_of_users, rates, kinds, seeds)
    def test_are_the_same_for_the_same_seed(
        self, changes: list[Change], rate_per_s: float, kind: str, seed: int
    ) -> None:
        once, again = (on_time(UserArrivals(rate_per_s, kind, seed), changes, 20) for _ in range(2))
        assert once == again

    def test_of_random_arrivals_depend_on_the_seed(self) -> None:
        one, other = (on_time(UserArrivals(10.0, "poisson", seed), [(0, 1)], 20) for seed in (1, 2))
        assert one != other

    @pytest.mark.parametrize("kind", KINDS)
    @given(st.integers(1, 50), rates, seeds)
    def test_of_users_that_stay_are_those_of_a_schedule(
        self, kind: str, users: int, rate_per_s: float, seed: int
    ) -> None:
        times_ns = on_time(UserArrivals(rate_per_s, kind, seed), [(0, users)])
        schedule_ns = arrivals(Profile.constant(rate_per_s * users), kind, seed)
        for time_ns, expected_ns in zip(times_ns, schedule_ns, strict=False):
            # Counts are drawn to a millionth of a message.
            assert time_ns == pytest.approx(expected_ns, abs=2 + 1e3 / (rate_per_s * users))

    def test_refuse_an_unknown_kind(self) -> None:
        with pytest.raises(UsageError, match="--arrivals: 'bursty'"):
            UserArrivals(10.0, "bursty", 1)


class TestResizing:
    def test_begins_at_once_and_keeps_the_pace(self) -> None:
        arriving = UserArrivals(10.0, "constant", 1)
        assert next(arriving) == NEVER_NS
        assert arriving.resize(1, 5 * MS) == 5 * MS
        assert [next(arriving) for _ in range(3)] == [105 * MS, 205 * MS, 305 * MS]

    def test_in_a_gap_changes_the_rest_of_it(self) -> None:
        arriving = UserArrivals(10.0, "constant", 1)
        next(arriving)
        arriving.resize(1, 0)
        assert next(arriving) == 100 * MS
        assert (
            arriving.resize(2, 50 * MS) == 75 * MS
        )  # half of it is over; the other half is halved
        assert arriving.resize(1, 60 * MS) == 90 * MS
        assert arriving.resize(4, 80 * MS) == 82_500_000
        assert next(arriving) == 107_500_000

    def test_leaves_alone_what_is_due(self) -> None:
        arriving = UserArrivals(10.0, "constant", 1)
        next(arriving)
        arriving.resize(1, 0)
        assert next(arriving) == 100 * MS
        # The generator is late: three messages are due, and one more is half due.
        assert arriving.resize(5, 350 * MS) == 100 * MS
        assert arriving.resize(0, 365 * MS) == 100 * MS
        assert [next(arriving) for _ in range(3)] == [200 * MS, 300 * MS, 360 * MS]
        assert next(arriving) == NEVER_NS

    def test_without_users_none_is_due_until_one_comes(self) -> None:
        arriving = UserArrivals(10.0, "constant", 1)
        next(arriving)
        arriving.resize(1, 0)
        assert next(arriving) == 100 * MS
        assert arriving.resize(0, 40 * MS) == NEVER_NS
        assert arriving.resize(0, 50 * MS) == NEVER_NS
        assert arriving.resize(2, 1000 * MS) == 1030 * MS

    def test_at_one_moment_counts_the_last(self) -> None:
        arriving = UserArrivals(10.0, "constant", 1)
        next(arriving)
        for users in (1, 2, 3, 4, 5):
            due_ns = arriving.resize(users, 0)
        assert due_ns == 0
        assert next(arriving) == 20 * MS


class TestExpectation:
    @given(changes_of_users, rates, st.integers(0, 40 * NS_PER_S))
    def test_is_what_all_users_together_offer(
        self, changes: list[Change], rate_per_s: float, at_ns: int
    ) -> None:
        arriving = UserArrivals(rate_per_s, "constant", 1)
        for when_ns, users in moments(changes):
            arriving.resize(users, when_ns)
        expected = offered_by(changes, rate_per_s, at_ns)
        assert arriving.expected_by_s(at_ns / NS_PER_S) == pytest.approx(expected, abs=1e-6)

    @given(changes_of_users, st.floats(0.1, 2), st.integers(0, 5 * NS_PER_S))
    def test_is_met_by_constant_arrivals_to_the_message(
        self, changes: list[Change], rate_per_s: float, at_ns: int
    ) -> None:
        arriving = UserArrivals(rate_per_s, "constant", 1)
        sent = sum(time_ns <= at_ns for time_ns in on_time(arriving, changes, 300))
        expected = arriving.expected_by_s(at_ns / NS_PER_S)
        assert abs(sent - expected) <= 1 + 1e-6

    def test_is_met_by_random_arrivals_on_average(self) -> None:
        arriving = UserArrivals(50.0, "poisson", 3)
        changes = [(0, 10), (2 * NS_PER_S, 40), (2 * NS_PER_S, 0)]
        sent = len(on_time(arriving, changes, 10_000))
        assert arriving.expected_by_s(60.0) == pytest.approx(5000)
        assert sent == pytest.approx(5000, abs=5 * math.sqrt(5000))

    def test_has_a_mean_in_between(self) -> None:
        arriving = UserArrivals(10.0, "constant", 1)
        arriving.resize(2, 0)
        arriving.resize(4, NS_PER_S)
        assert arriving.mean_per_s(0.0, 2.0) == pytest.approx(30)
        assert arriving.mean_per_s(0.5, 1.0) == pytest.approx(20)
        assert arriving.mean_per_s(1.0, 9.0) == pytest.approx(40)
        assert arriving.mean_per_s(1.0, 1.0) == 0
        assert arriving.expected_by_s(-1.0) == 0

    def test_later_counts_from_there(self) -> None:
        arriving = UserArrivals(10.0, "constant", 1)
        arriving.resize(2, 0)
        arriving.resize(4, NS_PER_S)
        later = Later(arriving, 0.5)
        assert later.expected_by_s(0.0) == 0
        assert later.expected_by_s(1.5) == pytest.approx(50)
        assert later.mean_per_s(0.0, 1.5) == pytest.approx(arriving.mean_per_s(0.5, 2.0))
        arriving.resize(0, 2 * NS_PER_S)  # which it looks at, and does not copy
        assert later.expected_by_s(10.0) == pytest.approx(50)
