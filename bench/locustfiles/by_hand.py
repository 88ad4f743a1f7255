"""What people write who load a TCP server with Locust alone: a socket, a clock, a request event."""

import time
from urllib.parse import urlsplit

from gevent import socket
from locust import User, task

from bench.locustfiles import MESSAGE, NAME, lag

lag.watch()


class ByHand(User):
    """One connection; a request a task."""

    def on_start(self) -> None:
        """Connect."""
        address = urlsplit(str(self.host))
        self.socket = socket.create_connection((address.hostname, address.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def on_stop(self) -> None:
        """Hang up."""
        self.socket.close()

    @task
    def echo(self) -> None:
        """Send a message, wait for all of it to come back, and tell Locust."""
        error: OSError | None = None
        began_s = time.perf_counter()
        try:
            self.socket.sendall(MESSAGE)
            missing_bytes = len(MESSAGE)
            while missing_bytes:
                received = self.socket.recv(missing_bytes)
                if not received:
                    raise ConnectionResetError("the server hung up")
                missing_bytes -= len(received)
        except OSError as reason:
            error = reason
        self.environment.events.request.fire(
            request_type="TCP",
            name=NAME,
            response_time=(time.perf_counter() - began_s) * 1000,
            response_length=len(MESSAGE),
            exception=error,
            context={},
        )
