"""The options of ``loadgen run``: their parser, and the Plan that they make."""

import argparse
from pathlib import Path
from typing import Any, Final

import msgspec

from loadgen import text as names
from loadgen._version import __version__
from loadgen.analysis.backends import (
    CONNECTIONS,
    DURATION_S,
    ROUNDS,
    Grid,
)
from loadgen.cli import load_options, output_options
from loadgen.cli import parser as options
from loadgen.errors import UsageError
from loadgen.files.output_places import Named
from loadgen.net import backends, protocols
from loadgen.plan.payloads import (
    FilePayload,
    LinesPayload,
    PayloadSource,
    SizePayload,
)
from loadgen.plan.plan import DEFAULT_CONNECTIONS, Plan
from loadgen.units import parse_escapes

_MOST_ROUNDS: Final = 1000
_OF_ONE_RUN: Final = {
    "find_max": "--find-max",
    "checks": "--check",
    "strict": "--strict",
    "connections_csv": "--connections-csv",
    "hdr_log": "--hdr-log",
    "report": "--report",
    "dump_one": "--dump-one",
}

_READ: Final = ("file", "lines")

_USAGE = """\
loadgen [run] [TARGET] [options]
       loadgen compare A B [options]
       loadgen report RECORD… [options]
       loadgen server [options]"""

_DESCRIPTION = """\
Load a TCP server from one process: open many connections on one selector, keep
messages in flight on each, and say how many came back and how long they took.

Without a TARGET an embedded echo server is started on a free loopback port."""

_EPILOG = """\
examples:
  loadgen --conns 1000 --backend epoll
  loadgen 10.0.0.5:9999 -c 1000 -d 30s --size 1k --pipeline 8
  loadgen localhost:6379 --payload 'PING\\r\\n' --reply 'delimiter:\\r\\n' --json run.json
  loadgen 10.0.0.5:9999 --rate 50k -d 1m --warmup 5s --check 'response_p99<20ms'
  loadgen 10.0.0.5:9999 --find-max 'service_p99<=5ms,errors<0.1%'
  loadgen 10.0.0.5:9999 --backend all -c 10,100,1000
  loadgen unix:///run/app.sock -n 100 --payload-lines requests.txt --reply length:u32

exit codes: 0 ran, 1 a requested check failed (--check, --verify), 2 usage, 3 target
unreachable, 4 a check could not be decided, or with --strict the numbers must not
be believed, 130 interrupted: by ^C, SIGTERM or SIGHUP (the report is printed all the
same, and every file is written; with nohup a closed terminal does not interrupt).
`loadgen compare --help` says whether one is slower than another, `loadgen report
--help` draws what a run has found, `loadgen server --help` explains the embedded
server."""


def new_parser() -> options.Parser:
    """Return the parser of ``loadgen run``."""
    parser = options.new_parser("", _DESCRIPTION, _EPILOG)
    parser.usage = _USAGE
    parser.add_argument(
        "target",
        nargs="?",
        metavar="TARGET",
        help="host:port, tcp://host:port, [ipv6]:port or unix:///path",
    )
    parser.add_argument("--version", action="version", version=f"loadgen {__version__}")
    load_options.add_load(parser.add_argument_group("load"))
    load_options.add_schedule(parser.add_argument_group("open loop, and time to think"))
    load_options.add_truth(parser.add_argument_group("truth"))
    load_options.add_watch(parser.add_argument_group("generator and target"))
    _add_payload(parser.add_argument_group("payload (the queue of each connection, in order)"))
    _add_reply(parser.add_argument_group("reply"))
    _add_connections(parser.add_argument_group("connections"))
    output_options.add_output(parser.add_argument_group("output"))
    return parser


def _add_payload(group: Any) -> None:
    group.add_argument(
        "--payload",
        dest="payloads",
        action="append",
        default=[],
        metavar="TEXT",
        type=lambda text: ("text", text),
        help=r"a payload; \r \n \t \0 \\ \xHH are understood; repeatable",
    )
    group.add_argument(
        "--payload-file",
        dest="payloads",
        action="append",
        metavar="FILE",
        type=lambda text: ("file", text),
        help="a payload: the whole file; - is standard input; repeatable",
    )
    group.add_argument(
        "--payload-lines",
        dest="payloads",
        action="append",
        metavar="FILE",
        type=lambda text: ("lines", text),
        help="payloads: the lines of the file, without line ends, escapes understood; repeatable",
    )
    group.add_argument(
        "--size",
        dest="payloads",
        action="append",
        metavar="BYTES",
        type=lambda text: ("size", options.size_bytes(text)),
        help="a payload of that many bytes, such as 64, 64k or 1m (64); repeatable",
    )
    group.add_argument("--raw", action="store_true", help="take backslashes in payloads literally")
    group.add_argument(
        "--first-message",
        default="",
        metavar="TEXT",
        help="send this once after connecting; its reply is awaited, and not counted",
    )


