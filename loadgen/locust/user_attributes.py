"""What a user class says of itself, in the words of `loadgen.plan.Plan`, and the plan it makes."""

import difflib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from loadgen.errors import UsageError
from loadgen.plan import Plan

WORDS: Final = (
    *("payloads", "reply", "max_reply_bytes", "verify", "first_message", "pipeline", "connections"),
    *("rate", "arrivals", "unlimited", "seed", "backend"),
    *("timestamps", "timestamp_sample"),
    *("connect_timeout_s", "io_timeout_s", "reply_timeout_s"),
    *("drain_s", "reconnect", "nagle"),
    *("send_buffer_bytes", "receive_buffer_bytes", "redact"),
)
"""The attributes of a user class that mean what they mean in a Plan. `rate` and `connections` are
those of one user."""

_NOT_OF_SCRIPTS: Final = (
    *("payloads", "verify", "pipeline", "connections"),
    *("rate", "arrivals", "unlimited", "seed"),
)

SCRIPTED_WORDS: Final = tuple(word for word in WORDS if word not in _NOT_OF_SCRIPTS)
"""Those that mean something where a script says what is sent, and when."""

_INSTEAD: Final = {
    "target": "host",
    "duration_s": "Locust's --run-time",
    "messages": "Locust's --run-time, or a ScriptedSocketUser that stops",
    "warmup_s": "Locust's --reset-stats",
    "stages": "a LoadTestShape",
    "think": "wait_time",
    "rate_per_connection": "rate, which is that of one user",
    "connect_rate_per_s": "Locust's --spawn-rate",
    "checks": "Locust's own ways to fail a run, or `loadgen.check` on the record",
    "probe": "a user class of fixed_count 1",
    "pacing": "nothing: gevent's loop waits in its own way, to the millisecond",
}

_BACKENDS: Final = ("auto", "epoll", "kqueue", "devpoll")


def plan_of(user_class: type, words: tuple[str, ...], overrides: Mapping[str, Any]) -> Plan:
    """Return what one user of ``user_class`` does; ``overrides`` come before its own words.

    Raises UsageError naming the class, the attribute, the value and what is accepted.
    """
    _check_spelling(user_class, words)
    chosen = {word: getattr(user_class, word) for word in words if hasattr(user_class, word)}
    chosen |= {word: value for word, value in overrides.items() if word in words}
    if isinstance(chosen.get("payloads"), list):
        chosen["payloads"] = tuple(chosen["payloads"])
    try:
        plan = Plan(**chosen)
        profile = plan.profile()
        if profile is not None and profile.stages:
            raise UsageError.of("--rate", plan.rate, "a user has one rate; ramp with users")
        if plan.backend not in _BACKENDS:
            raise UsageError.of(
                "--backend",
                plan.backend,
                f"inside Locust gevent watches the selector's descriptor; choose one of "
                f"{', '.join(_BACKENDS)}",
            )
    except UsageError as error:
        raise UsageError(f"{user_class.__name__}: {error}") from None
    return plan


def crowd_plan(plan: Plan, connections: int, duration_s: float) -> Plan:
    """Return the plan of all users together, each of whom carries out ``plan``."""
    rate = plan.profile()
    return msgspec.structs.replace(
        plan,
        connections=max(1, connections),
        duration_s=max(duration_s, 1e-3),
        rate=None,
        rate_per_connection=rate.start_per_s / plan.connections if rate else None,
    )


def checked(message: object) -> bytes:
    """Return ``message``. Raises TypeError if it cannot be sent."""
    if not isinstance(message, bytes) or not message:
        raise TypeError(f"a message is one byte or more, not {message!r}")
    return message


def _check_spelling(user_class: type, words: tuple[str, ...]) -> None:
    """Refuse attributes that look like a word and are none: they would do nothing."""
    understood = set(words)
    own: list[tuple[str, Any]] = []
    for base in user_class.__mro__:
        if base.__module__.partition(".")[0] in ("locust", "loadgen", "builtins"):
            understood |= set(dir(base))
        else:
            own += vars(base).items()
    for name, value in own:
        if name not in understood and not name.startswith("_"):
            _check_word(f"{user_class.__name__}.{name}", name, value, words)


def _check_word(place: str, name: str, value: object, words: tuple[str, ...]) -> None:
    if name in Plan.__struct_fields__:
        instead = _INSTEAD.get(name, "a SocketUser")
        raise UsageError(f"{place} is a word of a plan that does nothing here; use {instead}")
    if hasattr(value, "__get__"):
        return  # a method, and no value
    with_unit = [word for word in words if word.rpartition("_")[2] in ("s", "bytes")]
    meant = [word for word in with_unit if word.rpartition("_")[0] == name]
    meant += difflib.get_close_matches(name, words, n=1, cutoff=0.85)
    if meant:
        raise UsageError(f"{place} is no word of a plan; did you mean {meant[0]}?")
