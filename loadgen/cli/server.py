"""``loadgen server``: the embedded server as a command."""

import sys
from argparse import SUPPRESS
from pathlib import Path
from typing import Any

from loadgen.cli import parser as cli_parser
from loadgen.cli.output_files import write
from loadgen.files import output_places
from loadgen.files.encoded import as_json
from loadgen.net import backends
from loadgen.server.delays import NO_DELAY, parse_delay
from loadgen.server.options import ServerOptions
from loadgen.server.program import run_server
from loadgen.server.stalls import parse_stall
from loadgen.text import readable
from loadgen.units import format_bytes, format_count

_DESCRIPTION = """\
A non-blocking echo server on one selector, as a target to try loadgen on. It serves
until it is interrupted (^C, SIGTERM, SIGHUP), and then prints its counts.

With --delay, --stall and --ledger its latency is known, so that the figures of a load
generator can be compared with it."""

_EPILOG = """\
delays: an answer is due a delay after its request arrived: by the kernel's receive
timestamp (Linux, TCP), elsewhere by the time of reading. The answers on one
connection keep the order of the requests; those of several do not.
  --delay 1ms                    the same for all
  --delay lognormal:1ms,0.5      median, and standard deviation of the logarithm:
                                 the 99th percentile is median * exp(2.33 * 0.5)
  --delay 99%:200us,1%:20ms      shares of the messages, 100 % together

stalls: the server neither accepts nor reads nor sends, like a process that is stopped
or collects garbage; answers that became due meanwhile are sent right after. Times
count from the first connection, in each of several processes from its own.
  --stall 1s@5s                  for 1 s, once, 5 s after the first connection
  --stall 100ms/1s               for 100 ms in every second, first after one second

ledger: a binary file without a header, with the residence time of every answered
message: the nanoseconds from its arrival to just before its last byte was passed to
send(), as a signed 64-bit integer, little-endian. A message is what one read returns,
since the server knows no framing. Several processes append to the same file, in
chunks. Without kernel timestamps, times count from the read, and a stall before it is
not included.
  numpy.fromfile(FILE, "<i8")    reads it

examples:
  loadgen server --port 9999 --delay 1ms
  loadgen server --delay lognormal:1ms,0.5 --seed 7 --ledger truth.bin
  loadgen server --delay 200us --stall 100ms/1s --stall 1s@5s --ledger truth.bin"""


def main(arguments: list[str]) -> int:
    """Run the command; return the exit code."""
    chosen = _parser().parse_args(arguments)
    path = chosen.unix or ""
    server_options = ServerOptions(
        host=chosen.host,
        port=chosen.port,
        path=path.removeprefix("unix://"),
        delay=chosen.delay,
        seed=chosen.seed,
        stalls=tuple(chosen.stall),
        ledger=chosen.ledger,
        processes=chosen.processes,
        sink=chosen.sink,
        backlog=chosen.backlog,
        backend=chosen.backend,
    )
    written = (
        ("--json", chosen.json),
        ("--ledger", chosen.ledger),
        ("--ready-file", chosen.ready_file),
    )
    socket = Path(server_options.path) if server_options.path else None
    output_places.check_apart([("--unix", socket), *written])
    output_places.check(written)
    counts = run_server(
        server_options,
        ready_file=chosen.ready_file,
        on_ready=lambda address: print(f"listening on {readable(address)}", flush=True),
        stop_on=sys.stdin.fileno() if chosen.until_stdin_closes else None,
    )
    if chosen.json is not None:
        write("--json", chosen.json, as_json(counts) + b"\n")
    else:
        print(
            f"served {format_count(counts.accepted)} connections: "
            f"{format_bytes(counts.bytes_received)} received, "
            f"{format_bytes(counts.bytes_sent)} sent"
        )
    return 0


def _parser() -> cli_parser.Parser:
    parser = cli_parser.new_parser("server", _DESCRIPTION, _EPILOG)
    where = parser.add_argument_group("where it listens")
    where.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)"
    )
    where.add_argument(
        "--port",
        type=cli_parser.port,
        default=0,
        metavar="N",
        help="port to listen on (default 0: a free one)",
    )
    where.add_argument("--unix", metavar="PATH", help="listen on a UNIX socket instead")
    where.add_argument(
        "--backlog",
        type=cli_parser.count,
        default=4096,
        metavar="N",
        help="connections that may wait to be accepted (default 4096; the system may allow fewer)",
    )
    _add_behaviour(parser.add_argument_group("how it behaves"))
    _add_output(parser.add_argument_group("output"))
    return parser


def _add_behaviour(how: Any) -> None:
    how.add_argument(
        "--delay",
        type=parse_delay,
        default=NO_DELAY,
        metavar="DELAY",
        help="send each answer that long after its request arrived, such as 1ms (default 0); see "
        "below",
    )
    how.add_argument(
        "--seed",
        type=cli_parser.count,
        default=0,
        metavar="N",
        help="seed of the random delays (default 0)",
    )
    how.add_argument(
        "--stall",
        type=parse_stall,
        action="append",
        default=[],
        metavar="WHEN",
        help="stall, such as 1s@5s or 100ms/1s; repeatable; see below",
    )
    how.add_argument("--sink", action="store_true", help="read everything, answer nothing")
    how.add_argument(
        "--processes",
        type=cli_parser.count,
        default=1,
        metavar="N",
        help="processes that share the port by SO_REUSEPORT (default 1)",
    )
    how.add_argument(
        "--backend", choices=backends.NAMES, default="auto", help="I/O multiplexer (default auto)"
    )


def _add_output(output: Any) -> None:
    output.add_argument(
        "--ready-file",
        type=Path,
        metavar="FILE",
        help="write the address to this file once the server listens; it is removed at the end",
    )
    output.add_argument(
        "--json",
        type=cli_parser.output_file,
        metavar="FILE",
        help="write the counts as JSON at the end; - is standard output",
    )
    output.add_argument(
        "--ledger",
        type=Path,
        metavar="FILE",
        help="write the residence time of every message to this file; see below",
    )
    output.add_argument("--until-stdin-closes", action="store_true", help=SUPPRESS)
