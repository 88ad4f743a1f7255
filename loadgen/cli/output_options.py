"""Options of ``loadgen run``: files to write, and text on the terminal."""

import argparse
from typing import Any, Final

from loadgen.cli import parser, report
from loadgen.errors import UsageError
from loadgen.files import output_places
from loadgen.files.output_places import STDOUT, Named
from loadgen.results import hdr_log

_FILES: Final = {
    "json": "--json",
    "connections_csv": "--connections-csv",
    "hdr_log": "--hdr-log",
}


def add_output(group: Any) -> None:
    """Add the options of output."""
    group.add_argument(
        "--json",
        type=parser.output_file,
        metavar="FILE",
        help="write the whole record as JSON; - is standard output",
    )
    group.add_argument(
        "--connections-csv",
        type=parser.output_file,
        metavar="FILE",
        help="write a CSV file with a line for each connection; - is standard output",
    )
    group.add_argument(
        "--hdr-log",
        type=parser.output_file,
        metavar="FILE",
        help="write the latency of each second as an HdrHistogram log; - is standard output",
    )
    group.add_argument(
        "--report",
        type=parser.output_folder,
        metavar="FOLDER",
        help="write a page with figures of the run, FOLDER/index.html (`loadgen report --help`)",
    )
    group.add_argument(
        "--redact",
        action="store_true",
        help="keep only length and digest of payloads, of the names of their files and of the "
        "first message, in the record and in all that is made of it",
    )
    group.add_argument(
        "-q", "--quiet", action="store_true", help="no live progress (a pipe never gets any)"
    )
    group.add_argument(
        "-v", "--verbose", action="store_true", help="log events of connections to standard error"
    )
    group.add_argument(
        "--dump-one", action="store_true", help="show the bytes of one connection on standard error"
    )


def check_files(chosen: argparse.Namespace, read: list[Named]) -> None:
    """Raise UsageError if any of the outputs cannot be written.

    read: the files that the run reads, which no output may overwrite.
    """
    written: list[Named] = [(option, getattr(chosen, name)) for name, option in _FILES.items()]
    page: list[Named] = []
    if chosen.report is not None:
        made = (
            output_places.within(chosen.report, report.PAGE),
            *output_places.to_be_made(chosen.report),
        )
        page = [("--report", each) for each in made]
    if chosen.redact and chosen.dump_one:
        raise UsageError("--dump-one shows the bytes that --redact hides; give one of them")
    output_places.check_apart([*written, *page], read)
    if chosen.hdr_log is not None:
        hdr_log.require("--hdr-log")
    for option, path in written:
        if path is not None:
            output_places.check_can_be_written(option, path)
    if chosen.report is not None:
        output_places.check_folder("--report", chosen.report, report.PAGE)
        report.require("--report")


def takes_stdout(chosen: argparse.Namespace) -> bool:
    """Return whether a file goes to standard output, so that text goes to standard error."""
    return any(getattr(chosen, name) == STDOUT for name in _FILES)