def _add_reply(group: Any) -> None:
    group.add_argument(
        "--reply",
        default="echo",
        metavar="FORM",
        help=f"when a reply is whole: {protocols.FORMS} (echo: as many bytes as were sent)",
    )
    group.add_argument(
        "--max-reply",
        dest="max_reply_bytes",
        type=options.size_bytes,
        metavar="SIZE",
        help="how long a reply may be that ends with a delimiter, a length's count or the stream; "
        "the connection fails at a longer one (none)",
    )
    group.add_argument(
        "--verify", action="store_true", help="compare echoed bytes with what was sent"
    )


def _add_connections(group: Any) -> None:
    group.add_argument(
        "--connect-rate",
        dest="connect_rate_per_s",
        type=options.rate_per_s,
        metavar="RATE",
        help="connections opened per second, in total (as fast as they come up)",
    )
    group.add_argument(
        "--connect-timeout",
        dest="connect_timeout_s",
        type=options.duration_s,
        default=3.5,
        metavar="TIME",
        help="for one connection to come up (3.5s)",
    )
    group.add_argument(
        "--io-timeout",
        dest="io_timeout_s",
        type=options.duration_s,
        default=5.5,
        metavar="TIME",
        help="for one connection to make progress while it waits; it fails, others go on (5.5s)",
    )
    group.add_argument(
        "--reply-timeout",
        dest="reply_timeout_s",
        type=options.duration_s,
        metavar="TIME",
        help="for a reply to be whole, from the moment its message was sent, whatever progress "
        "there is; the connection fails (none)",
    )
    group.add_argument(
        "--reconnect", action="store_true", help="open failed connections again, with back-off"
    )
    group.add_argument("--nagle", action="store_true", help="leave Nagle's algorithm on")
    group.add_argument(
        "--sndbuf",
        dest="send_buffer_bytes",
        type=options.size_bytes,
        metavar="BYTES",
        help="size of the kernel's send buffer (SO_SNDBUF)",
    )
    group.add_argument(
        "--rcvbuf",
        dest="receive_buffer_bytes",
        type=options.size_bytes,
        metavar="BYTES",
        help="size of the kernel's receive buffer (SO_RCVBUF)",
    )


def grid_of(chosen: argparse.Namespace) -> Grid | None:
    """Return what the parsed options compare; None if they describe one run. Raises UsageError."""
    backend_names, counts = chosen.backend, chosen.connections or ()
    if len(backend_names) == 1 and len(counts) < 2:
        if chosen.rounds is not None:
            raise UsageError(
                f"--rounds {chosen.rounds} is for several backends or numbers of connections; give "
                "--backend all, or -c 10,100,1000"
            )
        return None
    several = (
        f"--backend {','.join(backend_names)}"
        if len(backend_names) > 1
        else "several --connections"
    )
    for field, option in _OF_ONE_RUN.items():
        if getattr(chosen, field) not in (None, False, []):
            raise UsageError(f"{several} ends in one table; it does not go with {option}")
    rounds = ROUNDS if chosen.rounds is None else chosen.rounds
    if not 1 <= rounds <= _MOST_ROUNDS:
        raise UsageError.of("--rounds", rounds, f"give a whole number from 1 to {_MOST_ROUNDS}")
    if backend_names == ("auto",):
        backend_names = (backends.resolve("auto"),)
    return Grid(backends=backend_names, connections=counts or CONNECTIONS, rounds=rounds)


def plan_of(chosen: argparse.Namespace) -> Plan:
    """Return the plan that the parsed options describe; of several runs, the first.

    Raises UsageError.
    """
    read: list[Named] = [("", Path(name)) for kind, name in chosen.payloads if kind in _READ]
    output_options.check_files(chosen, read)
    fields = {
        name: getattr(chosen, name) for name in Plan.__struct_fields__ if hasattr(chosen, name)
    }
    if chosen.target is not None:
        fields["target"] = names.escaped(chosen.target)
    fields["backend"] = chosen.backend[0]
    fields["connections"] = chosen.connections[0] if chosen.connections else DEFAULT_CONNECTIONS
    fields["first_message"] = _text("--first-message", chosen.first_message, chosen.raw)
    fields["payloads"] = tuple(_source(kind, value, chosen.raw) for kind, value in chosen.payloads)
    fields["checks"] = tuple(chosen.checks)
    if not fields["payloads"]:
        del fields["payloads"]
    return Plan(**fields)


def plan_of_each_run(chosen: argparse.Namespace) -> Plan:
    """Return the plan of the runs of a grid; they are shorter if nothing says how long."""
    plan = plan_of(chosen)
    profile = plan.profile()
    has_an_end = profile is not None and profile.duration_s
    if chosen.duration_s is not None or plan.messages is not None or has_an_end:
        return plan
    return msgspec.structs.replace(plan, duration_s=DURATION_S)


def _source(kind: str, value: Any, raw: bool) -> PayloadSource:
    match kind:
        case "text":
            return _text("--payload", value, raw)
        case "file":
            return FilePayload(names.escaped(value))
        case "lines":
            return LinesPayload(names.escaped(value), raw)
        case _:
            return SizePayload(value)


def _text(option: str, text: str, raw: bool) -> bytes:
    if raw:
        return text.encode("utf-8", "surrogateescape")
    try:
        return parse_escapes(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}; --raw takes backslashes literally") from None
