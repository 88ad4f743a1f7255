"""A run of Locust with its own statistics, for the clients that are users of it.

The figures are those of the time after all users have connected: what Locust counts until then is
left out, as is the message that each user has under way at the end.
"""

from typing import Any

import gevent
from locust.env import Environment

from bench.peers.clients.account import Account, task

_LOOK_EVERY_S = 0.01


def run(user_class: Any, scheme: str) -> None:
    """Do what the command line says; ``user_class.connected`` counts the users that are."""
    asked = task()
    environment = Environment(
        user_classes=[user_class],
        host=f"{scheme}://127.0.0.1:{asked.port}",
        catch_exceptions=False,
    )
    runner = environment.create_local_runner()
    runner.start(asked.connections, spawn_rate=asked.connections)
    while user_class.connected < asked.connections:
        gevent.sleep(_LOOK_EVERY_S)
    total = environment.stats.total
    before = total.num_requests
    account = Account()
    gevent.sleep(asked.duration_s)
    account.print(total.num_requests - before)
    if total.num_failures:
        raise SystemExit(f"{total.num_failures} requests failed")
    runner.quit()
