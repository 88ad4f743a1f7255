"""Locust's web UI with loadgen's page, for `locust_pages`: a separate process, because of gevent.

Serves three: one at the root, one below a base path, one that requires a login; prints their ports
as one line of JSON. The figures are read from the file named, at each request.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any, Final

import gevent
from flask import Request
from locust import User, task
from locust.env import Environment
from locust.web import WebUI

from loadgen.locust.web import routes

OVERVIEW: Final = Path(sys.argv[1])


class Idle(User):
    @task
    def rest(self) -> None:
        gevent.sleep(1)


def serve(**options: Any) -> WebUI:
    environment = Environment(user_classes=[Idle])
    environment.create_local_runner()
    web_ui = environment.create_web_ui("127.0.0.1", 0, delayed_start=True, **options)
    web_ui.template_args["extended_tabs"] = [{"key": "others", "title": "of others"}]
    routes.register(web_ui, lambda: json.loads(OVERVIEW.read_text(encoding="utf-8")))
    if web_ui.web_login:
        let_in(web_ui)
    gevent.spawn(web_ui.start_server)
    while not (web_ui.server and web_ui.server.started):
        gevent.sleep(0)
    return web_ui


class Guest:
    """A user for Flask-Login."""

    is_authenticated = is_active = True
    is_anonymous = False

    def get_id(self) -> str:
        return "guest"


def let_in(web_ui: WebUI) -> None:
    """Log in each request that names the guest in a header."""
    assert web_ui.app is not None
    web_ui.app.secret_key = "for the cookies of this test alone"

    def guest(incoming: Request) -> Guest | None:
        return Guest() if incoming.headers.get("X-User") == "guest" else None

    web_ui.login_manager.request_loader(guest)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    served = {
        "plain": serve(),
        "below": serve(web_base_path="/under/here"),
        "locked": serve(web_login=True),
    }
    ports = {name: web_ui.server.server_port for name, web_ui in served.items() if web_ui.server}
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()
    gevent.wait()
