"""Loadgen's options on Locust's command line and start form."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from loadgen.errors import UsageError, reason
from loadgen.files.writing import check_writable, identity
from loadgen.plan import Plan
from loadgen.plan.options import LOCUST, Field, Option, fields_of

_FILE: Final = "--loadgen-json"
_REDACT: Final = "--loadgen-redact"


def options_of(plan_class: type[Plan] = Plan) -> Iterator[tuple[Field, Option]]:
    """Yield each option of a plan that is one of Locust's options too, with its field."""
    for field in fields_of(plan_class):
        for option in field.options_of(LOCUST):
            yield field, option


def add_to(parser: Any, plan_class: type[Plan] = Plan) -> None:
    """Add the options to Locust's ``parser``; what is given there overrides the user classes."""
    group = parser.add_argument_group(
        "loadgen", "For SocketUser and ScriptedSocketUser; overrides the attributes of the classes."
    )
    for _, option in options_of(plan_class):
        text = option.about.replace("%", "%%")
        if option.is_flag:
            action = group.add_argument(option.name, action="store_true", help=text)
        else:  # text, as the web form has it; empty means not given
            metavar = option.kind.metavar
            action = group.add_argument(option.name, default="", metavar=metavar, help=text)
        # Locust's parser sets these where it adds an option itself, but not in a group.
        action.include_in_web_ui = True
        action.is_secret = action.is_required = action.is_multiple = False
    file = group.add_argument(
        _FILE,
        default="",
        metavar="FILE",
        help="write loadgen's record there at the end of each run, full histograms and verdict "
        "included; with several user classes one file each, with the class in its name",
    )
    redact = group.add_argument(
        _REDACT,
        action="store_true",
        help="keep only length and digest of payloads and first messages in the record",
    )
    # The web UI must neither write files nor reveal what was redacted.
    file.include_in_web_ui = redact.include_in_web_ui = False


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What only the command line may set, copied once, before a run.

    Locust's parsed options change later: ``POST /swarm`` sets any of them from a form.

    record_file: where the record goes; None if it was not asked for. csv_file: the first of the CSV
    files that Locust writes, if any. is_headless: there is no web UI. expected_workers: the least
    number of workers.
    """

    record_file: Path | None = None
    csv_file: Path | None = None
    is_headless: bool = False
    expected_workers: int = 0

    @classmethod
    def of(cls, chosen: Any) -> Self:
        """Return what ``chosen``, Locust's parsed options, say now."""
        record, prefix = getattr(chosen, "loadgen_json", ""), getattr(chosen, "csv_prefix", "")
        return cls(
            record_file=Path(record).absolute() if record else None,
            csv_file=Path(f"{prefix}_stats.csv").absolute() if prefix else None,
            is_headless=bool(getattr(chosen, "headless", False)),
            expected_workers=getattr(chosen, "expect_workers", None) or 0,
        )

    def check(self, read: Iterable[Path] = ()) -> None:
        """Raise UsageError if the record cannot be written to its file, which is tried.

        It must also not be one of the files that are ``read``.
        """
        path = self.record_file
        if path is None:
            return
        if identity(path) in map(identity, read):
            accepted = "it is read, and would be lost; name another file"
            raise UsageError.of(_FILE, str(path), accepted)
        try:
            if path.is_dir() or not path.parent.is_dir():
                raise UsageError.of(_FILE, str(path), "name a file in a folder that exists")
            check_writable(path)
        except OSError as error:
            accepted = f"it cannot be written: {reason(error)}; name another file"
            raise UsageError.of(_FILE, str(path), accepted) from None


def number_run(chosen: Any, number: int) -> int:
    """Send the ``number`` of the next run to the workers, in Locust's parsed options.

    Return it; 0 where Locust has no options.
    """
    if chosen is None:
        return 0
    chosen.loadgen_run = number
    return number


def run_of(chosen: Any) -> int:
    """Return the number of the run in Locust's parsed options; 0 where there is none."""
    return int(getattr(chosen, "loadgen_run", 0))


def overrides(chosen: Any, plan_class: type[Plan] = Plan) -> dict[str, Any]:
    """Return the attributes of a Plan that ``chosen``, Locust's parsed options, set.

    Raises UsageError naming the option, the value and what is accepted.
    """
    given: dict[Field, list[tuple[Option, Any]]] = {}
    for field, option in options_of(plan_class):
        value = getattr(chosen, option.name.removeprefix("--").replace("-", "_"), "")
        if value:
            given.setdefault(field, []).append((option, value))
    for field, options in given.items():
        field.group.check_one([option.name for option, _ in options])
    attributes = {field.name: _value(field, *options[0]) for field, options in given.items()}
    return attributes | ({"redact": True} if getattr(chosen, "loadgen_redact", False) else {})


def _value(field: Field, option: Option, given: Any) -> Any:
    if option.is_flag:
        return option.kind.constant
    try:
        value = option.kind.read(str(given))
    except ValueError as error:
        raise UsageError.of(option.name, given, str(error)) from None
    return (value,) if field.is_repeated else value
