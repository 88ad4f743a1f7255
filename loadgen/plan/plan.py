"""The Plan: the immutable, checked description of one run."""

import functools
import sys
from typing import Annotated, Any, Final, get_type_hints

import msgspec

from loadgen.errors import UsageError
from loadgen.net import backends, pacing, protocols
from loadgen.net.target import Target
from loadgen.plan.arrivals import ARRIVALS
from loadgen.plan.payloads import PayloadSource, RedactedPayload, SizePayload
from loadgen.plan.profile import LONGEST_S, Profile, RateStage
from loadgen.plan.think_time import ThinkTime
from loadgen.quantities import MOST_KINDS, MOST_PAYLOADS, Text

DEFAULT_DURATION_S: Final = 10.0
DEFAULT_CONNECTIONS: Final = 100

# Numbers that must be 1 or more, and their largest values: socket buffers are C integers, and a
# pipeline deeper than a million is a typing error.
_COUNTS: Final = {
    "connections": sys.maxsize,
    "messages": sys.maxsize,
    "pipeline": 1_000_000,
    "send_buffer_bytes": 2**31 - 1,
    "receive_buffer_bytes": 2**31 - 1,
    "timestamp_sample": 1_000_000,
    "max_reply_bytes": sys.maxsize,
}
_TIMES: Final = (
    "duration_s",
    "drain_s",
    "connect_timeout_s",
    "io_timeout_s",
    "reply_timeout_s",
    "warmup_s",
    "sample_interval_s",
)
_MAY_BE_ZERO: Final = ("drain_s", "warmup_s")
_HIGHEST_SEED: Final = 2**63 - 1
_OPEN_LOOP: Final = ("rate", "rate_per_connection", "stages")

TIMESTAMPS: Final = ("auto", "kernel", "user")
WATCHED: Final = ("auto", "off")

