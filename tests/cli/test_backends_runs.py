"""Several backends in one command, on real servers."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from command import Ended, check_refused, ended, loadgen, loadgen_here, running
from servers import ScriptedServer, answers_garbage, echoes

from loadgen.analysis.backends import BackendsRecord, from_json
from loadgen.cli.in_turn import grid_of
from loadgen.cli.run_options import new_parser, plan_of_each_run
from loadgen.net import backends

HERE = backends.available()
ABSENT = tuple(name for name in backends.NAMES if name not in (*HERE, "auto"))
HERE_IN_WORDS = ", ".join(HERE)

Capture = pytest.CaptureFixture[str]


def record_of(done: Ended) -> BackendsRecord:
    """The document on standard output, which must hold nothing else."""
    return from_json(done.stdout.encode())


def runs_in_order(record: BackendsRecord) -> list[tuple[str, int]]:
    """Return the pairs in the order in which their runs began."""
    runs = [(run, row) for row in record.rows for run in row.runs]
    runs.sort(key=lambda each: each[0].started_at)
    return [(row.backend, row.connections) for _, row in runs]


# ---- the load -----------------------------------------------------------------------------


def test_every_backend_of_the_platform_loads_one_embedded_server(capfd: Capture) -> None:
    options = ("--backend", "all", "-c", "5,2", "-d", "150ms", "--rounds", "2", "--json", "-")
    done = loadgen_here(capfd, *options)
    assert done.code == 0
    record = record_of(done)
    once = [(backend, count) for count in (2, 5) for backend in HERE]
    assert [(row.backend, row.connections) for row in record.rows] == once
    assert runs_in_order(record) == [*once, *once[::-1]]
    assert record.plan.target is None
    runs = [run for row in record.rows for run in row.runs]
    for row in record.rows:
        assert [run.connections_up for run in row.runs] == [row.connections] * 2
    assert record.server is not None
    assert record.server["accepted"] == 2 * 7 * len(HERE)
    assert record.server["bytes_received"] == sum(run.bytes_sent for run in runs)
    assert record.server["bytes_sent"] == sum(run.bytes_received for run in runs)
    for row in record.rows:
        assert row.messages_per_s is not None
        rates = sorted(run.messages_per_s for run in row.runs)
        assert [row.messages_per_s.lowest, row.messages_per_s.highest] == rates
    for count in (2, 5):
        assert max(row.rate_share or 0 for row in record.rows if row.connections == count) == 1
    for word in (*HERE, "2 connections", "5 connections", "messages/s", "CPU/message", "verdict"):
        assert word in done.stderr
    assert "the embedded echo server" in done.stderr


def test_a_table_in_a_pipe_is_plain_and_the_same_target_is_loaded_by_all(
    tmp_path: Path, capfd: Capture
) -> None:
    path = tmp_path / "backends.json"
    with ScriptedServer(echoes) as server:
        options = ("-c", "1,3", "-n", "20", "--backend", ",".join(HERE[::-1]), "--rounds", "3")
        done = loadgen_here(capfd, server.address, *options, "--json", str(path))
        server.settle(3 * 4 * len(HERE))
    assert (done.code, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert f"round 2 of 3: {HERE_IN_WORDS}" in done.stdout
    record = from_json(path.read_bytes())
    assert (record.target, record.server) == (server.address, None)
    assert record.grid.backends == HERE[::-1]
    runs = [run for row in record.rows for run in row.runs]
    assert sum(run.bytes_sent for run in runs) == server.bytes_received
    assert sum(run.messages for run in runs) * 64 == server.bytes_received
    assert sum(run.messages for run in runs) == 3 * 4 * 20 * len(HERE)


def test_one_backend_shows_how_its_cost_grows(capfd: Capture) -> None:
    with ScriptedServer(echoes) as server:
        options = ("-c", "1,2", "-n", "5", "--rounds", "1", "--json", "-")
        done = loadgen_here(capfd, server.address, *options)
    assert done.code == 0
    default = backends.resolve("auto")
    assert runs_in_order(record_of(done)) == [(default, 1), (default, 2)]
    assert f"{default}, 2 numbers of connections, 1 round of 5 messages" in done.stderr


def test_a_payload_from_standard_input_is_sent_in_every_run() -> None:
    with ScriptedServer(echoes) as server:
        options = ("-c", "1,2", "-n", "2", "--rounds", "2", "--payload-file", "-")
        done = loadgen(server.address, *options, stdin=b"once ")
        server.settle(6)
    assert done.code == 0
    assert set(server.streams) == {b"once once "}


def test_a_wrong_echo_is_a_failed_verification(capfd: Capture) -> None:
    with ScriptedServer(answers_garbage) as server:
        options = ("-c", "1,2", "-n", "5", "--rounds", "1", "--verify")
        done = loadgen_here(capfd, server.address, *options)
    assert done.code == 1
    assert "verify:" in done.stdout
    assert "inconclusive" in done.stdout


# ---- what does not go -----------------------------------------------------------------------


def test_a_backend_of_another_platform_is_listed_and_the_others_go_on(capfd: Capture) -> None:
    with ScriptedServer(echoes) as server:
        options = ("-c", "2", "-n", "5", "--rounds", "2")
        names = f"{ABSENT[0]},{HERE[0]}"
        done = loadgen_here(capfd, server.address, *options, "--backend", names)
        server.settle(4)
    assert (done.code, done.stderr) == (0, "")
    assert f"refused: {ABSENT[0]} with 2 connections" in done.stdout
    assert f"this platform has no {ABSENT[0]}; choose one of {HERE_IN_WORDS}" in done.stdout
    assert "-c 10,100,1000" in done.stdout


@pytest.mark.skipif(not {"select", "poll"} <= set(HERE), reason="it takes select and poll")
def test_select_refuses_what_it_cannot_watch(capfd: Capture) -> None:
    options = ("--backend", "poll,select", "-c", "3,1100", "-n", "1", "--rounds", "1")
    done = loadgen_here(capfd, *options, "--json", "-")
    assert done.code == 0
    rows = {(row.backend, row.connections): row for row in record_of(done).rows}
    assert "1100 connections are asked for" in rows["select", 1100].refused
    assert rows["select", 1100].runs == []
    for pair in (("select", 3), ("poll", 3), ("poll", 1100)):
        [run] = rows[pair].runs
        assert run.messages == pair[1]
    assert "refused: select with 1\xa0100 connections" in done.stderr


def test_where_all_is_refused_the_reason_is_the_answer(capfd: Capture) -> None:
    with ScriptedServer(echoes) as server:
        done = loadgen_here(capfd, server.address, "--backend", ",".join(ABSENT), "-c", "2,3")
    assert (done.code, server.accepted) == (2, 0)
    [line] = done.stderr.splitlines()
    for name in ABSENT:
        assert line.count(f"this platform has no {name};") == 1


def test_a_target_that_was_never_there(capfd: Capture) -> None:
    with ScriptedServer(echoes) as server:
        address = server.address
    done = loadgen_here(capfd, address, "--backend", "all", "-c", "2", "-d", "100ms")
    assert done.code == 3
    assert "unreachable" in done.stderr
    assert "verdict" not in done.stdout


def test_a_target_that_goes_away_between_the_runs() -> None:
    with (
        ScriptedServer(echoes) as server,
        running(
            *(server.address, "-c", "1,2", "--rounds", "30", "-d", "200ms", "--json", "-")
        ) as process,
    ):
        server.wait_for(lambda: server.accepted >= 3)
        server.die()
        done = ended(process)
    assert done.code == 0
    record = record_of(done)
    assert {row.rounds for row in record.rows} == {30}
    for row in record.rows:
        assert row.runs
        assert "refused" in row.unreachable[-1].reason
    assert "of 30 rounds unreachable: " in done.stderr


# ---- ^C -----------------------------------------------------------------------------------


def test_an_interrupt_ends_it_with_the_table_of_what_there_is() -> None:
    with (
        ScriptedServer(echoes) as server,
        running(
            *(server.address, "--backend", "all", "-c", "1", "-n", "20", "--rounds", "1000"),
            *("--json", "-"),
        ) as process,
    ):
        server.wait_for(lambda: server.accepted > 2 * len(HERE))
        process.send_signal(signal.SIGINT)
        done = ended(process)
    assert done.code == 130
    record = record_of(done)
    assert record.is_interrupted
    assert all(2 <= len(row.runs) < 1000 for row in record.rows)
    assert {run.messages for row in record.rows for run in row.runs} == {20}
    assert "interrupted; until then:" in done.stderr
    assert "of 1\xa0000 rounds" in done.stderr


def test_an_interrupt_of_the_first_run_leaves_no_row_and_spares_the_embedded_server() -> None:
    """As a terminal does it: every process in the foreground gets the signal."""
    with running("-c", "1,2", "-d", "40s", "-v", "--json", "-") as process:
        wait_until_connected(process)
        os.killpg(process.pid, signal.SIGINT)
        done = ended(process)
    assert done.code == 130
    record = record_of(done)
    assert (record.is_interrupted, [row.rounds for row in record.rows]) == (True, [0, 0])
    assert record.server is not None
    assert record.server["accepted"] == 1
    assert "interrupted before a run was over" in done.stderr


def wait_until_connected(process: subprocess.Popen[bytes]) -> None:
    assert process.stderr is not None
    while b"connected" not in (line := process.stderr.readline()):
        assert line, "it ended before it had loaded"


# ---- options ------------------------------------------------------------------------------


def chosen(*arguments: str) -> Any:
    return new_parser().parse_args(list(arguments))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", None),
        ("-c 50 --backend poll", None),
        ("--backend poll,select", (("poll", "select"), (10, 100, 1000), 3)),
        ("--backend poll,select -c 7", (("poll", "select"), (7,), 3)),
        ("--backend poll -c 1k,2,30", (("poll",), (2, 30, 1000), 3)),
        ("--backend all --rounds 5", (HERE, (10, 100, 1000), 5)),
        ("-c 1,2", ((backends.resolve("auto"),), (1, 2), 3)),
    ],
)
def test_several_backends_or_numbers_of_connections_are_compared(
    arguments: str, expected: tuple[Any, ...] | None
) -> None:
    grid = grid_of(chosen(*arguments.split()))
    if expected is None:
        assert grid is None
        return
    assert grid is not None
    assert (grid.backends, grid.connections, grid.rounds) == expected


@pytest.mark.parametrize(
    ("arguments", "duration_s"),
    [
        ("", 2.0),
        ("-d 10s", 10.0),
        ("-n 5", None),
        ("--rate 5k", 2.0),
        ("--stages 3s:5k", 3.0),
        ("--rate 0..5k/30s", 30.0),
    ],
)
def test_a_run_of_many_is_short_unless_something_says_how_long(
    arguments: str, duration_s: float | None
) -> None:
    plan = plan_of_each_run(chosen("--backend", "all", *arguments.split()))
    assert plan.duration_s == duration_s


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--backend", "poll,pol"], ["--backend:", "'pol'", "did you mean poll?", "or all"]),
        (["--backend", "pol"], ["--backend:", "'pol'", "did you mean poll?"]),
        (["--backend", "al"], ["--backend:", "'al'", "did you mean all?"]),
        (["--backend", "poll,poll"], ["--backend:", "'poll,poll'", "poll twice"]),
        (["--backend", "poll,"], ["--backend:", "''", "choose one of"]),
        (["--backend", ""], ["--backend:", "''", "choose one of"]),
        (["--backend", "auto,poll"], ["--backend:", "auto is", "name that"]),
        (["--backend", "all,poll"], ["--backend:", "'all'", "choose one of"]),
        (["-c", "10,ten"], ["--connections", "'ten'", "whole number"]),
        (["-c", "10,"], ["--connections", "''", "whole number"]),
        (["-c", "10,20,10"], ["--connections", "'10,20,10'", "10 twice"]),
        (["-c", "0,10"], ["--connections", "0", "1 or more"]),
        (["-c", "-5,10"], ["--connections", "'-5'", "whole number"]),
        (["--rounds", "5"], ["--rounds 5", "--backend all", "-c 10,100,1000"]),
        (["--rounds", "0", "-c", "1,2"], ["--rounds:", "0", "from 1 to 1000"]),
        (["--rounds", "x", "-c", "1,2"], ["--rounds:", "'x'", "whole number"]),
        (["-c", "1,2", "--find-max", "errors<1"], ["several --connections", "--find-max"]),
        (["--backend", "poll,select", "--strict"], ["--backend poll,select", "--strict"]),
        (["-c", "1,2", "--check", "errors<1"], ["several --connections", "--check"]),
        (["-c", "1,2", "--connections-csv", "-"], ["several --connections", "--connections-csv"]),
        (["-c", "1,2", "--dump-one"], ["several --connections", "--dump-one"]),
        (["-c", "1,2", "--payload-file", "/nowhere"], ["--payload-file", "'/nowhere'"]),
    ],
    ids=lambda value: " ".join(value)[:40] if value[0].startswith("-") else None,
)
def test_one_line_says_what_was_wrong_before_any_socket_is_there(
    arguments: list[str], parts: list[str], capfd: Capture
) -> None:
    check_refused(capfd, arguments, parts)
