"""``loadgen server``: the embedded target, to be loaded or experimented with."""

import sys
from argparse import SUPPRESS
from pathlib import Path
from typing import Any

import msgspec

from loadgen.commands import options
from loadgen.core import backends
from loadgen.errors import UsageError
from loadgen.files import write_atomically
from loadgen.server_listener import ServerOptions
from loadgen.server_processes import run_server
from loadgen.units import format_bytes, format_count, seconds_to_ns

_DESCRIPTION = """\
A non-blocking echo server on one selector: the target to try loadgen on.
It serves until it is interrupted, and then says what it has counted."""


def main(arguments: list[str]) -> int:
    """Run the command; return the exit code."""
    chosen = _parser().parse_args(arguments)
    path = chosen.unix or ""
    server_options = ServerOptions(
        host=chosen.host,
        port=chosen.port,
        path=path.removeprefix("unix://"),
        delay_ns=seconds_to_ns(chosen.delay),
        processes=chosen.processes,
        sink=chosen.sink,
        backlog=chosen.backlog,
        backend=chosen.backend,
    )
    counts = run_server(
        server_options,
        ready_file=chosen.ready_file,
        on_ready=lambda address: print(f"listening on {address}", flush=True),
        stop_on=sys.stdin.fileno() if chosen.until_stdin_closes else None,
    )
    if chosen.json is not None:
        content = msgspec.json.encode(counts) + b"\n"
        if chosen.json == Path("-"):
            sys.stdout.buffer.write(content)
        else:
            try:
                write_atomically(chosen.json, content)
            except OSError as error:
                raise UsageError(f"--json {chosen.json}: {error.strerror}") from None
    else:
        print(
            f"served {format_count(counts.accepted)} connections: "
            f"{format_bytes(counts.bytes_received)} received, "
            f"{format_bytes(counts.bytes_sent)} sent"
        )
    return 0


def _parser() -> options.Parser:
    parser = options.new_parser("server", _DESCRIPTION)
    where = parser.add_argument_group("where it listens")
    where.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    where.add_argument(
        "--port",
        type=options.port,
        default=0,
        metavar="N",
        help="port; 0, the default, takes a free one",
    )
    where.add_argument("--unix", metavar="PATH", help="listen on a UNIX socket instead")
    where.add_argument(
        "--backlog",
        type=options.count,
        default=4096,
        metavar="N",
        help="connections that may wait to be accepted (4096; the system may allow fewer)",
    )
    _add_behaviour(parser.add_argument_group("how it behaves"))
    _add_output(parser.add_argument_group("output"))
    return parser


def _add_behaviour(how: Any) -> None:
    how.add_argument(
        "--delay",
        type=options.duration_s,
        default=0.0,
        metavar="TIME",
        help="hold each answer back until that long after its request came, such as 1ms",
    )
    how.add_argument("--sink", action="store_true", help="read everything, answer nothing")
    how.add_argument(
        "--processes",
        type=options.count,
        default=1,
        metavar="N",
        help="processes that share the port (SO_REUSEPORT); 1",
    )
    how.add_argument(
        "--backend", choices=backends.NAMES, default="auto", help="I/O multiplexer (auto)"
    )


def _add_output(output: Any) -> None:
    output.add_argument(
        "--ready-file",
        type=Path,
        metavar="FILE",
        help="write the address there once the server listens; removed at the end",
    )
    output.add_argument(
        "--json",
        type=options.output_file,
        metavar="FILE",
        help="write what was counted there at the end; - is standard output",
    )
    output.add_argument("--until-stdin-closes", action="store_true", help=SUPPRESS)
