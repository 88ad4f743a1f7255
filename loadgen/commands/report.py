"""The way to reports, which need libraries that a load does not."""

import importlib.util
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

from loadgen.errors import UsageError
from loadgen.record import RunRecord

PAGE: Final = "index.html"
"""What the page is called in its folder."""

_LIBRARIES: Final = ("matplotlib", "jinja2")


def main(arguments: list[str]) -> int:
    """Run ``loadgen report``; return the exit code. Raises UsageError."""
    code: int = _module("cli", "loadgen report").main(arguments)
    return code


def require(option: str) -> None:
    """Raise UsageError, which names ``option``, if the libraries are not installed."""
    for name in _LIBRARIES:
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"{option} draws with {name}: pip install 'loadgen[report]'")


def write(record: RunRecord, file: Path | None, out: Path) -> None:
    """Write the page of a run into ``out``; the record is kept in ``file``, or within the page.

    Raises UsageError.
    """
    write_module = _module("write", "--report")
    link = "" if file is None else write_module.relative(file, out)
    run = _module("page", "--report").Run("run" if file is None else file.stem, record, link)
    write_module.write_report([run], out)


def _module(name: str, option: str) -> ModuleType:
    require(option)
    return import_module(f"reports.{name}")
