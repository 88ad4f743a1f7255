"""A Plan with more fields, each declared once, as every option of a Plan is."""

from typing import Annotated

from loadgen.plan import Plan
from loadgen.plan.kinds import BYTES, NAME, NO, RATE, YES, one_of, text
from loadgen.plan.messages import MESSAGE
from loadgen.plan.options import EVERYWHERE, InLocust, Option
from loadgen.plan.plan import MEASUREMENT

PROBES = Option("--probe-rate", RATE, "probes per second", place=EVERYWHERE)


class LongerPlan(Plan, frozen=True, kw_only=True):
    """One more field, which all that is made of the table must know."""

    probe_rate_per_s: Annotated[float, MEASUREMENT, PROBES] = 3.0


class LongestPlan(Plan, frozen=True, kw_only=True):
    """A field of each shape that a protocol may bring."""

    notes: Annotated[
        tuple[str, ...], MESSAGE, Option("-N/--note", text("LINE"), "a note", place=EVERYWHERE)
    ] = ()
    way: Annotated[
        str, MESSAGE, Option("--way", one_of("NAME", "GET", "PUT"), "the way"), InLocust()
    ] = "GET"
    rest: Annotated[bytes | None, MESSAGE, Option("--rest", BYTES, "what follows")] = None
    notes_file: Annotated[str | None, MESSAGE, Option("--notes-file", NAME, "what to note")] = None
    is_trusting: Annotated[
        bool,
        MESSAGE,
        Option("--trusting", YES, "trust anyone", place=EVERYWHERE),
        Option("--no-trusting", NO, "trust nobody"),
        InLocust(instead="trust"),
    ] = True
