"""Options of ``loadgen run``: files to write, and text on the terminal."""

import argparse
from typing import Final

from loadgen.cli import parser, report
from loadgen.errors import UsageError
from loadgen.files import output_places
from loadgen.files.output_places import STDOUT, Named
from loadgen.plan.kinds import YES
from loadgen.plan.options import Kind, Option, fields_in
from loadgen.plan.plan import OUTPUT
from loadgen.results import hdr_log

_FILES: Final = {"json": "--json", "connections_csv": "--connections-csv", "hdr_log": "--hdr-log"}


_FILE: Final = Kind("FILE", parser.output_file)

FIELDS: Final = fields_in(
    OUTPUT,
    Option("--json", _FILE, "write the whole record as JSON; - is standard output"),
    Option(
        "--connections-csv",
        _FILE,
        "write a CSV file with a line for each connection; - is standard output",
    ),
    Option(
        "--hdr-log",
        _FILE,
        "write the latency of each second as an HdrHistogram log; - is standard output (needs "
        "`pip install 'loadgen[hdr]'`)",
    ),
    Option(
        "--report",
        Kind("FOLDER", parser.output_folder),
        "write a page with figures of the run, FOLDER/index.html (`loadgen report --help`; needs "
        "`pip install 'loadgen[report]'`)",
    ),
    Option("-q/--quiet", YES, "no live progress (a pipe never gets any)"),
    Option("-v/--verbose", YES, "log events of connections to standard error"),
    Option("--dump-one", YES, "show the bytes of one connection on standard error"),
)
"""The options of output, beside ``--redact`` of the plan."""


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
