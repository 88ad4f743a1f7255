"""A Locust user written by hand, `bench.locustfiles.by_hand`."""

from bench.locustfiles import by_hand
from bench.peers.clients.locust_run import run


class Counted(by_hand.ByHand):
    """Says when it has connected: users that are busy keep those waiting who come."""

    connected = 0

    def on_start(self) -> None:
        """Connect."""
        super().on_start()
        Counted.connected += 1


if __name__ == "__main__":
    run(Counted, "tcp")
