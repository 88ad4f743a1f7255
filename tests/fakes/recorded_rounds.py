"""Rounds of real servers, recorded: two that are the same, and one that is a tenth slower.

Made on a shared machine with two cores by

    python tests/fakes/recorded_rounds.py identical 0 0 0
    python tests/fakes/recorded_rounds.py slower 20 5ms 5.51ms

(a name, connections or 0 for 50, the delays of the two servers). A delay of 5 ms takes 5.1 ms.
"""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from loadgen.analysis.compare.reading import read
from loadgen.analysis.compare.rounds import Kind, Rounds
from loadgen.runner.commands.alternating import CommandTemplate, Series, run_in_turn
from loadgen.server.embedded import EmbeddedServer

FOLDER = Path(__file__).parents[1] / "recorded"
PAIRS = 60


def recorded(name: str) -> tuple[Rounds, Rounds]:
    """Return both sides of a recording: as many neighbours as were recorded."""
    base, head = json.loads((FOLDER / f"{name}.json").read_text())
    return _thawed(base), _thawed(head)


def some_of(rounds: Rounds, picked: list[int]) -> Rounds:
    """Return the rounds at the places ``picked``."""
    return replace(
        rounds,
        taken_at=tuple(rounds.taken_at[place] for place in picked),
        figures={
            name: [values[place] for place in picked] for name, values in rounds.figures.items()
        },
    )


def _thawed(side: dict[str, Any]) -> Rounds:
    return Rounds(
        label=side["label"],
        taken_at=tuple(side["taken_at"]),
        kinds={name: Kind(*kind) for name, kind in side["kinds"].items()},
        figures=side["figures"],
    )


def _frozen(side: Rounds, label: str) -> dict[str, Any]:
    return {
        "label": label,
        "taken_at": side.taken_at,
        "kinds": {name: (kind.title, kind.unit) for name, kind in side.kinds.items()},
        "figures": {
            name: [float(f"{value:.4g}") for value in values]
            for name, values in side.figures.items()
        },
    }


def _record(name: str, connections: int, delays: list[str]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedServer(("--delay", delays[0])) as base,
        EmbeddedServer(("--delay", delays[1])) as head,
    ):
        base_run, head_run = (
            CommandTemplate.parse(
                f"{sys.executable} -m loadgen {server.address} -c {connections} -d 1s "
                "--json {out} --quiet"
            )
            for server in (base, head)
        )
        for side in "AB":
            (Path(folder) / side).mkdir()
        series = Series(PAIRS, Path(folder), longest_s=60)
        for run in run_in_turn({"A": base_run, "B": head_run}, series, print):
            assert run.code == 0, run
        sides = [
            _frozen(read(side, Path(folder) / side), f"delay {delay}")
            for side, delay in zip("AB", delays, strict=True)
        ]
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(sides) + "\n")


if __name__ == "__main__":
    _record(sys.argv[1], int(sys.argv[2]) or 50, sys.argv[3:])
