"""Loadgen's page in Locust's web UI, and a tab on Locust's own page that leads to it.

Locust lets plugins add a tab with a table, whose rows are part of the response that its own page
requests, and a link under "Download Data". Both are used, so that the verdict is seen on Locust's
page; such a table holds only text, so charts and workers are on loadgen's page alone.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify, make_response, request
from locust.web import WebUI

from loadgen import logs
from loadgen.units import format_count, format_duration_ns

Overview = Callable[[], dict[str, Any]]

_PAGE: Final = Path(__file__).with_name("page.html")
_POLICY: Final = (
    "default-src 'none'; connect-src 'self'; img-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page may request from its own server only, and no other page may embed it."""

_OWN: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Only pages of this server may read the figures (Fetch Standard, 3.7 and 3.8)."""

_KEY: Final = "loadgen"
_TAB: Final = {"key": _KEY, "title": "loadgen"}
_TABLE: Final = {
    "key": _KEY,
    "structure": [
        {"key": "name", "title": "User class"},
        {"key": "verdict", "title": "Verdict"},
        {"key": "why", "title": "Why"},
        {"key": "connections", "title": "Connections up"},
        {"key": "rate", "title": "Messages/s"},
        {"key": "median", "title": "Service time p50"},
        {"key": "tail", "title": "Service time p99"},
        {"key": "more", "title": "All figures"},
    ],
}
_LINK: Final = {"href": "./loadgen", "title": "Open the page of loadgen"}

logger = logs.logger("loadgen.locust")


def register(web_ui: WebUI, overview: Overview) -> None:
    """Add ``/loadgen`` and ``/loadgen/overview.json`` to ``web_ui``, below its base path.

    ``overview`` is called for every response, and returns only what JSON can hold. Both addresses
    require a login where Locust does. To be called once, before the web UI answers its first
    request: while Locust fires ``init``.

    Requests from pages of another origin are refused; Locust itself lets them read all responses.
    """
    app = web_ui.app
    assert app is not None
    # Locust keeps --web-base-path only in its own blueprint.
    base = app.blueprints["locust"].url_prefix or ""
    guarded: Any = web_ui.auth_required_if_enabled

    def page() -> Response:
        response = make_response(_PAGE.read_text(encoding="utf-8"))
        response.headers["Content-Security-Policy"] = _POLICY
        return response

    def overview_json() -> Response:
        if _is_foreign():
            return make_response("only for pages of the same origin\n", 403)
        response = jsonify(overview())
        response.headers.update(_OWN)
        response.headers["Cache-Control"] = "no-store"
        return response

    blueprint = Blueprint("loadgen", __name__, url_prefix=base)
    blueprint.add_url_rule("/loadgen", view_func=guarded(page))
    blueprint.add_url_rule("/loadgen/overview.json", view_func=guarded(overview_json))
    app.register_blueprint(blueprint)
    _add_tab(web_ui, overview, f"{base.rstrip('/')}/loadgen")
    logger.info("the figures of loadgen: %s/loadgen of the web interface", base.rstrip("/"))


def _is_foreign() -> bool:
    """Return whether the request has another origin; from the same it has none (Fetch, 3.2)."""
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != request.host


def _add_tab(web_ui: WebUI, overview: Overview, address: str) -> None:
    """Add a tab and a link to Locust's own page; those of other plugins stay."""
    assert web_ui.app is not None
    for name, added in (
        ("extended_tabs", _TAB),
        ("extended_tables", _TABLE),
        ("extended_csv_files", _LINK),
    ):
        web_ui.template_args[name] = [*web_ui.template_args.get(name, []), added]

    @web_ui.app.after_request
    def add_rows(response: Response) -> Response:
        if request.endpoint != "locust.request_stats" or not response.is_json:
            return response
        try:
            rows = [_row(found, address) for found in overview()["user_classes"]]
        except Exception:
            logger.exception("no figures of loadgen for Locust's page")
            return response
        answer = response.get_json()
        # Locust caches a response for several requests: it may have the rows already.
        others = [table for table in answer.get("extended_stats", []) if table["key"] != _KEY]
        answer["extended_stats"] = [*others, {"key": _KEY, "data": rows}]
        response.set_data(jsonify(answer).get_data())
        return response


def _row(found: dict[str, Any], address: str) -> dict[str, str]:
    """Return the row of a user class, as text."""
    times: dict[str, Any] = {time["name"]: time for time in found["times"]}
    service = times.get("service time", {})
    return {
        "name": found["user_class"],
        "verdict": found["verdict"],
        "why": "; ".join(finding["evidence"] for finding in found["findings"][:1]),
        "connections": format_count(found["connections_up"]),
        "rate": format_count(found["messages_per_s"]),
        "median": _duration(service.get("p50_ns")),
        "tail": _duration(service.get("p99_ns")),
        "more": address,
    }


def _duration(nanoseconds: float | None) -> str:
    return "-" if nanoseconds is None else format_duration_ns(nanoseconds)
