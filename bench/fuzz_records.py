"""Does anything that reads records fall over a damaged one?

Damages records of several kinds in one place to three, as hypothesis draws it from their schema,
and lets `report list`, `compare`, the HdrHistogram log and the merge of several workers' records
read each, and `report` some. Where one falls over, hypothesis looks for the least damage that it
falls over, and shows it with the traceback; the damaged record is kept, and named. The test suite
reads 500.

    python -m bench fuzz_records --examples 20000
"""

import argparse
import importlib
import random
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import given, seed, settings

from bench.yardstick import ROOT


def main(arguments: Sequence[str] | None = None) -> int:
    """Read so many damaged records; return 1 if anything fell over, otherwise 0."""
    parser = argparse.ArgumentParser(
        prog="python -m bench fuzz_records",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--examples", type=int, default=2000, help="how many (2000)")
    parser.add_argument("--seed", type=int, metavar="N", help="draw those of this seed again")
    parser.add_argument(
        "--draw-every", type=int, default=100, metavar="N", help="make a page of 1 in N (100)"
    )
    chosen = parser.parse_args(arguments)
    number = random.randrange(2**32) if chosen.seed is None else chosen.seed
    sys.path.insert(0, str(ROOT / "tests"))
    folder = Path(tempfile.mkdtemp(prefix="loadgen-fuzz-"))
    try:
        _read(folder, chosen.examples, number, chosen.draw_every)
    except Exception:  # noqa: BLE001 - whatever it is, it is what is looked for
        print(f"{traceback.format_exc()}\nseed {number}; the record is in {folder}", flush=True)
        return 1
    shutil.rmtree(folder)
    print(f"{chosen.examples} damaged records (seed {number}); nothing fell over")
    return 0


def _read(folder: Path, examples: int, number: int, draw_every: int) -> None:
    """Let all that reads records read so many. Raises whatever one of them raised."""
    hostile: Any = importlib.import_module("hostile_records")
    damage: Any = importlib.import_module("record_damage")

    @seed(number)
    @settings(hostile.SETTINGS, max_examples=examples)
    @given(record=damage.damaged(hostile.STARTS))
    def read(record: Any) -> None:
        hostile.check(record, folder, draws=hostile.is_drawn(record, draw_every))

    read()
