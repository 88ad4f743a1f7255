"""The end of a run restores SIGINT and closes the engines, also after an error."""

import signal
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from locust import User
from locust.env import Environment

from loadgen.locust.session import Session


class FakeLoad:
    """What a session needs of a load; ``close`` of a broken one raises."""

    def __init__(self, *, is_broken: bool = False) -> None:
        self.is_broken = is_broken
        self.calls: Counter[str] = Counter()
        self.work = SimpleNamespace(plan=SimpleNamespace(drain_s=1.0), load_model="closed")
        self.engine = SimpleNamespace(is_finished=True)
        self.counts = SimpleNamespace(take=dict, listener=None)

    def stop(self) -> None:
        self.calls["stop"] += 1

    def flush(self) -> None:
        self.calls["flush"] += 1

    def close(self) -> None:
        self.calls["close"] += 1
        if self.is_broken:
            raise OSError("it cannot be closed")


def test_the_end_of_a_run_restores_sigint_and_closes_every_load() -> None:
    session = Session(Environment(user_classes=[]), pytest.fail)
    loads: dict[type[User], Any] = {
        type(name, (User,), {}): FakeLoad(is_broken=name == "Broken")
        for name in ("First", "Broken", "Last")
    }
    before = signal.getsignal(signal.SIGINT)
    assert before is signal.default_int_handler
    session.begin()
    session._loads |= loads
    assert signal.getsignal(signal.SIGINT) is not before
    with pytest.raises(OSError, match="it cannot be closed"):
        session.finish()
    assert signal.getsignal(signal.SIGINT) is before
    assert [load.calls["close"] for load in loads.values()] == [1, 1, 1]
    assert all(load.calls["flush"] for load in loads.values())
    assert session.is_over
