"""``loadgen [run]``: carry out the load, print the summary, write files, choose the exit code."""

import argparse
import contextlib
import csv
import io
import logging
import socket
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TextIO

from loadgen.analysis.backends import Grid
from loadgen.analysis.summary import summarise
from loadgen.cli import output_options, report
from loadgen.cli.in_turn import grid_of
from loadgen.cli.output_files import Attempts, Output
from loadgen.cli.run_options import new_parser, plan_of, plan_of_each_run
from loadgen.cli.stopping import stopping_on_signals
from loadgen.files.output_places import STDOUT
from loadgen.net.dump import dumping_first
from loadgen.net.failure import Cause
from loadgen.plan import Plan
from loadgen.plan.payloads import PayloadQueue
from loadgen.results.hdr_log import to_hdr_log
from loadgen.results.record import FailureRecord, RunRecord
from loadgen.runner.run import UnreachableTargetError, run
from loadgen.runner.surroundings import Surroundings
from loadgen.text import readable, utf_8

if TYPE_CHECKING:
    from loadgen.cli.terminal import Announcer

OK: Final = 0
CHECK_FAILED: Final = 1
NOT_TRUSTED: Final = 4
INTERRUPTED: Final = 130

_UNTRUSTWORTHY: Final = ("generator-bound", "inconclusive")


def main(arguments: list[str]) -> int:
    """Run the command; return the exit code."""
    chosen = new_parser().parse_args(arguments)
    if chosen.version:
        _print_version(chosen.verbose)
        return OK
    grid = grid_of(chosen)
    plan = plan_of_each_run(chosen) if grid else plan_of(chosen)
    with _log_to_stderr() if chosen.verbose else contextlib.nullcontext():
        return _perform(chosen, grid, plan)


def _perform(chosen: argparse.Namespace, grid: Grid | None, plan: Plan) -> int:
    text_stream = _text_stream(chosen)
    with stopping_on_signals() as should_stop:
        surroundings = Surroundings(
            should_stop=should_stop, socket_factory=_dumping() if chosen.dump_one else None
        )
        if grid is not None:
            return _compare_backends(plan, grid, chosen, surroundings)
        if chosen.find_max is not None:
            return _find_max(plan, chosen, surroundings)
        try:
            record = _run(plan, surroundings, None if _is_silent(chosen) else text_stream)
        except UnreachableTargetError as unreachable:
            with Attempts(unreachable) as attempts:
                _write_files(unreachable.record, chosen, attempts)
            raise
        should_stop.finish()
        with Attempts() as attempts:
            _write_files(record, chosen, attempts)
            attempts.make(_print_summary, record, text_stream)
    return _exit_code(record, chosen.strict)


def _find_max(plan: Plan, chosen: argparse.Namespace, surroundings: Surroundings) -> int:
    from loadgen.cli.find_max import conclusion, search

    announcer = _announcer(chosen)
    record = search(plan, chosen, surroundings, announcer.say)
    is_interrupted = surroundings.should_stop()
    with Attempts() as attempts:
        attempts.write(Output("--json", chosen.json, record.to_json))
        attempts.make(announcer.say, conclusion(record, is_interrupted))
        attempts.make(announcer.close)
    if is_interrupted:
        return INTERRUPTED
    if record.found_per_s is not None:
        return OK
    return CHECK_FAILED if record.limited_by == "server" else NOT_TRUSTED


def _compare_backends(
    plan: Plan, grid: Grid, chosen: argparse.Namespace, surroundings: Surroundings
) -> int:
    from loadgen.cli.backends import compare_backends, table

    live = None if _is_silent(chosen) else _text_stream(chosen)
    announcer = _announcer(chosen)
    record = compare_backends(
        plan,
        grid,
        lambda each, queue: _run(each, surroundings, live, queue),
        surroundings.should_stop,
        announcer.say,
    )
    with Attempts() as attempts:
        attempts.write(Output("--json", chosen.json, record.to_json))
        attempts.make(announcer.say, table(record))
        attempts.make(announcer.close)
    if record.is_interrupted:
        return INTERRUPTED
    runs = [run for row in record.rows for run in row.runs]
    if plan.verify and not all(_is_verified(run.messages, run.failures) for run in runs):
        return CHECK_FAILED
    return OK


