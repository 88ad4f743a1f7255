"""What the commands' parsers share: typed options, and complaints in one line."""

import argparse
import difflib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from loadgen import units
from loadgen.errors import UsageError, quoted

T = TypeVar("T")

_NEGATIVE = re.compile(r"-\.?\d")


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UsageError instead of leaving the program."""

    def parse_args(self, words: list[str]) -> argparse.Namespace:  # type: ignore[override]
        """Parse ``words``; a negative value is a value, so that the complaint is about it."""
        joined: list[str] = []
        for word in words:
            before = joined[-1] if "--" not in joined and joined else ""
            if _NEGATIVE.match(word) and before.startswith("-"):
                joined[-1] += f"={word}"
            else:
                joined.append(word)
        return super().parse_args(joined)

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """Take the value of ``--option=--`` for what it is; before 3.13, argparse drops it."""
        if action.option_strings and arg_strings == ["--"]:
            return self._get_value(action, "--")
        return super()._get_values(action, arg_strings)

    def error(self, message: str) -> NoReturn:
        """Raise the complaint as a UsageError."""
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
process = _plain_count("write the number of a process, as ps shows it")
port = _plain_count("write a whole number from 1 to 65535, or 0 for a free port")


def output_file(text: str) -> Path:
    """Return the path of a file that can be written, ``-`` for standard output."""
    path = Path(text)
    if text == "-":
        return path
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a directory; name a file")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(
            f"{text!r} cannot be written: there is no directory {str(path.parent)!r}"
        )
    return path


def output_folder(text: str) -> Path:
    """Return the path of a folder that is there, or can be made."""
    path = Path(text)
    if text == "-":
        raise argparse.ArgumentTypeError("'-' is standard output; name a folder")
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a file; name a folder, or a new one")
    return path
