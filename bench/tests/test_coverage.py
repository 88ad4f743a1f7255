"""`python -m bench coverage`: what was counted, by package, and whether it is enough."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench import coverage


def file(lines: tuple[int, int], branches: tuple[int, int]) -> dict[str, Any]:
    """Return an entry of ``coverage json``: taken and all, of each kind."""
    names = ("covered_lines", "num_statements", "covered_branches", "num_branches")
    return {"summary": dict(zip(names, (*lines, *branches), strict=True))}


def judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: dict[str, Any]
) -> tuple[int, list[str]]:
    path = tmp_path / "coverage.json"
    path.write_text(json.dumps({"files": files}))
    code = coverage.main([str(path)])
    return code, capsys.readouterr().out.splitlines()


def test_a_package_holds_all_below_it_and_branches_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "reports/page.py": file((25, 25), (0, 0)),
        "reports/figures/panel.py": file((25, 25), (0, 0)),
        "loadgen/net/dialer.py": file((60, 60), (38, 40)),
        "loadgen/net/protocols/base.py": file((100, 100), (0, 0)),
        "loadgen/cli.py": file((9, 10), (0, 0)),
    }
    assert judged(tmp_path, capsys, files) == (
        0,
        [
            "  90.0 % of     10  loadgen",
            "  99.0 % of    200  loadgen/net",
            " 100.0 % of     50  reports",
            "  98.8 % of    260  in total",
        ],
    )


@pytest.mark.parametrize(
    ("net", "run", "faults"),
    [
        ((920, 1000), (850, 1000), ["88.5 % in total; it must be 92 % at least"]),
        ((9990, 10_000), (84, 100), ["84.0 % of loadgen/run; it must be 85 % at least"]),
        ((0, 0), (0, 0), ["nothing was measured: is `source_pkgs` in pyproject.toml right?"]),
        ((9200, 10_000), (920, 1000), []),
    ],
)
def test_too_little_in_total_or_in_one_package_is_a_failure(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    net: tuple[int, int],
    run: tuple[int, int],
    faults: list[str],
) -> None:
    files = {"loadgen/net/a.py": file(net, (0, 0)), "loadgen/run/b.py": file(run, (0, 0))}
    code, lines = judged(tmp_path, capsys, files)
    assert code == (1 if faults else 0)
    assert len(lines) == 3 + len(faults)
    for line, fault in zip(lines[3:], faults, strict=True):
        assert fault in line
