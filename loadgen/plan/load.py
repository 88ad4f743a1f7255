"""The fields of a Plan that say how much is sent, and when: a closed loop, or an open one."""

from typing import Annotated, Final

import msgspec

from loadgen.errors import UsageError
from loadgen.net import pacing as net_pacing
from loadgen.plan.arrivals import ARRIVALS
from loadgen.plan.kinds import DURATION, DURATION_OR_0, RAMP, SEED, YES, count, one_of, text
from loadgen.plan.options import DECLARED, EVERYWHERE, LOCUST, Group, InLocust, Option, fields_of
from loadgen.plan.profile import Profile, RateStage
from loadgen.plan.security import Security
from loadgen.plan.think_time import ThinkTime
from loadgen.quantities import Text

DEFAULT_DURATION_S: Final = 10.0

LOAD: Final = Group("load", "how much to send")

_OPEN_LOOP: Final = ("rate", "rate_per_connection", "stages")
_RUN_TIME: Final = "Locust's --run-time"


class Load(Security, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the load lasts, and whether it waits for replies or follows a schedule."""

    duration_s: Annotated[
        float | None,
        LOAD,
        Option(
            "-d/--duration",
            DURATION,
            "duration of the measured load, such as 500ms, 30s or 2m",
            default_note=f"{DEFAULT_DURATION_S:g}s, unless -n is given",
        ),
        InLocust(instead=_RUN_TIME),
    ] = None
    warmup_s: Annotated[
        float,
        LOAD,
        Option(
            "--warmup",
            DURATION_OR_0,
            "load for that long before, recorded apart and not in the figures",
        ),
        InLocust(instead="Locust's --reset-stats"),
    ] = 0.0
    drain_s: Annotated[
        float,
        LOAD,
        Option("--drain", DURATION_OR_0, "how long to wait for outstanding replies after the end"),
    ] = 1.0
    messages: Annotated[
        int | None,
        LOAD,
        Option(
            "-n/--messages",
            count(),
            "messages of each connection; with -d, whichever ends first",
            default_note="as many as the duration allows",
        ),
        InLocust(instead=f"{_RUN_TIME}, or a ScriptedSocketUser that stops"),
    ] = None
    pipeline: Annotated[
        int,
        LOAD,
        Option(
            "--pipeline",
            count("K", 1_000_000),
            "messages in flight on each connection",
            place=EVERYWHERE,
        ),
        DECLARED,
    ] = 1

    # ---- load: an open loop
    rate: Annotated[
        float | Text | None,
        LOAD,
        Option(
            "--rate",
            RAMP,
            "open loop: messages per second over all connections, such as 50k, or a ramp such as "
            "0..50k/30s; each message has an intended time, from which its response time counts",
            default_note="a closed loop",
        ),
        Option(
            "--rate-per-user",
            RAMP,
            "messages per second of each user, each at its intended time (open loop)",
            place=LOCUST,
        ),
        DECLARED,
    ] = None
    rate_per_connection: Annotated[
        float | Text | None,
        LOAD,
        Option(
            "--rate-per-conn",
            RAMP,
            "the same for each connection: it is multiplied by --connections",
        ),
        InLocust(instead="rate, which is that of one user"),
    ] = None
    stages: Annotated[
        Text | None,
        LOAD,
        Option(
            "--stages",
            text("STAGES"),
            "open loop: ramps from one rate to the next, as DURATION:RATE, beginning at 0, such as "
            "10s:5k,20s:50k,10s:0",
        ),
        InLocust(instead="a LoadTestShape"),
    ] = None
    arrivals: Annotated[
        Text,
        LOAD,
        Option("--arrivals", one_of("KIND", *ARRIVALS), "how intended times are spread"),
        DECLARED,
    ] = "constant"
    unlimited: Annotated[
        bool,
        LOAD,
        Option(
            "--open",
            YES,
            "send on time however many messages are in flight, instead of waiting for a free "
            "connection",
        ),
        DECLARED,
    ] = False

    # ---- load: a closed loop, and both
    think: Annotated[
        Text | None,
        LOAD,
        Option(
            "--think",
            text("TIME"),
            "closed loop: think time between a reply and the next message, such as 10ms, or "
            "exp:10ms for exponentially distributed times of that mean",
            default_note="none",
        ),
        InLocust(instead="wait_time"),
    ] = None
    pacing: Annotated[
        Text,
        LOAD,
        Option(
            "--pacing",
            one_of("HOW", *net_pacing.NAMES),
            "how exactly to send on time (eco is up to a millisecond late, precise spins and "
            "takes a core)",
            default_note="within tens of microseconds",
        ),
        InLocust(instead="nothing: gevent's loop waits in whole milliseconds"),
    ] = "normal"
    seed: Annotated[int, LOAD, Option("--seed", SEED, "seed of all random numbers"), DECLARED] = 1

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

    def _check_load(self) -> None:
        given = [
            field.option
            for field in fields_of(Load)
            if field.name in _OPEN_LOOP and getattr(self, field.name) is not None
        ]
        LOAD.check_one(given)
        if self.think is not None:
            ThinkTime.parse(self.think)
            if given:
                raise UsageError(
                    f"--think is a pause of a closed loop; it does not go with {given[0]}"
                )
        self._check_warmup()
        if not given and self.arrivals != "constant":
            raise UsageError("--arrivals spreads the times of a schedule; give --rate or --stages")
        if self.unlimited and not given:
            raise UsageError("--open sends at the times of a schedule; give --rate or --stages")
        profile = self.profile()
        if self.duration_s is None and self.messages is None:
            duration_s = profile.duration_s if profile else 0.0
            msgspec.structs.force_setattr(self, "duration_s", duration_s or DEFAULT_DURATION_S)

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
