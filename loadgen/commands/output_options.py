"""The options of ``loadgen run`` that say what is written where."""

import argparse
import os
from pathlib import Path
from typing import Any, Final

from loadgen import hdr_log
from loadgen.commands import options, outputs, report
from loadgen.errors import UsageError

_FILES: Final = {
    "json": "--json",
    "connections_csv": "--connections-csv",
    "hdr_log": "--hdr-log",
}


def add_output(group: Any) -> None:
    """Add them."""
    group.add_argument(
        "--json",
        type=options.output_file,
        metavar="FILE",
        help="write the whole record there; - is standard output",
    )
    group.add_argument(
        "--connections-csv",
        type=options.output_file,
        metavar="FILE",
        help="write a line for each connection there; - is standard output",
    )
    group.add_argument(
        "--hdr-log",
        type=options.output_file,
        metavar="FILE",
        help="write the latency of each second there as an HdrHistogram log; - is standard output",
    )
    group.add_argument(
        "--report",
        type=options.output_folder,
        metavar="FOLDER",
        help="make a page with figures of the run, FOLDER/index.html (`loadgen report --help`)",
    )
    group.add_argument(
        "-q", "--quiet", action="store_true", help="no live progress (there is none in a pipe)"
    )
    group.add_argument(
        "-v", "--verbose", action="store_true", help="log each connection's life to standard error"
    )
    group.add_argument(
        "--dump-one", action="store_true", help="show the bytes of one connection on standard error"
    )


def check_files(chosen: argparse.Namespace) -> None:
    """Raise UsageError if two options name one file, or one cannot be written at all."""
    paths = {option: getattr(chosen, name) for name, option in _FILES.items()}
    if chosen.report is not None:
        paths["--report"] = chosen.report / report.PAGE
    outputs.check_apart(paths)
    if chosen.hdr_log is not None:
        hdr_log.require("--hdr-log")
    if chosen.report is not None:
        report.require("--report")
        _check_can_be_made(chosen.report)


def _check_can_be_made(folder: Path) -> None:
    """Raise UsageError if ``folder`` cannot be made, or written to: a run would be for nothing."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not there.is_dir():
        raise UsageError(f"--report {folder}: {there} is a file; name a folder, or a new one")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"--report {folder}: {there} may not be written to; name another folder")


def takes_stdout(chosen: argparse.Namespace) -> bool:
    """Return whether a file goes to standard output, so that the words for people step aside."""
    return any(getattr(chosen, name) == Path("-") for name in _FILES)
