"""The rules of the house beside `loadgen/`: what reports read, and that nobody below reads them."""

import ast
from pathlib import Path
from typing import Final

import pytest
from test_architecture import PACKAGE, TREES, imports

REPORTS: Final = PACKAGE.parent / "reports"
FILES: Final = sorted(REPORTS.rglob("*.py"))

# What was found, what follows from it, and the words for it; no run, no core but the histogram.
MAY_READ: Final = (
    *("record", "evidence", "distribution", "core.histogram", "schedule", "units", "plan"),
    *("health", "shortfall", "doubts", "time_figure", "compare", "summary", "summary_times"),
    *("payload", "errors", "files", "names", "encoded", "intervals", "columns", "packed_times"),
    "commands.places",  # no figure replaces a record that it was made of
)
COMMAND: Final = ("cli", "commands.options", "terminal")
"""What the command reads, too, by which people reach the reports."""


def is_allowed(name: str, path: Path) -> bool:
    readable = (*MAY_READ, *COMMAND) if path.name in ("cli.py", "__main__.py") else MAY_READ
    return any(name == allowed or name.startswith(f"{allowed}.") for allowed in readable)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPORTS)))
def test_reports_read_findings_and_nothing_else(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    read = [name.partition(".") for name in imports(tree)]
    of_loadgen = [inner for package, _, inner in read if package == "loadgen"]
    assert [name for name in of_loadgen if not is_allowed(name, path)] == []
    assert len(path.read_text(encoding="utf-8").splitlines()) < 400


def test_nothing_below_reads_reports_or_draws() -> None:
    above = {"reports", "matplotlib", "jinja2"}
    users = [
        module
        for module, tree in TREES.items()
        if above & {name.partition(".")[0] for name in imports(tree)}
    ]
    assert users == []
