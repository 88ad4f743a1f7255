"""Does anything that reads records fall over a damaged one?

Damages records in one place to three, and lets `report`, `report list`, `compare`, the HdrHistogram
log and the merge of several workers' records read each. What falls over is shown with its traceback
and its seed; ``--first SEED --examples 1`` repeats it. The test suite reads the first 500.

    python -m bench fuzz_records --examples 20000
"""

import argparse
import importlib
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.yardstick import ROOT


def main(arguments: Sequence[str] | None = None) -> int:
    """Read so many damaged records; return 1 if anything fell over, otherwise 0."""
    parser = argparse.ArgumentParser(
        prog="python -m bench fuzz_records",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--examples", type=int, default=2000, help="how many (2000)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first seed (0)")
    parser.add_argument(
        "--draw-every", type=int, default=20, metavar="N", help="make every so many-th page (20)"
    )
    chosen = parser.parse_args(arguments)
    hostile = _hostile_records()
    fallen = 0
    with tempfile.TemporaryDirectory(prefix="loadgen-fuzz-") as folder:
        for seed in range(chosen.first, chosen.first + chosen.examples):
            try:
                hostile.check(hostile.mutation(seed), Path(folder), seed % chosen.draw_every == 0)
            except Exception:  # noqa: BLE001 - whatever it is, it is what is looked for
                fallen += 1
                print(f"seed {seed}:\n{traceback.format_exc()}", flush=True)
    print(f"{chosen.examples} damaged records, {fallen} of which something fell over")
    return 1 if fallen else 0


def _hostile_records() -> Any:
    """Return the module of the tests that makes them."""
    sys.path.insert(0, str(ROOT / "tests"))
    return importlib.import_module("hostile_records")
