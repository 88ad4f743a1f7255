"""loadgen beside the limits of a machine: what is run in turn, and what is made of it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.limit import Measured, judged, table
from bench.open_loop import Found
from bench.open_loop import judged as judged_schedule
from bench.tables import at_least, at_most
from bench.turn import REPLIES
from bench.ways import AUTO, NATIVE, PYTHON, STAMPED, USER_SPACE, Way, ways
from bench.yardstick import ROOT, Cost, Shape

WITHIN_S = 100.0  # for what hangs only

pytestmark = pytest.mark.timeout(WITHIN_S + 20)


def cost(messages_per_s: float) -> Cost:
    return Cost(messages_per_s, user_us=1.0, system_us=9.0)


def printed(*words: str) -> list[list[str]]:
    """Run a measurement; return the cells of what it prints as tables. It may miss its aims."""
    if shutil.which("cc") is None:
        pytest.skip("what loadgen is measured with is built with a C compiler: there is no `cc`")
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words, "--rounds", "1", "--markdown"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert (done.returncode in (0, 1), done.stderr) == (True, ""), done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def number(cell: str) -> float:
    """Return the first number of a cell: where there are several, the median."""
    return float(cell.split(maxsplit=1)[0].replace(",", ""))


class TestWays:
    def test_of_one_kind_of_arrival_are_neighbours(self, tmp_path: Path) -> None:
        found = ways("both", (STAMPED, USER_SPACE), before=tmp_path)
        assert [way.name for way in found] == [
            *("native, stamped", "python, stamped", "before, stamped"),
            *("native, user space", "python, user space", "before, user space"),
        ]
        assert [way.checkout == ROOT for way in found] == [True, True, False] * 2

    def test_tell_loadgen_which_engine_unless_it_is_to_choose(self) -> None:
        assert Way(PYTHON, STAMPED).options == ("--engine", "python")
        assert Way(AUTO, STAMPED).options == ()
        assert "--timestamps" in Way(NATIVE, USER_SPACE).options


class TestLimit:
    NATIVE, PYTHON = Way(NATIVE, STAMPED), Way(PYTHON, STAMPED)
    BEFORE = Way(AUTO, STAMPED, Path("/elsewhere"))

    def measured(self, native_per_s: float = 150.0) -> Measured:
        costs = {
            self.NATIVE: [cost(native_per_s), cost(native_per_s)],
            self.PYTHON: [cost(75), cost(90)],
            self.BEFORE: [cost(100), cost(90)],
        }
        return Measured(Shape(100), [cost(100), cost(200), cost(100)], costs)

    def test_is_the_mean_of_the_c_client_before_and_after(self) -> None:
        assert self.measured(150.0).of_limit(self.NATIVE) == [1.0, 1.0]

    def test_has_the_noise_of_the_c_client_itself(self) -> None:
        assert self.measured().noise == [1.0, 2.0, 1.0]

    def test_is_told_beside_the_loadgen_before_of_the_same_round(self) -> None:
        measured = self.measured()
        assert measured.of_before(self.PYTHON) == [0.75, 1.0]
        assert measured.of_before(self.BEFORE) == []

    def test_is_an_aim_of_the_native_engine_and_before_of_both(self) -> None:
        judgements = judged(self.measured(native_per_s=100.0))
        assert [(one.aim, one.is_met) for one in judgements] == [
            ("100 connections, pipeline 1: native, stamped, of the C client: at least 0.88", False),
            ("100 connections, pipeline 1: native, stamped, of before: at least 1", True),
            ("100 connections, pipeline 1: python, stamped, of before: at least 1", False),
        ]

    def test_has_a_line_for_each_client(self) -> None:
        rows = [line.strip("| ").split(" | ") for line in table([self.measured()], True)[3:]]
        assert [(row[2], row[3], row[6], *row[7:]) for row in rows] == [
            ("C client", "100", "1.00 (1.00 to 2.00)"),
            ("native, stamped", "150", "1.00 (1.00 to 1.00)", "1.58 (1.50 to 1.67)"),
            ("python, stamped", "82", "0.55 (0.50 to 0.60)", "0.88 (0.75 to 1.00)"),
            ("before, stamped", "95", "0.63 (0.60 to 0.67)"),
        ]

    def test_is_measured_in_turn_with_another_checkout(self, tmp_path: Path) -> None:
        shutil.copytree(ROOT / "loadgen", tmp_path / "loadgen")
        words = ("-c", "2", "--duration", "1", "--before", os.fspath(tmp_path))
        rows = [cells for cells in printed("limit", *words) if cells[0] == "2"]
        found = {cells[2]: cells for cells in rows}
        assert set(found) == {
            *("C client", "stamped", "1 in 10", "user space"),
            *("before, stamped", "before, 1 in 10", "before, user space"),
        }
        for name, cells in found.items():
            assert number(cells[3]) > 0
            assert " to " in cells[6]
            assert bool(cells[7]) == (name in ("stamped", "1 in 10", "user space"))


class TestSchedule:
    def test_is_to_be_kept_by_the_native_engine(self) -> None:
        kept = Found(0.999, 79.0, 300.0, 900.0, 12.0, "valid")
        late = Found(0.7, 90_000.0, 1e5, 2e5, 20.0, "generator-bound")
        found = {Way(NATIVE, STAMPED): [kept, kept, late], Way(PYTHON, STAMPED): [late]}
        judgements = judged_schedule(found)
        assert [(one.found, one.is_met) for one in judgements] == [
            ("1.00 (0.70 to 1.00)", True),
            ("79.0 (79.0 to 90,000.0)", True),
        ]

    def test_is_told_with_how_late_messages_left(self) -> None:
        rows = printed("open_loop", "--rate", "200", "-c", "2", "--duration", "1")
        found = {cells[0]: cells for cells in rows if cells[0] in (STAMPED, USER_SPACE)}
        for way in (STAMPED, USER_SPACE):
            _, kept, p50_us, p99_us, max_us, cpu_us, verdict = found[way]
            assert 0 < number(kept) < 1.5
            assert 0 <= number(p50_us) <= number(p99_us)
            assert number(max_us) > 0
            assert number(cpu_us) >= 0  # the system may count it by the hundredth of a second
            assert verdict


class TestTurn:
    @pytest.mark.skipif(sys.platform != "linux", reason="the stub of the kernel is that of epoll")
    def test_of_each_engine_answers_every_message_of_every_kind(self) -> None:
        rows = printed("turn", "--replies", "--turns", "3")
        found = {(cells[0], cells[1]): cells for cells in rows if cells[1] in REPLIES}
        expected = {(PYTHON, form) for form in REPLIES} | {("the barest loop", "fixed")}
        for form in REPLIES.keys() - {"datagram"}:
            expected |= {("native", form), ("native, stamped", form)}
        assert set(found) == expected
        assert all(number(cells[2]) > 0 for cells in found.values())


class TestFootprint:
    def test_has_every_figure_beside_its_aim(self) -> None:
        words = ("-c", "20", "--duration", "1", "--engine", "python")
        rows = printed("footprint", *words)
        found = {cells[0]: number(cells[2]) for cells in rows if cells[1] == "python"}
        aims = [cells[0] for cells in rows if "at most" in cells[0]]
        assert len(found) == len(aims) == 5
        for what, value in found.items():
            assert any(what in aim for aim in aims)
            # Few connections, and little work, are less than the system counts in.
            assert value > 0 or "resident" in what or "CPU" in what
        for what in ("start-up", "CPU with nothing", "20 connections opened", "memory per"):
            assert any(what in name for name in found)


class TestJudging:
    def test_is_of_the_median(self) -> None:
        assert at_least("rate", 2.0, [1.0, 2.0, 9.0]).is_met
        assert not at_least("rate", 2.1, [1.0, 2.0, 9.0]).is_met
        assert at_most("lag", 2.0, [1.0, 2.0, 9.0], "us").is_met
        assert not at_most("lag", 1.9, [1.0, 2.0, 9.0], "us").is_met