PayloadSources = Annotated[tuple[PayloadSource, ...], msgspec.Meta(max_length=MOST_PAYLOADS)]
Conditions = Annotated[tuple[Text, ...], msgspec.Meta(max_length=MOST_KINDS)]


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The description of one run: durations in seconds, sizes in bytes, all checked on creation.

    Raises UsageError naming the option, the value and what is accepted.

    target: ``host:port``, ``[ipv6]:port`` or ``unix:///path`` (the path as `loadgen.text.escaped`
        writes it); None starts the embedded server.
    connections: how many are opened, and kept in use at the same time.
    backend: the I/O multiplexer, a name of `loadgen.net.backends.NAMES`.
    payloads: what each connection sends, in order and from the start again: bytes, or a
        `loadgen.plan.payloads` source.
    first_message: sent once by each connection after connecting; its reply is awaited before the
        load begins, and neither is counted as a message.
    messages: how many each connection sends; None: as many as the duration allows.
    duration_s: how long messages are submitted; None: until ``messages`` are done. Where neither
        is given, `DEFAULT_DURATION_S`.
    warmup_s: how long the load runs before it is measured, on top of ``duration_s``.
    pipeline: messages in flight on each connection.
    rate: messages per second over all connections, ``50_000`` or ``"50k"``, or a ramp such as
        ``"0..50k/30s"``; makes an open loop, in which each message has an intended time.
    rate_per_connection: the same for one connection; it is multiplied by ``connections``.
    stages: ramps from one rate to the next, ``"10s:5k,20s:50k,10s:0"``, from 0 on.
        Of these three, one at most.
    arrivals: how the intended times are spread: a name of `loadgen.plan.arrivals.ARRIVALS`.
    unlimited: send on time however many messages are in flight (``--open``); otherwise a message
        waits for a free connection, and that wait counts as response time.
    think: in a closed loop, the pause between a reply and the next message: ``"10ms"``, or
        ``"exp:10ms"`` for random ones of that mean.
    seed: of all random numbers.
    pacing: how exactly to wait for the moment to send: a name of `loadgen.net.pacing.NAMES`.
    timestamps: the clock that says when a reply arrived: ``kernel`` (receive timestamps), ``user``
        (when it is read), or ``auto``: the kernel's where there are any.
    timestamp_sample: every how many-th read that brings a reply gets a kernel timestamp.
    probe: whether a second process measures beside the load, with one connection; None: where the
        kernel gives no timestamps and the load is not a light one.
    checks: conditions such as ``"service_p99<5ms"``, in the form of `loadgen.analysis.checks`,
        which parses them when the run begins; the record holds their outcomes.
    watch: the processes whose use of the machine is recorded as the target's: ``auto`` for those
        that listen there, if that is on this machine; a process id; ``off`` for none, not even
        this one.
    sample_interval_s: how often their use of the machine is sampled.
    reply: when a reply is whole, in the form of `loadgen.net.protocols.FORMS`.
    max_reply_bytes: the longest reply that is accepted where the server decides its length, by a
        delimiter, a length prefix or the end of the stream; a longer one is a failure. None: no
        limit.
    verify: compare echoed bytes with what was sent.
    connect_rate_per_s: connections opened each second, in total; None: as fast as they come up.
    connect_timeout_s: for one connection to come up.
    io_timeout_s: for one connection to make progress while it waits for the server.
    reply_timeout_s: for a reply to be whole, counted from when its message was sent; without
        replies, for a message to be sent whole. None: no limit, as long as there is progress.
    drain_s: how long to wait for outstanding replies after the end.
    reconnect: open failed connections again, with back-off.
    nagle: leave Nagle's algorithm on (TCP_NODELAY is set otherwise).
    send_buffer_bytes, receive_buffer_bytes: SO_SNDBUF, SO_RCVBUF; None: the system's choice.
    redact: the record holds of payloads, of the names of their files, and of the first message the
        length and a digest only (`loadgen.plan.redaction`).
    """

    target: Text | None = None
    connections: int = DEFAULT_CONNECTIONS
    backend: Text = "auto"
    payloads: PayloadSources = (SizePayload(64),)
    first_message: bytes | RedactedPayload = b""
    messages: int | None = None
    duration_s: float | None = None
    warmup_s: float = 0.0
    pipeline: int = 1
    rate: float | Text | None = None
    rate_per_connection: float | Text | None = None
    stages: Text | None = None
    arrivals: Text = "constant"
    unlimited: bool = False
    think: Text | None = None
    seed: int = 1
    pacing: Text = "normal"
    timestamps: Text = "auto"
    timestamp_sample: int = 1
    probe: bool | None = None
    checks: Conditions = ()
    watch: Text | int = "auto"
    sample_interval_s: float = 0.5
    reply: Text = "echo"
    max_reply_bytes: int | None = None
    verify: bool = False
    connect_rate_per_s: float | None = None
    connect_timeout_s: float = 3.5
    io_timeout_s: float = 5.5
    reply_timeout_s: float | None = None
    drain_s: float = 1.0
    reconnect: bool = False
    nagle: bool = False
    send_buffer_bytes: int | None = None
    receive_buffer_bytes: int | None = None
    redact: bool = False

    def __post_init__(self) -> None:
        """Check every value and fill in the default duration."""
        self._check_types()
        self._check_numbers()
        self._check_load()
        if self.duration_s is None and self.messages is None:
            profile = self.profile()
            duration_s = profile.duration_s if profile else 0.0
            msgspec.structs.force_setattr(self, "duration_s", duration_s or DEFAULT_DURATION_S)
        backends.check_name(self.backend)
        if self.target is not None:
            Target.parse(self.target)
        self._check_reply()

    def _check_types(self) -> None:
        for name, kind in _types().items():
            try:
                msgspec.convert(getattr(self, name), kind, builtin_types=(bytes,))
            except msgspec.ValidationError as error:
                raise UsageError(f"{_option(name)}: {error}") from None
        if not self.payloads or b"" in self.payloads:
            raise UsageError("--payload: there must be one, and each has one byte or more")

    def _check_numbers(self) -> None:
        for name, most in _COUNTS.items():
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError.of(_option(name), value, "it must be 1 or more")
            if value is not None and value > most:
                raise UsageError.of(_option(name), value, f"it must be at most {most}")
        for name in _TIMES:
            value = getattr(self, name)
            if value is None or 0 < value <= LONGEST_S or (value == 0 and name in _MAY_BE_ZERO):
                continue
            least = "0 or more" if name in _MAY_BE_ZERO else "more than 0"
            raise UsageError.of(_option(name), value, f"it must be {least}, and at most 8760h")
        rate_per_s = self.connect_rate_per_s
        if rate_per_s is not None and not 1e-6 <= rate_per_s <= 1e9:
            accepted = "it must be more than 0: from 0.000001 to 1000m per second"
            raise UsageError.of("--connect-rate", rate_per_s, accepted)

    def _check_load(self) -> None:
        given = [name for name in _OPEN_LOOP if getattr(self, name) is not None]
        if len(given) > 1:
            raise UsageError(
                f"{_option(given[0])} and {_option(given[1])} both say how much to send; give one"
            )
        if self.think is not None:
            ThinkTime.parse(self.think)
            if given:
                raise UsageError(
                    f"--think is a pause of a closed loop; it does not go with {_option(given[0])}"
                )
        self._check_warmup()
        if not given and self.arrivals != "constant":
            raise UsageError("--arrivals spreads the times of a schedule; give --rate or --stages")
        if self.unlimited and not given:
            raise UsageError("--open sends at the times of a schedule; give --rate or --stages")
        self.profile()
        if isinstance(self.watch, str) and self.watch not in WATCHED:
            accepted = f"choose one of {', '.join(WATCHED)}, or give a process with --watch-pid"
            raise UsageError.of("--watch", self.watch, accepted)
        if not 0 <= self.seed <= _HIGHEST_SEED:
            raise UsageError.of("--seed", self.seed, "give a whole number from 0 to 2^63 - 1")
        for name, choices in (
            ("arrivals", ARRIVALS),
            ("pacing", pacing.NAMES),
            ("timestamps", TIMESTAMPS),
        ):
            if getattr(self, name) not in choices:
                raise UsageError.of(
                    _option(name), getattr(self, name), f"choose one of {', '.join(choices)}"
                )

    def profile(self) -> Profile | None:
        """Return the offered rate over time, all connections together; None in a closed loop."""
        if self.stages is not None:
            return Profile.parse_stages(self.stages)
        if self.rate_per_connection is not None:
            rate = Profile.parse_rate(self.rate_per_connection, "--rate-per-conn")
            return rate.scaled(self.connections)
        return None if self.rate is None else Profile.parse_rate(self.rate)

    def profile_with_warmup(self) -> Profile | None:
        """Return the `profile`, after a warm-up at the rate that it begins with."""
        profile = self.profile()
        if profile is None or not self.warmup_s:
            return profile
        first_per_s = profile.rate_at_s(0)
        return Profile(first_per_s, (RateStage(self.warmup_s, first_per_s), *profile.stages))

    def _check_warmup(self) -> None:
        if not self.warmup_s:
            return
        profile = self.profile()
        if profile is not None and not profile.rate_at_s(0):
            raise UsageError(
                "--warmup runs at the rate that the load begins with, and that is 0 here; begin "
                "with another one, such as --stages 0s:1k,…"
            )
        if self.messages is not None:
            raise UsageError(
                "--warmup would use up some of the --messages; give --duration instead"
            )

    def _check_reply(self) -> None:
        reply = self.framing()
        if self.verify and not isinstance(reply, protocols.Echo):
            raise UsageError(
                f"--verify compares an echo with what was sent; it does not go with "
                f"--reply {self.reply}"
            )
        if isinstance(reply, protocols.UntilEof):
            if self.pipeline > 1:
                raise UsageError(
                    "--reply eof ends the connection with each reply; it does not go with "
                    f"--pipeline {self.pipeline}"
                )
            if self.first_message:
                raise UsageError(
                    "--reply eof ends the connection with each reply; it does not go with "
                    "--first-message"
                )

    @property
    def is_one_way(self) -> bool:
        """Whether messages are sent and no reply is awaited."""
        return self.reply == "none"

    def framing(self) -> protocols.Framing:
        """Return the value that says when a reply is whole."""
        if self.verify and self.reply == "echo":
            return protocols.Echo(verify=True)
        if self.max_reply_bytes is None:
            return protocols.parse(self.reply)
        return protocols.parse(self.reply, self.max_reply_bytes)


@functools.cache
def _types() -> dict[str, Any]:
    return get_type_hints(Plan, include_extras=True)


_OPTIONS = {
    "payloads": "--payload",
    "unlimited": "--open",
    "checks": "--check",
    "rate_per_connection": "--rate-per-conn",
    "connect_rate_per_s": "--connect-rate",
    "max_reply_bytes": "--max-reply",
    "send_buffer_bytes": "--sndbuf",
    "receive_buffer_bytes": "--rcvbuf",
}


def _option(field: str) -> str:
    return _OPTIONS.get(field, "--" + field.removesuffix("_s").replace("_", "-"))
