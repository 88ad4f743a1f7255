"""A user's test suite, run by pytest in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Final, NamedTuple

TIMEOUT_S: Final = 45.0


class Suite(NamedTuple):
    """What became of a suite."""

    code: int
    output: str

    def section(self, test: str) -> str:
        """Return what the report says of the failure of ``test``, which must have failed."""
        _, heading, rest = self.output.partition(f"_ {test} _")
        assert heading, f"{test} has not failed:\n{self.output}"
        return rest.partition("\n____")[0].partition("\n====")[0]


def run_suite(
    folder: Path, source: str, *options: str, plugins: tuple[str, ...] = ("loadgen.pytest_plugin",)
) -> Suite:
    """Write ``source`` into a test file in ``folder`` and let pytest run it; warnings are errors.

    It has ``plugins`` and no others.
    """
    (folder / "test_suite.py").write_text(dedent(source))
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    done = run_pytest(folder, plugins, *options)
    return Suite(done.returncode, done.stdout)


def run_pytest(
    folder: Path, plugins: tuple[str, ...], *words: str
) -> subprocess.CompletedProcess[str]:
    """Run pytest in ``folder`` with ``plugins`` and no others, whatever else is installed."""
    named = [word for plugin in plugins for word in ("-p", plugin)]
    ours = {name: it for name, it in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *named, "-p", "no:cacheprovider", *words],
        cwd=folder,
        env={**ours, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
