import os
import resource

import pytest

from loadgen.errors import LocalLimitError
from loadgen.net import descriptors
from loadgen.net.descriptors import SPARE, DescriptorLimit


class FakeLimit:
    """RLIMIT_NOFILE of a process that does not exist."""

    def __init__(self, soft: int, hard: int) -> None:
        self.limits = (soft, hard)

    def get(self, which: int) -> tuple[int, int]:
        assert which == resource.RLIMIT_NOFILE
        return self.limits

    def set(self, which: int, limits: tuple[int, int]) -> None:
        assert which == resource.RLIMIT_NOFILE
        self.limits = limits


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> FakeLimit:
    fake = FakeLimit(soft=1024, hard=4096)
    monkeypatch.setattr(resource, "getrlimit", fake.get)
    monkeypatch.setattr(resource, "setrlimit", fake.set)
    return fake


def test_the_limit_in_force_is_the_kernels() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    known = descriptors.current()
    assert known.soft == (None if soft == resource.RLIM_INFINITY else soft)
    assert known.hard == (None if hard == resource.RLIM_INFINITY else hard)


def test_no_limit_is_none(limit: FakeLimit) -> None:
    limit.limits = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    assert descriptors.current() == DescriptorLimit(None, None)


@pytest.mark.parametrize("connections", [1, 1024 - SPARE])
def test_enough_is_left_as_it_is(limit: FakeLimit, connections: int) -> None:
    descriptors.ensure(connections)
    assert limit.limits == (1024, 4096)


def test_the_soft_limit_is_raised_as_far_as_needed_and_no_further(limit: FakeLimit) -> None:
    descriptors.ensure(2000)
    assert limit.limits == (2000 + SPARE, 4096)


def test_all_that_the_hard_limit_allows_can_be_had(limit: FakeLimit) -> None:
    descriptors.ensure(4096 - SPARE)
    assert limit.limits == (4096, 4096)


def test_an_unlimited_hard_limit_stays_unlimited(limit: FakeLimit) -> None:
    limit.limits = (1024, resource.RLIM_INFINITY)
    descriptors.ensure(1_000_000)
    assert limit.limits == (1_000_000 + SPARE, resource.RLIM_INFINITY)


def test_beyond_the_hard_limit_it_is_said_what_is_needed_and_how_to_get_it(
    limit: FakeLimit,
) -> None:
    with pytest.raises(LocalLimitError) as refusal:
        descriptors.ensure(5000)
    text = str(refusal.value)
    assert text.startswith("--connections 5000 needs 5064 file descriptors; this process may have")
    assert "4096" in text
    assert "ulimit -Hn 5064" in text
    assert "\n" not in text
    assert limit.limits == (1024, 4096)


def test_an_open_descriptor_is_one_free_number_less() -> None:
    before = descriptors.free_below(1024)
    descriptor = os.open(os.devnull, os.O_RDONLY)
    try:
        assert descriptors.free_below(1024) == before - 1
    finally:
        os.close(descriptor)
    assert descriptors.free_below(1024) == before
