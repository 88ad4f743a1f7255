"""``loadgen server``: the embedded server as a command."""

import contextlib
import sys
from argparse import SUPPRESS, Namespace
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Final

from loadgen.cli import parser as cli_parser
from loadgen.cli.output_files import write
from loadgen.errors import UsageError
from loadgen.files import output_places
from loadgen.files.encoded import as_json
from loadgen.net.backends import ENGINES, NAMES
from loadgen.plan.kinds import YES, count, one_of, text
from loadgen.plan.options import Field, Group, Kind, Option, fields_in
from loadgen.server.delays import parse_delay
from loadgen.server.options import ServerOptions
from loadgen.server.program import run_server
from loadgen.server.stalls import parse_stall
from loadgen.text import readable
from loadgen.units import format_bytes, format_count, parse_plain_count

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


_PORT_FORM: Final = "write a whole number from 1 to 65535, or 0 for a free port"
_PORT: Final = Kind("N", lambda text: parse_plain_count(text, _PORT_FORM))
_PATH: Final = Kind("PATH", lambda text: text.removeprefix("unix://"))

_FILE: Final = Kind("FILE", Path)

_SOCKET: Final = Group("socket", "where it listens")
_ANSWERS: Final = Group("answers", "how it behaves")
_TLS: Final = Group("TLS", "how to secure it")
_OUTPUT: Final = Group("output", "what to write")

_GROUPS: Final = {
    _SOCKET: {
        "host": Option("--host", text("HOST"), "address to listen on"),
        "port": Option("--port", _PORT, "port to listen on", default_note="a free one"),
        "path": Option("--unix", _PATH, "listen on a UNIX socket instead"),
        "udp": Option("--udp", YES, "answer datagrams (UDP) instead of connections"),
        "backlog": Option(
            "--backlog",
            count(),
            "connections that may wait to be accepted; the system may allow fewer",
        ),
    },
    _ANSWERS: {
        "delay": Option(
            "--delay",
            Kind("DELAY", parse_delay, write=None),
            "send each answer that long after its request arrived, such as 1ms; see below",
            default_note="at once",
        ),
        "seed": Option("--seed", count(), "seed of the random delays"),
        "stalls": Option(
            "--stall", Kind("WHEN", parse_stall), "stall, such as 1s@5s or 100ms/1s; see below"
        ),
        "sink": Option("--sink", YES, "read everything, answer nothing"),
        "processes": Option(
            "--processes", count(), "processes that share the port by SO_REUSEPORT"
        ),
        "backend": Option("--backend", one_of("NAME", *NAMES), "I/O multiplexer"),
        "engine": Option(
            "--engine",
            one_of("NAME", *ENGINES),
            "what answers at once: native (in C), python, or native where that can be",
        ),
    },
    _TLS: {
        "tls_cert": Option(
            "--tls-cert", _FILE, "speak TLS with this certificate, and its key unless --tls-key"
        ),
        "tls_key": Option("--tls-key", _FILE, "the key of that certificate"),
        "tls_client_ca": Option(
            "--tls-client-ca",
            _FILE,
            "ask clients for certificates, and accept those that this file has signed",
        ),
    },
    _OUTPUT: {
        "ledger": Option(
            "--ledger",
            Kind("FILE", Path),
            "write the residence time of every message to this file; see below",
        )
    },
}
_DEFAULTS: Final = {each.name: each.default for each in fields(ServerOptions)}
_FIELDS: Final = tuple(
    Field(name, group, (option,), _DEFAULTS[name], is_repeated=_DEFAULTS[name] == ())
    for group, options in _GROUPS.items()
    for name, option in options.items()
)
_SECURED: Final = fields_in(
    _TLS,
    Option("--tls", YES, "speak TLS, with a certificate made for the run unless --tls-cert"),
    Option(
        "--tls-write-ca",
        _FILE,
        "write what clients have to trust to this file, for their --cacert",
    ),
)
_OWN: Final = fields_in(
    _OUTPUT,
    Option(
        "--ready-file",
        Kind("FILE", Path),
        "write the address to this file once the server listens; it is removed at the end",
    ),
    Option(
        "--json",
        Kind("FILE", cli_parser.output_file),
        "write the counts as JSON at the end; - is standard output",
    ),
)


def main(arguments: list[str]) -> int:
    """Run the command; return the exit code."""
    chosen = _parser().parse_args(arguments)
    server_options = ServerOptions(**cli_parser.values_of(chosen, _FIELDS))
    written = (
        ("--json", chosen.json),
        ("--ledger", chosen.ledger),
        ("--ready-file", chosen.ready_file),
        ("--tls-write-ca", chosen.tls_write_ca),
    )
    socket = Path(server_options.path) if server_options.path else None
    output_places.check_apart([("--unix", socket), *written])
    output_places.check(written)
    with _secured(server_options, chosen) as options:
        counts = run_server(
            options,
            ready_file=chosen.ready_file,
            on_ready=lambda address: print(f"listening on {readable(address)}", flush=True),
            stop_on=sys.stdin.fileno() if chosen.until_stdin_closes else None,
        )
    if chosen.json is not None:
        write("--json", chosen.json, as_json(counts) + b"\n")
    else:
        served = (
            "datagrams" if server_options.udp else f"{format_count(counts.accepted)} connections"
        )
        print(
            f"served {served}: "
            f"{format_bytes(counts.bytes_received)} received, "
            f"{format_bytes(counts.bytes_sent)} sent"
        )
    return 0


@contextlib.contextmanager
def _secured(options: ServerOptions, chosen: Namespace) -> Iterator[ServerOptions]:
    """Yield ``options`` with a certificate where TLS is to be spoken. Raises UsageError."""
    if options.tls_key is not None and options.tls_cert is None:
        raise UsageError("--tls-key: the certificate is missing; give --tls-cert, too")
    if chosen.tls or options.tls_cert is not None:
        from loadgen.server.certificate import provided

        with provided(options, chosen.tls_write_ca) as secured:
            yield secured
    elif chosen.tls_write_ca is not None or options.tls_client_ca is not None:
        raise UsageError("--tls-write-ca, --tls-client-ca: give --tls or --tls-cert, too")
    else:
        yield options


def _parser() -> cli_parser.Parser:
    parser = cli_parser.new_parser("server", _DESCRIPTION, _EPILOG)
    cli_parser.add_fields(parser, (*_FIELDS, *_SECURED, *_OWN))
    parser.add_argument("--until-stdin-closes", action="store_true", help=SUPPRESS)
    return parser
