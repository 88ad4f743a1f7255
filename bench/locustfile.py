"""A Locust file that is ready to use: every user keeps one message in flight.

    locust -f bench/locustfile.py --host tcp://127.0.0.1:9999

Without --host the master, or a Locust of one process, starts loadgen's echo server on a free port
of the loopback interface. What is sent, and what else is to happen, is said on the command line or
in the start form: docs/locust.md lists the options.
"""

import atexit
from typing import Any

from locust import events
from locust.env import Environment
from locust.runners import WorkerRunner

from loadgen.locust import SocketUser
from loadgen.server.embedded import EmbeddedServer


class Echo(SocketUser):
    """Sends 64 bytes, and waits until as many have come back."""


@events.init.add_listener  # type: ignore[untyped-decorator]
def start_target(environment: Environment, **_: Any) -> None:
    """Start an echo server if no target is named."""
    if environment.host or isinstance(environment.runner, WorkerRunner):
        return
    server = EmbeddedServer()
    server.__enter__()
    atexit.register(server.__exit__)
    environment.host = f"tcp://{server.address}"
