"""Are enough of the branches of loadgen tested, in total and in each package?

    python -m bench coverage .coverage.json     # as `make coverage` does after the tests

A package is a directory of loadgen, with all below it, loadgen's own modules, or reports.
The share is coverage.py's own: statements and branches that were taken, of all that there are.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final

TOTAL_PERCENT: Final = 92.0
PACKAGE_PERCENT: Final = 85.0


@dataclass(frozen=True)
class Share:
    """How many statements and branches were ``taken``, of all that there are."""

    taken: int = 0
    all: int = 0

    def __add__(self, other: "Share") -> "Share":
        return Share(self.taken + other.taken, self.all + other.all)

    @property
    def percent(self) -> float:
        """100 where there is nothing to take."""
        return 100 * self.taken / self.all if self.all else 100.0


def packages(report: Mapping[str, Any]) -> dict[str, Share]:
    """Return the share of each package in a report of ``coverage json``, by its name."""
    found: defaultdict[str, Share] = defaultdict(Share)
    for file, entry in report["files"].items():
        counts = entry["summary"]
        parts = PurePath(file).parent.parts
        found["/".join(parts[: 2 if parts[0] == "loadgen" else 1])] += Share(
            counts["covered_lines"] + counts["covered_branches"],
            counts["num_statements"] + counts["num_branches"],
        )
    return dict(sorted(found.items()))


def too_low(found: Mapping[str, Share]) -> Iterator[str]:
    """Yield a line for each share that is lower than it must be; one if nothing was measured."""
    total = sum(found.values(), Share())
    if not total.all:
        yield "nothing was measured: is `source_pkgs` in pyproject.toml right?"
    elif total.percent < TOTAL_PERCENT:
        yield f"{total.percent:.1f} % in total; it must be {TOTAL_PERCENT:g} % at least"
    for name, share in found.items():
        if share.percent < PACKAGE_PERCENT:
            yield f"{share.percent:.1f} % of {name}; it must be {PACKAGE_PERCENT:g} % at least"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the share of each package and the total; return 1 where one of them is too low."""
    parser = argparse.ArgumentParser(
        "python -m bench coverage", description=__doc__.splitlines()[0]
    )
    parser.add_argument("report", type=Path, help="what `coverage json` or pytest-cov has written")
    found = packages(json.loads(parser.parse_args(arguments).report.read_text(encoding="utf-8")))
    for name, share in {**found, "in total": sum(found.values(), Share())}.items():
        print(f"{share.percent:6.1f} % of {share.all:6}  {name}")
    faults = list(too_low(found))
    for fault in faults:
        print(f"coverage is too low: {fault}")
    return 1 if faults else 0
