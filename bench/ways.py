"""Ways to run loadgen that are measured beside each other: which engine, how arrivals are told."""

import argparse
from collections.abc import Sequence
from typing import Final

STAMPED: Final = "stamped"
SAMPLED: Final = "1 in 10"
USER_SPACE: Final = "user space"
ARRIVALS: Final[dict[str, tuple[str, ...]]] = {
    STAMPED: (),
    SAMPLED: ("--timestamp-sample", "10"),
    USER_SPACE: ("--timestamps", "user", "--no-probe"),
}
"""loadgen with the kernel's time of arrival for every reply, for some, for none."""

AUTO: Final = "auto"
NATIVE: Final = "native"
PYTHON: Final = "python"
_BOTH: Final = "both"


def add_engine_option(parser: argparse.ArgumentParser, default: str = AUTO) -> None:
    """Add ``--engine``, whose value `engines` takes apart."""
    parser.add_argument(
        "--engine",
        choices=(AUTO, NATIVE, PYTHON, _BOTH),
        default=default,
        help=f"loadgen's: its own choice, one of the two, or both ({default})",
    )


def engines(chosen: str) -> tuple[str, ...]:
    """Return the engines that ``chosen``, a value of ``--engine``, stands for."""
    return (NATIVE, PYTHON) if chosen == _BOTH else (chosen,)


def engine_options(engine: str) -> tuple[str, ...]:
    """Return what loadgen is told so that it takes that engine; nothing where it is to choose."""
    return () if engine == AUTO else ("--engine", engine)


def ways(chosen: str, arrivals: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the options of loadgen by the name of the way: each engine with each of ``arrivals``.

    The name says the engine where loadgen does not choose it.
    """
    return {
        arrival if engine == AUTO else f"{engine}, {arrival}": (
            *engine_options(engine),
            *ARRIVALS[arrival],
        )
        for engine in engines(chosen)
        for arrival in arrivals
    }
