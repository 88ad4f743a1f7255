"""Shared by the commands' parsers: typed options, and errors of one line."""

import argparse
import difflib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from loadgen import units
from loadgen.errors import UsageError, reason
from loadgen.text import quoted

T = TypeVar("T")

_NEGATIVE = re.compile(r"-\.?\d")
_STDOUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UsageError instead of exiting."""

    def parse_args(self, words: list[str]) -> argparse.Namespace:  # type: ignore[override]
        """Parse ``words``; a negative number is a value, not an option, so that errors name it."""
        joined: list[str] = []
        for word in words:
            before = joined[-1] if "--" not in joined and joined else ""
            if _NEGATIVE.match(word) and before.startswith("-"):
                joined[-1] += f"={word}"
            else:
                joined.append(word)
        return super().parse_args(joined)

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """Keep the value of ``--option=--``, which argparse drops before Python 3.13."""
        if action.option_strings and arg_strings == ["--"]:
            return self._get_value(action, "--")
        return super()._get_values(action, arg_strings)

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse ignores errors of the output.
        (file or sys.stderr).write(message)

    def error(self, message: str) -> NoReturn:
        """Raise a UsageError of one line."""
        message = message.removeprefix("argument ")
        if message.startswith("unrecognized"):
            wrong = message.partition(": ")[2].split()[0].partition("=")[0]
            meant = difflib.get_close_matches(wrong, self._option_string_actions, n=1)
            message += f"; did you mean {meant[0]}?" if meant else ";"
            message += f" `{self.prog} --help` lists what there is"
        raise UsageError(message)


def new_parser(word: str, description: str, epilog: str = "") -> Parser:
    """Return a parser for the command ``word``; its help keeps the line breaks of the texts."""
    return Parser(
        prog=f"loadgen {word}".strip(),
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _typed(parse: Callable[[str], T], form: str) -> Callable[[str], T]:
    def convert(text: str) -> T:
        try:
            return parse(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{quoted(text)} is not accepted; {form}") from None

    return convert


def _plain_count(form: str) -> Callable[[str], int]:
    return _typed(lambda text: units.parse_plain_count(text, form), form)


duration_s = _typed(units.parse_duration_s, units.DURATION_FORM)
rate_per_s = _typed(units.parse_rate_per_s, units.RATE_FORM)
count = _typed(units.parse_count, units.COUNT_FORM)
size_bytes = _typed(units.parse_size_bytes, units.SIZE_FORM)
process = _plain_count("write a process id, as ps shows it")
port = _plain_count("write a whole number from 1 to 65535, or 0 for a free port")


def output_file(text: str) -> Path:
    """Return the path of a file that can be written, ``-`` for standard output."""
    if text in _STDOUT:
        return Path("-")
    path = Path(text)
    try:
        if path.is_dir():
            raise argparse.ArgumentTypeError(f"{quoted(text)} is a directory; name a file")
        if not path.parent.is_dir():
            raise argparse.ArgumentTypeError(
                f"{quoted(text)} cannot be written: there is no directory "
                f"{quoted(str(path.parent))}"
            )
    except OSError as error:
        raise argparse.ArgumentTypeError(
            f"{quoted(text)} cannot be written: {reason(error)}"
        ) from None
    return path


def output_folder(text: str) -> Path:
    """Return the path of a folder that exists, or can be made."""
    path = Path(text)
    if text == "-":
        raise argparse.ArgumentTypeError("'-' is standard output; name a folder")
    try:
        if path.exists() and not path.is_dir():
            raise argparse.ArgumentTypeError(
                f"{quoted(text)} is a file; name a folder, or a new one"
            )
    except OSError as error:
        raise argparse.ArgumentTypeError(
            f"{quoted(text)} cannot be made: {reason(error)}"
        ) from None
    return path
