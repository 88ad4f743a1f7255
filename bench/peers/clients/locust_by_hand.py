"""A Locust user written by hand, `bench.locustfiles.by_hand`, with Locust's own statistics.

The figures are those of the time after all users have connected: what Locust counts until then is
left out, as is the message that each user has under way at the end.
"""

import gevent
from locust.env import Environment

from bench.locustfiles import by_hand
from bench.peers.clients.account import Account, task

_LOOK_EVERY_S = 0.01


class Counted(by_hand.ByHand):
    """Says when it has connected: users that are busy keep those waiting who come."""

    connected = 0

    def on_start(self) -> None:
        """Connect."""
        super().on_start()
        Counted.connected += 1


def main() -> None:
    """Do what the command line says."""
    asked = task()
    environment = Environment(
        user_classes=[Counted], host=f"tcp://127.0.0.1:{asked.port}", catch_exceptions=False
    )
    runner = environment.create_local_runner()
    runner.start(asked.connections, spawn_rate=asked.connections)
    while Counted.connected < asked.connections:
        gevent.sleep(_LOOK_EVERY_S)
    total = environment.stats.total
    before = total.num_requests
    account = Account()
    gevent.sleep(asked.duration_s)
    account.print(total.num_requests - before)
    if total.num_failures:
        raise SystemExit(f"{total.num_failures} requests failed")
    runner.quit()


if __name__ == "__main__":
    main()
