"""What is undone when a run ends, whatever goes wrong before: the handler of ^C, the engines."""

import signal
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from locust import User
from locust.env import Environment

from loadgen.locust.session import Session


class OneLoad:
    """What a session asks of a load; one that is ``broken`` cannot be closed."""

    def __init__(self, *, is_broken: bool = False) -> None:
        self.is_broken = is_broken
        self.asked: Counter[str] = Counter()
        self.work = SimpleNamespace(plan=SimpleNamespace(drain_s=1.0), load_model="closed")
        self.engine = SimpleNamespace(is_finished=True)
        self.counts = SimpleNamespace(take=dict, listener=None)

    def stop(self) -> None:
        self.asked["stop"] += 1

    def flush(self) -> None:
        self.asked["flush"] += 1

    def close(self) -> None:
        self.asked["close"] += 1
        if self.is_broken:
            raise OSError("it cannot be closed")


def test_the_end_of_a_run_gives_interrupts_back_and_closes_every_load() -> None:
    session = Session(Environment(user_classes=[]), pytest.fail)
    loads: dict[type[User], Any] = {
        type(name, (User,), {}): OneLoad(is_broken=name == "Broken")
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
    assert [load.asked["close"] for load in loads.values()] == [1, 1, 1]
    assert all(load.asked["flush"] for load in loads.values())
    assert session.is_over
