"""Shared by the commands' parsers: options of a table, typed options, and errors of one line."""

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

from loadgen import units
from loadgen.errors import UsageError, reason
from loadgen.plan.options import COMMAND, Field, Group, Option
from loadgen.text import quoted

T = TypeVar("T")

_NEGATIVE = re.compile(r"-\.?\d")
_STDOUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


_CLOSE: Final = 0.75
"""How alike an option must be to be proposed; it may do what nobody meant."""

_OF_OTHER_TOOLS: Final = {
    **dict.fromkeys(("--concurrency", "--clients", "--vus", "--users", "-u"), "--connections"),
    **dict.fromkeys(("--requests", "--iterations"), "--messages"),
    **dict.fromkeys(("--qps", "--rps", "-R"), "--rate"),
    **dict.fromkeys(("-k", "--skip-verify", "--tls-skip-verify"), "--insecure"),
    "--data": "--body",
    "--timeout": "--io-timeout",
}
"""What wrk, k6, oha, curl, vegeta and Locust call options that are here."""


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
            known = self._option_string_actions
            meant = difflib.get_close_matches(wrong, known, n=1, cutoff=_CLOSE)
            synonym = _OF_OTHER_TOOLS.get(wrong, "")
            meant = [synonym] if synonym in known else meant
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


class _Unread(NamedTuple):
    """A text that may hold escapes: it is read when it is known whether ``--raw`` is given."""

    option: Option
    text: str

    def read(self, is_raw: bool) -> Any:
        kind = self.option.kind
        try:
            return (kind.raw if is_raw and kind.raw else kind).read(self.text)
        except ValueError as error:
            raise UsageError(
                f"{self.option.name}: {error}; --raw takes backslashes literally"
            ) from None


def add_fields(parser: Parser, fields: Iterable[Field]) -> None:
    """Add the options of ``fields``, in their groups; what is not given is None, of flags False."""
    groups: dict[Group, Any] = {}
    for field in fields:
        if field.group not in groups:
            title = f"{field.group.title} ({field.group.what})"
            groups[field.group] = parser.add_argument_group(title)
        home = groups[field.group]
        options = field.options_of(COMMAND)
        if len(options) > 1 and all(option.is_flag for option in options):
            home = home.add_mutually_exclusive_group()
        for option in options:
            _add(home, field, option)


def _add(home: Any, field: Field, option: Option) -> None:
    text = field.help(option).replace("%", "%%")
    if option.is_positional:
        kind = option.kind
        home.add_argument(field.name, nargs="?", type=kind.read, metavar=option.spelling, help=text)
    elif option.is_flag:
        home.add_argument(
            *option.spellings,
            dest=field.name,
            action="store_const",
            const=option.kind.constant,
            default=field.default,
            help=text,
        )
    else:
        home.add_argument(
            *option.spellings,
            dest=field.name,
            action="append" if field.is_repeated else "store",
            type=_reader(option),
            metavar=option.kind.metavar,
            help=text,
        )


def _reader(option: Option) -> Callable[[str], Any]:
    if option.kind.raw is not None:
        return lambda text: _Unread(option, text)
    return _typed(option.kind.read)


def values_of(
    chosen: argparse.Namespace, fields: Iterable[Field], is_raw: bool = False
) -> dict[str, Any]:
    """Return the values of ``fields`` that were given, by name. Raises UsageError.

    is_raw: backslashes are taken literally.
    """

    def read(given: Any) -> Any:
        return given.read(is_raw) if isinstance(given, _Unread) else given

    return {
        field.name: tuple(map(read, given)) if field.is_repeated else read(given)
        for field in fields
        if (given := getattr(chosen, field.name)) is not None
    }


def _typed(parse: Callable[[str], T]) -> Callable[[str], T]:
    def convert(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{quoted(text)} is not accepted; {error}") from None

    return convert


duration_s = _typed(units.parse_duration_s)
count = _typed(units.parse_count)


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
