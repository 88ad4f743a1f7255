"""Options that take several values, which are run in turn and make one table."""

import argparse
import difflib
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from loadgen.analysis.backends import CONNECTIONS, DURATION_S, ROUNDS, Grid
from loadgen.cli import parser
from loadgen.errors import UsageError
from loadgen.net import backends
from loadgen.plan import kinds
from loadgen.plan.connections import CONNECTIONS as GROUP
from loadgen.plan.options import Field, Option, fields_in
from loadgen.text import quoted

ALL: Final = "all"

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


def several_counts(text: str) -> tuple[int, ...]:
    """Return the numbers of ``10,100,1k``, in rising order. Raises argparse.ArgumentTypeError."""
    found = sorted(parser.count(part) for part in text.split(","))
    for number, following in itertools.pairwise(found):
        if number == following:
            raise argparse.ArgumentTypeError(
                f"{quoted(text)} is not accepted; it has {number} twice"
            )
    return tuple(found)


def several_backends(text: str) -> tuple[str, ...]:
    """Return the names of ``epoll,poll``, or of ``all``. Raises argparse.ArgumentTypeError."""
    if text == ALL:
        return backends.available()
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if name not in backends.NAMES:
            meant = difflib.get_close_matches(name, (*backends.NAMES, ALL), n=1)
            guess = f"did you mean {meant[0]}? " if meant else ""
            raise argparse.ArgumentTypeError(
                f"{quoted(name)} is not accepted; {guess}choose one of "
                f"{', '.join(backends.NAMES)}, several such as poll,select, or {ALL}"
            )
        if name == "auto" and len(names) > 1:
            raise argparse.ArgumentTypeError(
                f"{quoted(text)} is not accepted; auto is {backends.resolve(name)} here: name that"
            )
        if names.count(name) > 1:
            raise argparse.ArgumentTypeError(f"{quoted(text)} is not accepted; it has {name} twice")
    return names


SEVERAL: Final[dict[str, Callable[[str], Any]]] = {
    "connections": several_counts,
    "backend": several_backends,
}
"""How the fields that take several values are read."""

_HELP: Final = {
    "connections": "several numbers, such as 10,100,1000, are run in turn and make one table",
    "backend": f"several, such as poll,select, or {ALL}, are run in turn on the same server, with "
    f"{','.join(map(str, CONNECTIONS))} connections unless -c is given, and make one table",
    "duration_s": f"each run of a table has {DURATION_S:g}s unless it is given",
}

FIELDS: Final = fields_in(
    GROUP,
    Option(
        "--rounds",
        kinds.count(),
        "how often each is run where several make a table, in alternating order",
        default_note=str(ROUNDS),
    ),
)


def with_several(fields: Iterable[Field]) -> Iterator[Field]:
    """Yield ``fields``, of which some take several values."""
    for field in fields:
        if field.name in _HELP:
            first, *others = field.options
            read = SEVERAL.get(field.name, first.kind.read)
            kind = replace(first.kind, read=read, accepts=None)
            first = replace(first, kind=kind, help=f"{first.about}; {_HELP[field.name]}")
            yield replace(field, options=(first, *others))
        else:
            yield field


def grid_of(chosen: argparse.Namespace) -> Grid | None:
    """Return what the parsed options compare; None if they describe one run. Raises UsageError."""
    backend_names, counts = chosen.backend or ("auto",), chosen.connections or ()
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
