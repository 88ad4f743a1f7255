"""The parser of ``loadgen run``, and the Plan that its options make."""

import argparse
from pathlib import Path
from typing import Any, Final

import msgspec

from loadgen import text
from loadgen._version import __version__
from loadgen.analysis.backends import (
    CONNECTIONS,
    DURATION_S,
    ROUNDS,
    Grid,
)
from loadgen.cli import load_options, output_options
from loadgen.cli import parser as cli_parser
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
unreachable, 4 a check could not be decided, or with --strict the figures cannot be
trusted, 130 interrupted by ^C, SIGTERM or SIGHUP (the summary is still printed and
every file written; with nohup a closed terminal does not interrupt).

Other commands: `loadgen compare --help` (is one slower than another?), `loadgen
report --help` (pages with figures), `loadgen server --help` (the embedded server).
TIME is a number with ns, us, ms, s, m or h (alone: seconds); BYTES may end in k, m or
g (1024), RATE in k, m or g (1000)."""


def new_parser() -> cli_parser.Parser:
    """Return the parser of ``loadgen run``."""
    parser = cli_parser.new_parser("", _DESCRIPTION, _EPILOG)
    parser.usage = _USAGE
    parser.add_argument(
        "target",
        nargs="?",
        metavar="TARGET",
        help="host:port, tcp://host:port, [ipv6]:port or unix:///path",
    )
    parser.add_argument("--version", action="version", version=f"loadgen {__version__}")
    load_options.add_load(parser.add_argument_group("load"))
    load_options.add_schedule(parser.add_argument_group("open loop, and think time"))
    load_options.add_measurement(parser.add_argument_group("measurement and checks"))
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
        help=r"a payload, with the escapes \r \n \t \0 \\ \xHH; repeatable (default --size 64)",
    )
    group.add_argument(
        "--payload-file",
        dest="payloads",
        action="append",
        metavar="FILE",
        type=lambda text: ("file", text),
        help="a payload: the content of the file; - is standard input; repeatable",
    )
    group.add_argument(
        "--payload-lines",
        dest="payloads",
        action="append",
        metavar="FILE",
        type=lambda text: ("lines", text),
        help="payloads: the lines of the file, without line ends, with escapes; repeatable",
    )
    group.add_argument(
        "--size",
        dest="payloads",
        action="append",
        metavar="BYTES",
        type=lambda text: ("size", cli_parser.size_bytes(text)),
        help="a payload of that many bytes, such as 64, 64k or 1m (default 64); repeatable",
    )
    group.add_argument("--raw", action="store_true", help="take backslashes in payloads literally")
    group.add_argument(
        "--first-message",
        default="",
        metavar="TEXT",
        help="send this once after connecting, and wait for its reply; neither is counted",
    )


def _add_reply(group: Any) -> None:
    group.add_argument(
        "--reply",
        default="echo",
        metavar="FORM",
        help=f"when a reply is whole: {protocols.FORMS} (default echo: as many bytes as were sent)",
    )
    group.add_argument(
        "--max-reply",
        dest="max_reply_bytes",
        type=cli_parser.size_bytes,
        metavar="SIZE",
        help="the longest reply that is accepted with --reply delimiter, length or eof; a longer "
        "one is a failure of its connection (default: no limit)",
    )
    group.add_argument(
        "--verify", action="store_true", help="compare echoed bytes with what was sent"
    )


def _add_connections(group: Any) -> None:
    group.add_argument(
        "--connect-rate",
        dest="connect_rate_per_s",
        type=cli_parser.rate_per_s,
        metavar="RATE",
        help="connections opened per second, in total (default: as fast as they come up)",
    )
    group.add_argument(
        "--connect-timeout",
        dest="connect_timeout_s",
        type=cli_parser.duration_s,
        default=3.5,
        metavar="TIME",
        help="longest time for one connection to come up (default 3.5s)",
    )
    group.add_argument(
        "--io-timeout",
        dest="io_timeout_s",
        type=cli_parser.duration_s,
        default=5.5,
        metavar="TIME",
        help="longest time without progress while a connection waits for the server; then it "
        "fails, and others go on (default 5.5s)",
    )
    group.add_argument(
        "--reply-timeout",
        dest="reply_timeout_s",
        type=cli_parser.duration_s,
        metavar="TIME",
        help="longest time from sending a message until its reply is whole; then the connection "
        "fails, even if there is progress (default: no limit)",
    )
    group.add_argument(
        "--reconnect", action="store_true", help="open failed connections again, with back-off"
    )
    _add_socket_options(group)


def _add_socket_options(group: Any) -> None:
    group.add_argument(
        "--nagle", action="store_true", help="leave Nagle's algorithm on (no TCP_NODELAY)"
    )
    group.add_argument(
        "--sndbuf",
        dest="send_buffer_bytes",
        type=cli_parser.size_bytes,
        metavar="BYTES",
        help="size of the kernel's send buffer, SO_SNDBUF (default: the system's choice)",
    )
    group.add_argument(
        "--rcvbuf",
        dest="receive_buffer_bytes",
        type=cli_parser.size_bytes,
        metavar="BYTES",
        help="size of the kernel's receive buffer, SO_RCVBUF (default: the system's choice)",
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
        fields["target"] = text.escaped(chosen.target)
    fields["backend"] = chosen.backend[0]
    fields["connections"] = chosen.connections[0] if chosen.connections else DEFAULT_CONNECTIONS
    fields["first_message"] = _text("--first-message", chosen.first_message, chosen.raw)
    fields["payloads"] = tuple(_source(kind, value, chosen.raw) for kind, value in chosen.payloads)
    fields["checks"] = tuple(chosen.checks)
    if not fields["payloads"]:
        del fields["payloads"]
    return Plan(**fields)


def plan_of_each_run(chosen: argparse.Namespace) -> Plan:
    """Return the plan of the runs of a grid, which are shorter unless a duration is given."""
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
            return FilePayload(text.escaped(value))
        case "lines":
            return LinesPayload(text.escaped(value), raw)
        case _:
            return SizePayload(value)


def _text(option: str, text: str, raw: bool) -> bytes:
    if raw:
        return text.encode("utf-8", "surrogateescape")
    try:
        return parse_escapes(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}; --raw takes backslashes literally") from None
