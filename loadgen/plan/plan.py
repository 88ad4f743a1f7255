"""The Plan: the immutable, checked description of one run.

Its fields stand by subject, each with its options, in classes that build on each other (from
`loadgen.plan.connections` to `loadgen.plan.fields`), and here those of what is measured and kept.
What they mean together is in `loadgen.plan.exchange`.
"""

import textwrap
from typing import Annotated, Final

import msgspec

from loadgen.errors import UsageError
from loadgen.plan.exchange import Exchange
from loadgen.plan.kinds import DURATION, NO, PROCESS, YES, count, one_of, text
from loadgen.plan.options import (
    COMMAND,
    EVERYWHERE,
    Group,
    InLocust,
    Option,
    check_values,
    fields_of,
)
from loadgen.quantities import MOST_KINDS, Text

TIMESTAMPS: Final = ("auto", "kernel", "user")

Conditions = Annotated[tuple[Text, ...], msgspec.Meta(max_length=MOST_KINDS)]

MEASUREMENT: Final = Group("measurement and checks", "what to measure")
OUTPUT: Final = Group("output", "what to keep")

_WHOM: Final = one_of("WHOM", "auto", "off", otherwise=", or give a process with --watch-pid")
_NOT_WATCHED: Final = InLocust(instead="nothing: inside Locust no process is watched")


class Plan(Exchange, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The description of one run: durations in seconds, sizes in bytes, all checked on creation.

    Raises UsageError naming the option, the value and what is accepted.
    """

    timestamps: Annotated[
        Text,
        MEASUREMENT,
        Option(
            "--timestamps",
            one_of("WHOSE", *TIMESTAMPS),
            "which clock says when a reply arrived",
            default_note="the kernel's where it can, so that a busy generator does not add "
            "its own queue",
            place=EVERYWHERE,
        ),
    ] = "auto"
    timestamp_sample: Annotated[
        int,
        MEASUREMENT,
        Option(
            "--timestamp-sample",
            count("K", 1_000_000),
            "take a kernel timestamp for every K-th reply only, for the highest rates",
        ),
    ] = 1
    probe: Annotated[
        bool | None,
        MEASUREMENT,
        Option(
            "--probe",
            YES,
            "measure also from a second process, with one connection and some 300 requests "
            "per second",
            default_note="if the kernel gives no timestamps",
        ),
        Option("--no-probe", NO, "never start that process"),
        InLocust(instead="a user class of fixed_count 1"),
    ] = None
    checks: Annotated[
        Conditions,
        MEASUREMENT,
        Option(
            "--check",
            text("CONDITION"),
            "a condition such as 'service_p99<5ms', 'errors<0.1%' or 'messages_per_s>=50k'; "
            "exit code 1 if it fails, 4 if it cannot be decided",
        ),
        InLocust(instead="Locust's own ways to fail a run, or `loadgen.check` on the record"),
    ] = ()
    watch: Annotated[
        Text | int,
        MEASUREMENT,
        Option(
            "--watch",
            _WHOM,
            "whose use of processor and memory is recorded",
            default_note="loadgen's own, and that of the processes which listen at the "
            "target, if they are on this machine and may be read",
        ),
        Option(
            "--watch-pid",
            PROCESS,
            "the id of the target's process, which is recorded with its children",
        ),
        _NOT_WATCHED,
    ] = "auto"
    sample_interval_s: Annotated[
        float,
        MEASUREMENT,
        Option("--sample-interval", DURATION, "how often that use is sampled"),
        _NOT_WATCHED,
    ] = 0.5

    # ---- output
    redact: Annotated[
        bool,
        OUTPUT,
        Option(
            "--redact",
            YES,
            "keep only length and digest of payloads, of the names of their files, of the "
            "first message and of --expect, in the record and in all that is made of it",
        ),
    ] = False

    def __post_init__(self) -> None:
        """Check every value, and fill in the default duration and the protocol's form of reply."""
        check_values(self)
        self._check_load()
        self._check_target()
        self._settle_reply()
        self._settle_greeting()
        self._check_messages()
        if self.probe and self.is_datagram:
            raise UsageError("--probe needs a stream; it does not go with udp://")


def _described() -> str:
    """Return the description of the Plan with that of each field, which its options have."""
    fields = (
        textwrap.fill(
            f"{field.name} = {field.default!r}: "
            f"{'; or '.join(map(field.help, field.options_of(COMMAND)))}",
            width=96,
            initial_indent="    ",
            subsequent_indent="        ",
        )
        for field in fields_of(Plan)
    )
    return "\n".join([(Plan.__doc__ or "").rstrip(), "", *fields, "    "])


Plan.__doc__ = _described()
