"""Loadgen's options on Locust's command line and start form."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from loadgen import units
from loadgen.errors import UsageError, reason
from loadgen.files.writing import check_writable, identity
from loadgen.net import backends, protocols
from loadgen.plan.payloads import SizePayload
from loadgen.plan.plan import TIMESTAMPS

# Every value is text, as the web form has it; empty means not given.
_OPTIONS: Final = {
    "--backend": f"I/O multiplexer: {', '.join(backends.NAMES)}",
    "--reply": f"when a reply is whole: {protocols.FORMS}",
    "--max-reply": "the longest reply whose end the server decides, such as 16m",
    "--payload": r"what each user sends; \r \n \t \0 \\ \xHH are understood",
    "--size": "or this many bytes, such as 64 or 1k",
    "--connections-per-user": "connections of each user",
    "--pipeline": "messages in flight on each connection",
    "--rate-per-user": "messages per second of each user, each at its intended time (open loop)",
    "--timestamps": f"which clock says when a reply arrived: {', '.join(TIMESTAMPS)}",
    "--io-timeout": "for a connection to make progress while it waits, such as 2s",
    "--reply-timeout": "for a reply to be whole, from the moment its message was sent, such as 30s",
}
_FILE: Final = "--loadgen-json"
_REDACT: Final = "--loadgen-redact"


def add_to(parser: Any) -> None:
    """Add the options to Locust's ``parser``; what is given there overrides the user classes."""
    group = parser.add_argument_group(
        "loadgen", "For SocketUser and ScriptedSocketUser; overrides the attributes of the classes."
    )
    for option, text in _OPTIONS.items():
        action = group.add_argument(option, default="", metavar="VALUE", help=text)
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


def overrides(chosen: Any) -> dict[str, Any]:
    """Return the attributes of a Plan that ``chosen``, Locust's parsed options, set.

    Raises UsageError naming the option, the value and what is accepted.
    """
    given = {
        option: str(value)
        for option in _OPTIONS
        if (value := getattr(chosen, option.removeprefix("--").replace("-", "_"), ""))
    }
    if "--payload" in given and "--size" in given:
        raise UsageError("--payload and --size both say what to send; give one")
    attributes = {_ATTRIBUTES[option]: _value(option, text) for option, text in given.items()}
    return attributes | ({"redact": True} if getattr(chosen, "loadgen_redact", False) else {})


_ATTRIBUTES: Final = {
    "--backend": "backend",
    "--reply": "reply",
    "--max-reply": "max_reply_bytes",
    "--payload": "payloads",
    "--size": "payloads",
    "--connections-per-user": "connections",
    "--pipeline": "pipeline",
    "--rate-per-user": "rate",
    "--timestamps": "timestamps",
    "--io-timeout": "io_timeout_s",
    "--reply-timeout": "reply_timeout_s",
}


def _value(option: str, text: str) -> Any:
    try:
        match option:
            case "--payload":
                return (units.parse_escapes(text),)
            case "--size":
                return (SizePayload(units.parse_size_bytes(text)),)
            case "--max-reply":
                return units.parse_size_bytes(text)
            case "--connections-per-user" | "--pipeline":
                return units.parse_count(text)
            case "--io-timeout" | "--reply-timeout":
                return units.parse_duration_s(text)
            case _:
                return text
    except ValueError as error:
        raise UsageError.of(option, text, str(error)) from None
