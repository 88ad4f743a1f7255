"""Locust's FastHttpUser, with Locust's own statistics.

The figures are those of the time after each user has had its first response, as in
`bench.peers.clients.locust_by_hand`.
"""

import gevent
from locust import FastHttpUser, task
from locust.env import Environment

from bench.peers.clients import account

_LOOK_EVERY_S = 0.01


class Fast(FastHttpUser):
    """One connection; a request a task."""

    connected = 0

    def on_start(self) -> None:
        """Connect."""
        self.client.get("/")
        Fast.connected += 1

    @task
    def get(self) -> None:
        """Request the page."""
        self.client.get("/")


def main() -> None:
    """Do what the command line says."""
    asked = account.task()
    environment = Environment(
        user_classes=[Fast], host=f"http://127.0.0.1:{asked.port}", catch_exceptions=False
    )
    runner = environment.create_local_runner()
    runner.start(asked.connections, spawn_rate=asked.connections)
    while Fast.connected < asked.connections:
        gevent.sleep(_LOOK_EVERY_S)
    total = environment.stats.total
    before = total.num_requests
    counted = account.Account()
    gevent.sleep(asked.duration_s)
    counted.print(total.num_requests - before)
    if total.num_failures:
        raise SystemExit(f"{total.num_failures} requests failed")
    runner.quit()


if __name__ == "__main__":
    main()
