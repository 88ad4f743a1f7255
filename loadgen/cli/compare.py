"""``loadgen compare``: is B slower than A, by more than noise?"""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from loadgen.analysis.compare import gates, reading
from loadgen.analysis.compare.comparison import (
    DEFAULT_LEVEL,
    DEFAULT_MARGIN,
    Terms,
    compare,
)
from loadgen.analysis.compare.rounds import Rounds
from loadgen.analysis.compare.text import lines, markdown
from loadgen.cli import compare_runs
from loadgen.cli import parser as cli_parser
from loadgen.cli.compare_runs import DEFAULT_ROUNDS, LONGEST_S
from loadgen.cli.output_files import Attempts, Output
from loadgen.cli.terminal import print_lines
from loadgen.errors import UsageError
from loadgen.files import output_places
from loadgen.files.output_places import STDOUT
from loadgen.runner.commands.alternating import CommandTemplate
from loadgen.text import escaped, quoted, utf_8
from loadgen.units import NUMBER

OK: Final = 0
GATE_FAILED: Final = 1
UNDECIDED: Final = 4

_PERCENT: Final = re.compile(NUMBER + r"\s*%?")

_USAGE: Final = """\
loadgen compare A B [options]
       loadgen compare --run COMMAND_A --run COMMAND_B [options]"""

_DESCRIPTION: Final = """\
Is B slower than A? Each is a file or a folder of records, several rounds of each
(`loadgen --json`, or pytest-benchmark's files), or a command that makes them: those
are run in turn, A B B A. For each figure: slower, faster, same, or inconclusive."""

_EPILOG: Final = """\
examples:
  loadgen compare base/ head/                     # folders, a record for each round
  loadgen compare base.json head.json --fail-on 'p99>5%' --fail-on 'errors>0.1%'
  loadgen compare --run 'loadgen :9001 -d 5s --json {out}' \\
                  --run 'loadgen :9002 -d 5s --json {out}' --rounds 10 --keep rounds
  loadgen compare --run 'old/bin/pytest bench --benchmark-json {out}' \\
                  --run 'new/bin/pytest bench --benchmark-json {out}' --fail-on 'time>5%'

figures for --fail-on: messages_per_s (without rejected ones; also succeeded_per_s),
errors, service_p50, service_p99, service_p999, response_p50 and so on (open loop), p50,
p99, p999 (of response time in an open loop, otherwise service time), connect_p99,
cpu_per_message; of pytest-benchmark the names of the benchmarks, or time for all of them.

A file of a folder that cannot be read is left out, and the comparison names it.

exit codes: 0 compared, 1 a --fail-on is broken: by more than it allows, and noise is
excluded, 2 usage, or unlike records, 4 with --strict a --fail-on could not be decided,
130 interrupted, 143 and 129 ended by SIGTERM or SIGHUP."""


def main(arguments: list[str]) -> int:
    """Run the command; return the exit code."""
    chosen = new_parser().parse_args(arguments)
    if chosen.strict and not chosen.gates:
        raise UsageError("--strict is about --fail-on; say what to fail on")
    written = [("--json", chosen.json), ("--markdown", chosen.markdown)]
    kept = [] if chosen.keep is None else [chosen.keep, chosen.keep / "A", chosen.keep / "B"]
    read = [*_all_in(chosen.files), *compare_runs.files_named(chosen.commands)]
    output_places.check_apart([*written, *(("--keep", folder) for folder in kept)])
    output_places.check(written, [("", file) for file in read])
    _check_outside(written, [*chosen.files, *kept[1:]])
    terms = Terms(tuple(chosen.gates), chosen.level, chosen.margin, also_unlike=chosen.force)
    base, head = compare_runs.made(chosen, terms) if chosen.commands else _kept(chosen)
    comparison = compare(base, head, terms)
    text_stream = sys.stderr if STDOUT in (chosen.json, chosen.markdown) else sys.stdout
    with Attempts() as attempts:
        outputs = (
            Output("--json", chosen.json, comparison.to_json),
            Output("--markdown", chosen.markdown, lambda: utf_8(markdown(comparison))),
        )
        attempts.write(*sorted(outputs, key=lambda each: each.path == STDOUT))
        attempts.make(print_lines, lines(comparison), text_stream)
    outcomes = {gate.outcome for gate in comparison.gates}
    if "failed" in outcomes:
        return GATE_FAILED
    return UNDECIDED if chosen.strict and "inconclusive" in outcomes else OK


