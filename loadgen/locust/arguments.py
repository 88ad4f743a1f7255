"""Locust's command line and start form, with the words of loadgen."""

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

# Every value is text, as the web form has it; empty is not given.
_OPTIONS: Final = {
    "--backend": f"I/O multiplexer: {', '.join(backends.NAMES)}",
    "--reply": f"when a reply is whole: {protocols.FORMS}",
    "--max-reply": "how long a reply may be whose end the server decides, such as 16m",
    "--payload": r"what each user sends; \r \n \t \0 \\ \xHH are understood",
    "--size": "or so many bytes, such as 64 or 1k",
    "--connections-per-user": "connections of each user",
    "--pipeline": "messages in flight on each connection",
    "--rate-per-user": "messages per second of each user, each at its intended time (open loop)",
    "--timestamps": f"who says when a reply arrived: {', '.join(TIMESTAMPS)}",
    "--io-timeout": "for a connection to make progress while it waits, such as 2s",
    "--reply-timeout": "for a reply to be whole, from the moment its message was sent, such as 30s",
}
_FILE: Final = "--loadgen-json"
_REDACT: Final = "--loadgen-redact"


def add_to(parser: Any) -> None:
    """Add the options to Locust's ``parser``; what is given there overrides the user classes."""
    group = parser.add_argument_group(
        "loadgen", "For SocketUser and ScriptedSocketUser; overrides what the classes say."
    )
    for option, text in _OPTIONS.items():
        action = group.add_argument(option, default="", metavar="VALUE", help=text)
        # Locust's parser marks what it adds itself; in a group nobody does.
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
        help="keep of payloads and first messages only length and digest in the record",
    )
    # Whoever reaches the web UI is to write no files, and to uncover nothing.
    file.include_in_web_ui = redact.include_in_web_ui = False


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What the command line alone decides, taken from it once.

    Locust's parsed options change later on: ``POST /swarm`` sets any of them from a form.

    record_file: where the record goes; None if it was not asked for. csv_file: the first of the CSV
    files that Locust writes, if it does. is_headless: there is no web UI. expected_workers: how
    many are to take part at least.
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
        """Raise UsageError if nothing can be written where the record goes: that is tried.

        Nor may it be one of the files that are ``read``.
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
    """Have Locust carry to the workers the ``number`` that tells the coming run from others.

    Return it; 0 where Locust has no options, and so carries none.
    """
    if chosen is None:
        return 0
    chosen.loadgen_run = number
    return number


def run_of(chosen: Any) -> int:
    """Return the number of the run that Locust has brought here; 0 where there is none."""
    return int(getattr(chosen, "loadgen_run", 0))


def overrides(chosen: Any) -> dict[str, Any]:
    """Return the words that ``chosen``, Locust's parsed options, give to a Plan.

    Raises UsageError naming the option, the value and what is accepted.
    """
    given = {
        option: str(value)
        for option in _OPTIONS
        if (value := getattr(chosen, option.removeprefix("--").replace("-", "_"), ""))
    }
    if "--payload" in given and "--size" in given:
        raise UsageError("--payload and --size both say what to send; give one")
    words = {_WORDS[option]: _value(option, text) for option, text in given.items()}
    return words | ({"redact": True} if getattr(chosen, "loadgen_redact", False) else {})


_WORDS: Final = {
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
