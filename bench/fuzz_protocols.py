"""Does any decoder fall over what a server sends, or say something else where it is cut elsewhere?

Makes streams out of pieces of all protocols, well-formed and not, as hypothesis draws them, and
feeds each to the decoder of every framing: whole, byte by byte, and in pieces; alone, and below
what compares replies or keeps them. Where one raises anything but that the bytes do not fit, goes
on for ever, or says something else, hypothesis looks for the shortest stream with which it does,
and shows it. The test suite tries 40 streams with each.

    python -m bench fuzz_protocols --examples 20000
"""

import argparse
import importlib
import random
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, seed, settings

from bench.yardstick import ROOT


def main(arguments: Sequence[str] | None = None) -> int:
    """Try so many streams with each framing; return 1 if any fell over, otherwise 0."""
    parser = argparse.ArgumentParser(
        prog="python -m bench fuzz_protocols",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--examples", type=int, default=1000, help="how many for each (1000)")
    parser.add_argument("--seed", type=int, metavar="N", help="draw those of this seed again")
    parser.add_argument("--reply", metavar="FORM", help="only this framing, or one of your own")
    chosen = parser.parse_args(arguments)
    number = random.randrange(2**32) if chosen.seed is None else chosen.seed
    sys.path.insert(0, str(ROOT / "tests" / "fakes"))
    fuzz: Any = importlib.import_module("protocol_fuzz")
    found = dict(fuzz.framings())
    if chosen.reply is not None:
        found = {chosen.reply: found.get(chosen.reply) or fuzz.named(chosen.reply)}
    fell_over = [
        name for name, framing in found.items() if not _survives(fuzz, framing, number, chosen)
    ]
    print(f"{chosen.examples} streams (seed {number}) for each of {', '.join(found)}")
    print(f"fell over: {', '.join(fell_over) or 'none'}")
    return 1 if fell_over else 0


def _survives(fuzz: Any, framing: Any, number: int, chosen: argparse.Namespace) -> bool:
    check: Any = importlib.import_module("loadgen.testing").check_bytes

    @seed(number)
    @settings(
        max_examples=chosen.examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(stream=fuzz.STREAMS, places=fuzz.PLACES)
    def read(stream: bytes, places: list[int]) -> None:
        for _, each in fuzz.variants(framing):
            check(each, stream, places, fuzz.MESSAGES)

    try:
        read()
    except Exception:  # noqa: BLE001 - whatever it is, it is what is looked for
        print(traceback.format_exc(), flush=True)
        return False
    return True
