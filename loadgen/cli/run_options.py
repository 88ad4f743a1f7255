"""The parser of ``loadgen run``, and the Plan that its options make."""

import argparse
from typing import Final

import msgspec

from loadgen.analysis.backends import DURATION_S
from loadgen.cli import in_turn, output_options
from loadgen.cli import parser as cli_parser
from loadgen.files.output_places import Named
from loadgen.plan.kinds import YES, text
from loadgen.plan.load import LOAD
from loadgen.plan.messages import MESSAGE
from loadgen.plan.options import Field, Option, fields_in, fields_of
from loadgen.plan.payloads import files_of
from loadgen.plan.plan import MEASUREMENT, Plan

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


_OWN: Final = (
    *in_turn.FIELDS,
    *fields_in(
        LOAD,
        Option(
            "--find-max",
            text("CONDITIONS"),
            "find the highest rate at which conditions such as 'service_p99<=5ms,errors<0.1%' "
            "hold; the search begins at --rate (default 1000 per second), and a step lasts "
            "--duration (default 2s), or longer if its percentile needs more messages",
        ),
    ),
    *fields_in(MESSAGE, Option("--raw", YES, "take backslashes in payloads literally")),
    *fields_in(
        MEASUREMENT,
        Option("--strict", YES, "exit code 4 if the verdict is generator-bound or inconclusive"),
    ),
    *output_options.FIELDS,
)
"""The options that do not describe the run itself."""


def fields_of_run(plan_class: type[Plan] = Plan) -> tuple[Field, ...]:
    """Return the table of the options of ``loadgen run``."""
    return (*in_turn.with_several(fields_of(plan_class)), *_OWN)


def new_parser(plan_class: type[Plan] = Plan) -> cli_parser.Parser:
    """Return the parser of ``loadgen run``."""
    parser = cli_parser.new_parser("", _DESCRIPTION, _EPILOG)
    parser.usage = _USAGE
    parser.add_argument(
        "--version",
        action="store_true",
        help="print the version and exit; with --verbose, also those of all that loadgen stands "
        "on, and which engine, backends and timestamps there are",
    )
    cli_parser.add_fields(parser, fields_of_run(plan_class))
    return parser


def plan_of(chosen: argparse.Namespace, plan_class: type[Plan] = Plan) -> Plan:
    """Return the plan that the parsed options describe; of several runs, the first.

    Raises UsageError.
    """
    values = cli_parser.values_of(chosen, fields_of(plan_class), chosen.raw)
    sources = (*values.get("payloads", ()), *values.get("urls", ()), values.get("body"))
    read: list[Named] = [("", path) for path in files_of(sources)]
    output_options.check_files(chosen, read)
    for name in in_turn.SEVERAL:
        if name in values:
            values[name] = values[name][0]
    return plan_class(**values)


def plan_of_each_run(chosen: argparse.Namespace) -> Plan:
    """Return the plan of the runs of a grid, which are shorter unless a duration is given."""
    plan = plan_of(chosen)
    profile = plan.profile()
    has_an_end = profile is not None and profile.duration_s
    if chosen.duration_s is not None or plan.messages is not None or has_an_end:
        return plan
    return msgspec.structs.replace(plan, duration_s=DURATION_S)
