"""What is said of the cells together."""

from bench.fidelity import Judged


def test_percentiles_too_far_off_are_counted_and_their_cells_named() -> None:
    judged = Judged("busy")
    judged.add("delay 200 x100 closed", [(50, 3_000, True), (99, -9_000, True)])
    judged.add("delay 200 x1000 closed", [(50, -4_000, True), (99, 40_000, False)])
    judged.add("fifo 28 x1 1,000", [(50, 50_000, False), (90, 60_000, False)])
    assert str(judged) == (
        "busy cells: 3 of 6 percentiles; p50 off by 3.0 us in the median cell, 50.0 at most; "
        "MISSED: delay 200 x1000 closed (p99); fifo 28 x1 1,000 (p50, p90)"
    )
    assert len(judged.missed) == 3


def test_of_no_cells_nothing_is_missed() -> None:
    judged = Judged("idle")
    assert str(judged) == "idle cells: 0 of 0 percentiles"
    assert not judged.missed


def test_what_is_within_the_aim_has_no_names() -> None:
    judged = Judged("idle")
    judged.add("delay 200 x1 1,000", [(50, -20_000, True)])
    assert str(judged) == (
        "idle cells: 1 of 1 percentiles; p50 off by -20.0 us in the median cell, -20.0 at most"
    )
