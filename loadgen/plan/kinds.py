"""The kinds of values that options of a run take, each with the inverse of its parser beside it."""

import math
import sys
from dataclasses import replace
from typing import Final

from loadgen import units
from loadgen.plan.options import Choices, Kind, Range
from loadgen.plan.payloads import FilePayload, LinesPayload, SizePayload
from loadgen.plan.profile import LONGEST_S
from loadgen.text import escaped, unescaped

_AT_MOST: Final = f"and at most {LONGEST_S / 3600:g}h"
_ABOVE_0_S: Final = Range(math.ulp(0), LONGEST_S, f"it must be more than 0, {_AT_MOST}")
_FROM_0_S: Final = Range(0, LONGEST_S, f"it must be 0 or more, {_AT_MOST}")
_ABOVE_0_PER_S: Final = Range(
    1e-6, 1e9, "it must be more than 0: from 0.000001 to 1000m per second"
)


def _to(most: int) -> Range:
    return Range(1, most, "it must be 1 or more", f"it must be at most {most}")


def text(metavar: str = "TEXT") -> Kind:
    """Return any text; what reads it says what is accepted."""
    return Kind(metavar, makes=str)


def one_of(metavar: str, *names: str, otherwise: str = "") -> Kind:
    """Return the choice of one of ``names``; ``otherwise`` says what may be given instead."""
    return Kind(metavar, accepts=Choices(names, otherwise), makes=str)


def count(metavar: str = "N", most: int = sys.maxsize) -> Kind:
    """Return the whole numbers from 1 to ``most``."""
    return Kind(metavar, units.parse_count, accepts=_to(most))


YES: Final = Kind("", constant=True)
NO: Final = Kind("", constant=False)

NAME: Final = Kind("NAME", escaped, unescaped)
"""The name of a file, or what may be one, as `loadgen.text.escaped` writes it."""
DURATION: Final = Kind("TIME", units.parse_duration_s, units.write_duration_s, accepts=_ABOVE_0_S)
DURATION_OR_0: Final = replace(DURATION, accepts=_FROM_0_S)
RATE: Final = Kind("RATE", units.parse_rate_per_s, units.write_number, accepts=_ABOVE_0_PER_S)
RAMP: Final = Kind("RATE", str, units.write_number)
"""A rate, or text that says how it changes; `loadgen.plan.profile` reads it."""
SEED: Final = Kind(
    "N",
    units.parse_count,
    accepts=Range(0, 2**63 - 1, "give a whole number from 0 to 2^63 - 1"),
)
SIZE: Final = Kind("BYTES", units.parse_size_bytes, accepts=_to(sys.maxsize))
BUFFER: Final = Kind("BYTES", units.parse_size_bytes, accepts=_to(2**31 - 1))
"""The size of a socket's buffer, which is an integer of C."""
PROCESS: Final = Kind("PID", units.parse_process, write=None, makes=int)

BYTES: Final = Kind(
    "TEXT",
    units.parse_escapes,
    units.write_escapes,
    makes=bytes,
    raw=Kind(
        "TEXT",
        lambda text: text.encode("utf-8", "surrogateescape"),
        lambda content: content.decode("utf-8", "surrogateescape"),
    ),
)
PAYLOAD_FILE: Final = Kind(
    "FILE",
    lambda text: FilePayload(escaped(text)),
    lambda source: unescaped(source.path),
    makes=FilePayload,
)
PAYLOAD_LINES: Final = Kind(
    "FILE",
    lambda text: LinesPayload(escaped(text)),
    lambda source: unescaped(source.path),
    makes=LinesPayload,
    raw=Kind(
        "FILE",
        lambda text: LinesPayload(escaped(text), raw=True),
        lambda source: unescaped(source.path),
    ),
)
PAYLOAD_SIZE: Final = Kind(
    "BYTES",
    lambda text: SizePayload(units.parse_size_bytes(text)),
    lambda source: str(source.size_bytes),
    makes=SizePayload,
)
