"""``loadgen report``, which is also ``python -m reports``: runs become pages."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, get_args

from loadgen.analysis.compare import reading
from loadgen.analysis.compare.comparison import Terms, compare
from loadgen.analysis.compare.run_rounds import of_records
from loadgen.analysis.lines import Line
from loadgen.cli import parser as cli_parser
from loadgen.cli.terminal import print_lines
from loadgen.errors import UsageError
from loadgen.files import output_places
from loadgen.results.record import RunRecord, redacted_record
from loadgen.text import escaped
from reports import listing
from reports.figures.style import Format
from reports.page import Run
from reports.write import PAGE, Folder, labelled, relative, write_comparison, write_report

OK: Final = 0
OUT: Final = Path("report")
FORMATS: Final[tuple[Format, ...]] = get_args(Format)

_USAGE: Final = """\
loadgen report RECORD… [-o FOLDER] [--format svg,png,pdf]
       loadgen report compare A B [-o FOLDER] [--format svg,png,pdf]
       loadgen report list FOLDER"""

_DESCRIPTION: Final = """\
Make a page of what runs have found (`loadgen --json FILE`): FOLDER/index.html, which
holds its pictures, fetches nothing, and opens from a disk.

Of several records they are shown side by side, then one after the other. `compare`
sets two sides against each other, each a file or a folder with several rounds, with
the intervals and words of `loadgen compare`. `list` names the runs in a folder, the
newest first. `python -m reports` is the same command."""

_EPILOG: Final = """\
examples:
  loadgen localhost:9999 --json run.json && loadgen report run.json -o out
  loadgen localhost:9999 --report out             # in one go
  loadgen report epoll.json poll.json --format png
  loadgen report compare rounds/A rounds/B -o out
  loadgen report list results/

A file of a folder that holds no run is left out and named; one that is named itself
is an error, and so is a folder without a run.

exit codes: 0 done, 2 usage, or nothing that this version can read."""


def main(arguments: list[str]) -> int:
    """Run the command; return the exit code. Raises UsageError and RecordError."""
    match arguments[:1]:
        case ["compare"]:
            return _compare(arguments[1:])
        case ["list"]:
            return _list(arguments[1:])
    meaning = "a file with one run or several, or a folder of them; - is standard input"
    chosen = _new_parser("RECORD", "+", meaning).parse_args(arguments)
    folder = _folder(chosen)
    runs = runs_of(chosen.records, chosen.out)
    if chosen.redact:
        runs = [replace(run, record=redacted_record(run.record)) for run in runs]
    with reading.naming(chosen.records[0]):  # of several, nothing is left to be found damaged
        return _wrote(write_report(runs, folder, chosen.formats))


def runs_of(paths: Sequence[Path], out: Path) -> list[Run]:
    """Return the runs in the files ``paths``, as a page in ``out`` names them.

    Only of a single file are intervals not unpacked before they are drawn: if they are damaged, it
    is plain whose they are. Raises UsageError and RecordError.
    """
    is_single = len(paths) == 1 and not paths[0].is_dir()
    read_file = reading.records if is_single else reading.whole_records
    found = [each for path in paths for each in _found(path, read_file)]
    labels = labelled(
        ["run" if path == output_places.STDIN else escaped(path.stem) for path, _ in found]
    )
    return [
        Run(label, record, "" if path == output_places.STDIN else relative(path, out))
        for label, (path, record) in zip(labels, found, strict=True)
    ]


def _compare(arguments: list[str]) -> int:
    parser = _new_parser("A B", 2, "the rounds of each: a file, or a folder of files")
    parser.add_argument(
        "--force", action="store_true", help="compare what is not alike, and say what is not"
    )
    chosen = parser.parse_args(arguments)
    folder = _folder(chosen)
    sides = [_rounds(path) for path in chosen.records]
    if chosen.redact:
        sides = [list(map(redacted_record, side)) for side in sides]
    names = [escaped(str(path)) for path in chosen.records]
    base, head = (of_records(label, side) for label, side in zip(names, sides, strict=True))
    comparison = compare(base, head, Terms(also_unlike=chosen.force))
    return _wrote(write_comparison(comparison, (sides[0], sides[1]), folder, chosen.formats))


def _folder(chosen: argparse.Namespace) -> Folder:
    """Return where the report goes. Raises UsageError if it cannot, or would replace a record."""
    read = tuple(file for path in chosen.records for file in reading.files(path))
    output_places.check_apart(
        [("-o", output_places.within(chosen.out, PAGE))], [("", file) for file in read]
    )
    output_places.check_folder("-o", chosen.out, PAGE)
    return Folder(chosen.out, read)


def _wrote(page: Path) -> int:
    """Say where the page is."""
    print_lines([Line(str(page))], sys.stdout)
    return OK


def _rounds(path: Path) -> list[RunRecord]:
    found = _found(path, reading.whole_records)
    return sorted((record for _, record in found), key=lambda record: record.started_at)


def _list(arguments: list[str]) -> int:
    parser = cli_parser.new_parser("report list", "Name the runs in a folder, the newest first.")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where .json files are")
    folder = parser.parse_args(arguments).folder
    if not folder.is_dir():
        raise UsageError(f"{folder}: this is no folder")
    found, complaints = listing.find(folder)
    print_lines(listing.lines(found), sys.stdout)
    _name_left_out(complaints)
    return OK


def _name_left_out(complaints: Iterable[str]) -> None:
    """Say on standard error, in a line each, which files of a folder hold no run, and why."""
    print_lines([Line(f"left out: {each}", "faint") for each in complaints], sys.stderr)


def _found(
    path: Path, read_file: Callable[[Path], list[RunRecord]]
) -> list[tuple[Path, RunRecord]]:
    """Return the runs in the file or folder ``path``, and name what is left out of a folder."""
    found, complaints = reading.of_each(path, read_file)
    _name_left_out(complaints)
    return [(file, record) for file, records in found for record in records]


def _new_parser(records: str, number: int | str, meaning: str) -> cli_parser.Parser:
    parser = cli_parser.new_parser("report", _DESCRIPTION, _EPILOG)
    parser.usage = _USAGE
    parser.add_argument("records", nargs=number, type=Path, metavar=records, help=meaning)
    parser.add_argument(
        "-o",
        "--out",
        type=cli_parser.output_folder,
        default=OUT,
        metavar="FOLDER",
        help=f"where the page goes, index.html ({OUT}/); it is made if it is not there",
    )
    parser.add_argument(
        "--redact",
        action="store_true",
        help="show of payloads, names of their files and first message only length and digest; "
        "the records stay as they are",
    )
    parser.add_argument(
        "--format",
        dest="formats",
        type=formats,
        default=(),
        metavar="FORM[,FORM]",
        help=f"write the figures as files, too: {', '.join(FORMATS)}",
    )
    return parser


def formats(text: str) -> tuple[Format, ...]:
    """Return the forms that ``svg,png`` names. Raises argparse.ArgumentTypeError."""
    named = [part.strip() for part in text.split(",")]
    for name in named:
        if name not in FORMATS:
            raise argparse.ArgumentTypeError(
                f"{name!r} is not accepted; choose of {', '.join(FORMATS)}"
            )
    return tuple(form for form in FORMATS if form in named)