def new_parser() -> cli_parser.Parser:
    """Return the parser of ``loadgen compare``."""
    parser = cli_parser.new_parser("compare", _DESCRIPTION, _EPILOG)
    parser.usage = _USAGE
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="A B",
        help="records of A and of B: a file each, or a folder with a .json file for each round",
    )
    _add_runs(parser.add_argument_group("commands instead of records"))
    _add_judgement(parser.add_argument_group("judgement"))
    output = parser.add_argument_group("output")
    output.add_argument(
        "--markdown",
        type=cli_parser.output_file,
        metavar="FILE",
        help="write the comparison as Markdown, for a pull request's comment; - is standard output",
    )
    output.add_argument(
        "--redact",
        action="store_true",
        help="show only length and digest of commands, and of the payloads of records",
    )
    output.add_argument(
        "--json",
        type=cli_parser.output_file,
        metavar="FILE",
        help="write the comparison as JSON; - is standard output",
    )
    return parser


def _add_runs(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--run",
        dest="commands",
        action="append",
        default=[],
        metavar="COMMAND",
        type=CommandTemplate.parse,
        help="a command that makes a round; give it twice, for A and B; {out} in it becomes the "
        "file that it must write its JSON to",
    )
    group.add_argument(
        "--rounds",
        type=cli_parser.count,
        metavar="N",
        help=f"how often to run each command (default {DEFAULT_ROUNDS})",
    )
    group.add_argument(
        "--run-timeout",
        dest="longest_s",
        type=cli_parser.duration_s,
        metavar="TIME",
        help=f"the longest time of one run (default {LONGEST_S:g}s)",
    )
    group.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="keep the records in FOLDER, for `loadgen compare FOLDER/A FOLDER/B`",
    )
    group.add_argument("-q", "--quiet", action="store_true", help="print no line for each run")


def _add_judgement(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--fail-on",
        dest="gates",
        action="append",
        default=[],
        metavar="FIGURE>PERCENT",
        type=gates.parse,
        help="exit with 1 if B is worse than A by more, and noise is excluded; repeatable",
    )
    group.add_argument(
        "--strict", action="store_true", help="exit with 4 if a --fail-on is undecided"
    )
    group.add_argument(
        "--same-within",
        dest="margin",
        type=_percent,
        default=DEFAULT_MARGIN,
        metavar="PERCENT",
        help=f"the largest change that counts as the same (default {100 * DEFAULT_MARGIN:g}%%)",
    )
    group.add_argument(
        "--confidence",
        dest="level",
        type=_percent,
        default=DEFAULT_LEVEL,
        metavar="PERCENT",
        help=f"confidence level of all intervals together (default {100 * DEFAULT_LEVEL:g}%%)",
    )
    group.add_argument(
        "--force",
        action="store_true",
        help="compare records of different loads, and say what differs",
    )


def _percent(text: str) -> float:
    match = _PERCENT.fullmatch(text.strip())
    if match is None or not 0 < float(match[1]) < 100:
        raise argparse.ArgumentTypeError(
            f"{quoted(text)} is not accepted; write a percentage such as 5%, above 0 and below 100"
        )
    return float(match[1]) / 100


# ---- what is compared ---------------------------------------------------------------------


def _kept(chosen: argparse.Namespace) -> tuple[Rounds, Rounds]:
    """Return both sides as read from files. Raises UsageError."""
    base, head = _two_files(chosen)
    return (
        reading.read(escaped(str(base)), base, redact=chosen.redact),
        reading.read(escaped(str(head)), head, redact=chosen.redact),
    )


def _two_files(chosen: argparse.Namespace) -> tuple[Path, Path]:
    for option, value in (
        ("--rounds", chosen.rounds),
        ("--keep", chosen.keep),
        ("--run-timeout", chosen.longest_s),
    ):
        if value is not None:
            raise UsageError(f"{option} is about commands that are run; give --run twice")
    if len(chosen.files) != 2:
        raise UsageError(
            f"{len(chosen.files)} files or folders given; two are compared, several rounds of each "
            "in one file or one folder (or give --run twice)"
        )
    base, head = chosen.files
    if base == head == Path("-"):
        raise UsageError("- and -: both cannot come from standard input")
    return base, head


def _check_outside(written: Iterable[tuple[str, Path | None]], read: Iterable[Path]) -> None:
    """Raise UsageError if a record would be written into a folder whose records are compared."""
    folders = [folder for folder in read if folder.is_dir()]
    for option, path in written:
        for folder in folders:
            if path is not None and path.suffix == ".json" and path.parent.samefile(folder):
                raise UsageError(
                    f"{option} {escaped(str(path))}: it would be one of the records of "
                    f"{escaped(str(folder))} the next time; name a file elsewhere"
                )


def _all_in(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files that are read for ``paths``, if they exist."""
    for path in paths:
        yield path
        if path.is_dir():
            yield from path.glob("*.json")
