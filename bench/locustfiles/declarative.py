"""A user that says what it sends, and leaves the sending to loadgen."""

from bench.locustfiles import MESSAGE, NAME, lag
from loadgen.locust import SocketUser

lag.watch()


class Declarative(SocketUser):
    """One connection; the next message as soon as the last one is back."""

    name = NAME
    payloads = (MESSAGE,)
