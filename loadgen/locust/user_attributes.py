"""The attributes of a user class that describe its load, and the Plan made of them."""

import difflib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from loadgen.errors import UsageError
from loadgen.plan import Plan
from loadgen.plan.options import fields_of
from loadgen.text import escaped


def attributes_of(plan_class: type[Plan]) -> tuple[str, ...]:
    """Return the attributes of a SocketUser, which mean what they mean in a plan.

    ``rate`` and ``connections`` are per user.
    """
    return tuple(each.name for each in fields_of(plan_class) if each.is_attribute)


ATTRIBUTES: Final = attributes_of(Plan)

SCRIPTED_ATTRIBUTES: Final = tuple(
    each.name for each in fields_of(Plan) if each.is_attribute_of_scripts
)
"""Those that apply where a script decides what is sent, and when."""

_BACKENDS: Final = ("auto", "epoll", "kqueue", "devpoll")


def plan_of(
    user_class: type,
    attributes: tuple[str, ...],
    overrides: Mapping[str, Any],
    plan_class: type[Plan] = Plan,
) -> Plan:
    """Return the plan of one user of ``user_class``; ``overrides`` replace its attributes.

    Raises UsageError naming the class, the attribute, the value and what is accepted.
    """
    _check_spelling(user_class, attributes, plan_class)
    chosen = {name: getattr(user_class, name) for name in attributes if hasattr(user_class, name)}
    chosen |= {name: value for name, value in overrides.items() if name in attributes}
    host = getattr(user_class, "host", None)
    if host:
        chosen["target"] = escaped(host)
    for field in fields_of(plan_class):
        if field.is_repeated and isinstance(chosen.get(field.name), list):
            chosen[field.name] = tuple(chosen[field.name])
    try:
        plan = plan_class(**chosen)
        plan.framing()  # one of the user's own is imported now
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


def plan_of_all_users(plan: Plan, connections: int, duration_s: float) -> Plan:
    """Return the plan of all users together, where ``plan`` is that of each."""
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


def _check_spelling(user_class: type, attributes: tuple[str, ...], plan_class: type[Plan]) -> None:
    """Refuse attributes that are a misspelt or unused attribute of a plan: they have no effect."""
    unused = {each.name: each.in_locust.instead for each in fields_of(plan_class)}
    understood = set(attributes)
    own: list[tuple[str, Any]] = []
    for base in user_class.__mro__:
        if base.__module__.partition(".")[0] in ("locust", "loadgen", "builtins"):
            understood |= set(dir(base))
        else:
            own += vars(base).items()
    for name, value in own:
        if name in understood or name.startswith("_"):
            continue
        place = f"{user_class.__name__}.{name}"
        if name in unused:
            instead = unused[name] or "a SocketUser"
            raise UsageError(
                f"{place} is a plan's attribute that has no effect here; use {instead}"
            )
        _check_name(place, name, value, attributes)


def _check_name(place: str, name: str, value: object, attributes: tuple[str, ...]) -> None:
    if hasattr(value, "__get__"):
        return  # a method, not a value
    with_unit = [each for each in attributes if each.rpartition("_")[2] in ("s", "bytes")]
    meant = [each for each in with_unit if each.rpartition("_")[0] == name]
    meant += difflib.get_close_matches(name, attributes, n=1, cutoff=0.85)
    if meant:
        raise UsageError(f"{place} is not a plan's attribute; did you mean {meant[0]}?")
