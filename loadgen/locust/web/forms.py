"""Checks the forms of Locust's web UI: only the fields of its own page may be set.

``POST /swarm`` sets every parsed option that the form names, among them the files that Locust
writes; ``POST /user`` sets every attribute of a user class that the body names. Neither needs a
password without ``--web-login``, and any page in a browser can send both: a form, or plain text,
goes to another origin without a preflight request (Fetch Standard, 2.2.2, CORS-safelisted request
headers). So all other fields are dropped before Locust reads them, with a line in the log.

A UNIX socket is a file of this machine, often of a service that trusts every process that may open
it: it is a target only if the command line or a user class names it.
"""

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from flask import Response, jsonify, make_response, request
from locust import argument_parser
from locust.env import Environment
from locust.web import WebUI
from werkzeug.datastructures import ImmutableMultiDict

from loadgen.errors import UsageError
from loadgen.logs import logger
from loadgen.net.target import Target
from loadgen.text import escaped, quoted

_log = logger("loadgen.locust")

_START: Final = frozenset(
    ("user_count", "spawn_rate", "host", "run_time", "profile", "user_classes", "shape_class")
)
"""The fields of the start form that are Locust's own."""

_CLASS: Final = "user_class_name"
_MOST_USERS: Final = 10**9
_SHOWN: Final = 5  # names in an error message

Answer = Response | None


class _Value(NamedTuple):
    """The check of one value that the class picker sends; Locust accepts any."""

    accepts: Callable[[object], bool]
    accepted: str


def _is_amount(value: object) -> bool:
    """Return whether ``value`` is a number of users, or a weight."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= _MOST_USERS


_VALUES: Final = {
    "host": _Value(lambda value: value is None or isinstance(value, str), "give a text"),
    "weight": _Value(_is_amount, "give a number, 0 or more"),
    "fixed_count": _Value(
        lambda value: isinstance(value, int) and _is_amount(value),
        "give a whole number, 0 or more",
    ),
    "tasks": _Value(
        lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
        "give a list of names",
    ),
}


def guard(web_ui: WebUI, environment: Environment) -> None:
    """Drop fields that Locust's forms do not have. To be called while Locust fires ``init``."""
    assert web_ui.app is not None
    hosts = [environment.host, *(each.host for each in environment.user_classes)]
    named = frozenset(host for host in hosts if host)
    checks: dict[str | None, Callable[[], Answer]] = {
        "locust.swarm": lambda: _check_start(environment, named),
        "locust.update_user": lambda: _check_user(environment, named),
    }

    @web_ui.app.before_request
    def check() -> Answer:
        return checks[request.endpoint]() if request.endpoint in checks else None


def _check_start(environment: Environment, named: frozenset[str]) -> Answer:
    fields = _START | _extra_fields()
    foreign = [name for name in request.form if name not in fields]
    if foreign:
        _log.warning("the start form has no field %s; left out", _listed(foreign))
        kept = [(name, value) for name, value in request.form.items(True) if name in fields]
        request.form = ImmutableMultiDict(kept)
    # As Locust does before it uses the host.
    host = request.form.get("host", "").replace("<", "").replace(">", "")
    refused = _why_refused(host, named)
    if not refused:
        return None
    _log.error("%s", refused)
    return jsonify({"success": False, "message": refused, "host": environment.host})


def _check_user(environment: Environment, named: frozenset[str]) -> Answer:
    """Refuse what the class picker does not send: Locust would pass it to the workers as it is."""
    try:
        settings = json.loads(request.get_data())
    except (ValueError, RecursionError):
        settings = None
    name = settings.get(_CLASS) if isinstance(settings, dict) else None
    classes: dict[str, Any] = environment.available_user_classes or {}
    user_class = classes.get(name) if isinstance(name, str) else None
    if settings is None or user_class is None:
        return _bad_request(f"{_CLASS}: {quoted(name)} is not a user class of this Locust file")
    foreign = [key for key in settings if key not in {_CLASS, *user_class.json()}]
    if foreign:
        return _bad_request(f"{name} has no setting {_listed(foreign)}")
    for key, value in settings.items():
        if key in _VALUES and not _VALUES[key].accepts(value):
            return _bad_request(f"{key}: {quoted(value)} is not accepted; {_VALUES[key].accepted}")
    refused = _why_refused(settings.get("host") or "", named)
    return _bad_request(refused) if refused else None


def _extra_fields() -> set[str]:
    """Return the fields that Locust files and plugins have added to the start form."""
    own = argument_parser.default_args_dict()
    return argument_parser.get_parser().args_included_in_web_ui.keys() - own.keys()


def _why_refused(host: str, named: frozenset[str]) -> str:
    """Return why ``host`` is not accepted from a form; empty if it is."""
    try:
        is_file = Target.parse(escaped(host)).is_unix
    except UsageError:
        return ""  # refused when the load begins
    if not is_file or host in named:
        return ""
    return f"host: {quoted(host)}: a form cannot set a UNIX socket; name it on the command line"


def _listed(names: list[str]) -> str:
    more = "" if len(names) <= _SHOWN else f" and {len(names) - _SHOWN} more"
    return ", ".join(map(quoted, names[:_SHOWN])) + more


def _bad_request(why: str) -> Response:
    _log.error("POST /user: %s", why)
    return make_response(f"{why}\n", 400, {"Content-Type": "text/plain; charset=utf-8"})
