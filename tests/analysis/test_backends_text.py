"""The comparison of backends, as lines for people."""

from typing import Any

import msgspec
import pytest
from backend_rows import BUSY, GRID, MS, US, made_up, record_of, rows_of, same, text_of
from records import plan, spread, timestamps

from loadgen.analysis import backends_text
from loadgen.analysis.backends import Grid
from loadgen.results.record import RunRecord


def test_the_table_stands_in_columns() -> None:
    def made(backend: str, connections: int, before: int) -> RunRecord:
        service = spread(990 * US + 10 * US * before, 2 * MS, 140 * MS + MS * before)
        return made_up(147_000.0 + 1000 * before, service_time_ns=service, **BUSY)

    lines = list(backends_text.table(record_of(rows_of(made))))
    header, block, row, ranges = lines[:4]
    assert header.text.split("  ")[-1] == "verdict"
    assert (block.text, block.style) == ("  10 connections", "heading")
    verdict_column = header.text.index("verdict")
    assert row.text[verdict_column:] == "generator-bound"
    for name, end in (("messages/s", "148\xa0000"), ("service p50", "1.00 ms")):
        right = header.text.index(name) + len(name)
        assert row.text[:right].endswith(f" {end}"), name
    assert "147\xa0000–149\xa0000" in ranges.text  # noqa: RUF001
    assert "140–142 ms" in ranges.text  # noqa: RUF001 - the unit is said once
    assert "990 µs–1.01 ms" in ranges.text  # noqa: RUF001
    assert ranges.style == "faint"
    assert max(len(line.text) for line in lines) <= 111


def test_one_round_has_no_range() -> None:
    grid = msgspec.structs.replace(GRID, rounds=1)
    text = text_of(rows_of(same(), grid), grid=grid)
    assert "–" not in text  # noqa: RUF001
    assert "medians" not in text


def test_user_space_times_are_called_so() -> None:
    user = timestamps(mode="user", reason="none here", stamped=0, read_uncertainty_ns=None)
    assert "user-space" in text_of(rows_of(same(timestamps=user)))
    assert "user-space" not in text_of(rows_of(same()))


def test_why_the_engine_was_in_python_is_said_once() -> None:
    assert (
        text_of(rows_of(same(why_python="no compiler"))).count("(Python engine: no compiler)") == 1
    )
    assert "engine" not in text_of(rows_of(same(engine="native")))


@pytest.mark.parametrize(
    ("grid", "changes", "said"),
    [
        (
            ((10, 100, 1000), 3),
            {"duration_s": 2.0},
            "2 backends, 3 numbers of connections, 3 rounds of 2 s: about 36 s",
        ),
        (
            ((10, 100, 1000), 3),
            {"duration_s": 2.0, "warmup_s": 1.0},
            "2 backends, 3 numbers of connections, 3 rounds of 2 s: about a minute",
        ),
        (
            ((10,), 1),
            {"duration_s": 600.0},
            "2 backends, 10 connections, 1 round of 600 s: about 20",
        ),
        (((1,), 2), {"duration_s": 0.1}, "2 backends, 1 connection, 2 rounds of 100 ms: about 1 s"),
        (
            ((10,), 3),
            {"duration_s": None, "messages": 5000},
            "2 backends, 10 connections, 3 rounds of 5\xa0000 messages per connection",
        ),
        (
            ((10,), 3),
            {"duration_s": 2.0, "messages": 5000},
            "3 rounds of at most 2 s: at most about 12 s",
        ),
    ],
)
def test_how_long_it_takes_is_said_before(
    grid: tuple[tuple[int, ...], int], changes: dict[str, Any], said: str
) -> None:
    counts, rounds = grid
    wanted = Grid(backends=("epoll", "poll"), connections=counts, rounds=rounds)
    first, *others = backends_text.announcement(wanted, plan(**changes), 2)
    assert said in first.text
    assert bool(others) == (len(counts) == 1)
    assert all("-c 10,100,1000" in line.text for line in others)


def test_a_rate_per_connection_grows_with_them() -> None:
    lines = backends_text.announcement(GRID, plan(rate_per_connection=5), 2)
    assert "of 10 connections, and grows" in list(lines)[-1].text


def test_the_order_of_a_round_is_said() -> None:
    texts = [backends_text.round_line(GRID, number).text for number in (1, 2)]
    assert texts == ["  round 1 of 3: epoll, poll", "  round 2 of 3: poll, epoll"]
