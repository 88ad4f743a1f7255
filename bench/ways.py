"""Ways to run loadgen that are measured beside each other: which engine, how arrivals are told."""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bench.yardstick import ROOT

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


@dataclass(frozen=True)
class Way:
    """A loadgen with one engine that tells arrivals in one way; ``checkout`` is where it is."""

    engine: str
    arrivals: str
    checkout: Path = ROOT

    @property
    def is_before(self) -> bool:
        """Whether it is another loadgen than this one."""
        return self.checkout != ROOT

    @property
    def name(self) -> str:
        """What it is called in tables."""
        engine = "before" if self.is_before else self.engine
        return self.arrivals if engine == AUTO else f"{engine}, {self.arrivals}"

    @property
    def options(self) -> tuple[str, ...]:
        """What loadgen is told."""
        return *engine_options(self.engine), *ARRIVALS[self.arrivals]


def ways(chosen: str, arrivals: Iterable[str], before: Path | None = None) -> list[Way]:
    """Return each of ``arrivals`` with each engine of ``chosen``, a value of ``--engine``.

    Those that tell arrivals alike are neighbours; the last of them is the loadgen ``before``, which
    chooses its engine itself.
    """
    sides = [Way(engine, "") for engine in engines(chosen)]
    if before is not None:
        sides.append(Way(AUTO, "", before.resolve()))
    return [replace(side, arrivals=each) for each in arrivals for side in sides]