def _print_version(is_verbose: bool) -> None:
    from loadgen.cli import versions

    print(versions.version().text)
    for line in versions.details() if is_verbose else ():
        print(line.text)


def _exit_code(record: RunRecord, is_strict: bool) -> int:
    outcomes = {check.outcome for check in record.checks}
    verdict = record.health.verdict if record.health else None
    if record.outcome == "interrupted":
        return INTERRUPTED
    is_verified = _is_verified(record.actual.messages, record.failures)
    if "failed" in outcomes or (record.plan.verify and not is_verified):
        return CHECK_FAILED
    if "inconclusive" in outcomes or (is_strict and verdict in _UNTRUSTWORTHY):
        return NOT_TRUSTED
    return OK


def _is_verified(messages: int, failures: list[FailureRecord]) -> bool:
    """Whether there were replies, and none differed from what was sent."""
    wrong = (Cause.MISMATCH, Cause.UNEXPECTED_BYTES)
    return messages > 0 and not any(each.cause in wrong for each in failures)


def _run(
    plan: Plan,
    surroundings: Surroundings,
    live: TextIO | None,
    queue: PayloadQueue | None = None,
) -> RunRecord:
    """Run ``plan``, with live progress on ``live`` if that is a terminal."""
    if live is None or not live.isatty():
        return run(plan, surroundings, queue)
    from loadgen.cli.terminal import LiveProgress

    with LiveProgress(plan, live) as progress:
        return run(plan, surroundings.observed_by(progress.show), queue)


def _text_stream(chosen: argparse.Namespace) -> TextIO:
    return sys.stderr if output_options.takes_stdout(chosen) else sys.stdout


def _announcer(chosen: argparse.Namespace) -> "Announcer":
    """Return the printer of progress, whose errors do not end the work if its JSON is kept."""
    from loadgen.cli.terminal import Announcer

    return Announcer(_text_stream(chosen), goes_on=chosen.json is not None)


def _is_silent(chosen: argparse.Namespace) -> bool:
    return bool(chosen.quiet or chosen.verbose or chosen.dump_one)


@contextlib.contextmanager
def _log_to_stderr() -> Iterator[None]:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(relativeCreated)8.0f ms %(message)s"))
    logger = logging.getLogger("loadgen")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def _dumping() -> Callable[[int, int], Any]:
    def show(text: str) -> None:
        with contextlib.suppress(OSError):  # otherwise it would be taken for an error of the socket
            print(text, file=sys.stderr)

    return dumping_first(socket.socket, show)


def _write_files(record: RunRecord, chosen: argparse.Namespace, attempts: Attempts) -> None:
    """Write the outputs; standard output comes last, since its pipe may be closed."""
    outputs = (
        Output("--json", chosen.json, record.to_json),
        Output("--connections-csv", chosen.connections_csv, lambda: _csv(record)),
        Output("--hdr-log", chosen.hdr_log, lambda: to_hdr_log(record)),
    )
    attempts.write(*(each for each in outputs if each.path != STDOUT))
    if chosen.report is not None:
        is_kept = chosen.json is not None and chosen.json != STDOUT
        attempts.make(report.write, record, chosen.json if is_kept else None, chosen.report)
    attempts.write(*(each for each in outputs if each.path == STDOUT))


def _print_summary(record: RunRecord, file: TextIO) -> None:
    from loadgen.cli.terminal import print_lines

    print_lines(summarise(record), file)
    file.flush()


def _csv(record: RunRecord) -> bytes:
    text = io.StringIO()
    ledger = record.connections.ledger
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(readable, ledger))
    writer.writerows(zip(*map(_cells, ledger.values()), strict=True))
    return utf_8(text.getvalue())


def _cells(column: list[Any]) -> list[Any]:
    return [readable(each) if isinstance(each, str) else each for each in column]
