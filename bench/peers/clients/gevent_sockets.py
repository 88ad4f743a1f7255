"""gevent sockets: a greenlet for each connection, which looks as if it blocked."""

import gevent
from gevent import socket

from bench.locustfiles import MESSAGE
from bench.peers.clients.account import Account, task


class Client:
    """All connections, and what they have done together."""

    def __init__(self) -> None:
        self.messages = 0
        self._is_over = False

    def run(self) -> None:
        """Open, load, and give an account."""
        asked = task()
        sockets = [
            socket.create_connection(("127.0.0.1", asked.port)) for _ in range(asked.connections)
        ]
        for sock in sockets:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        account = Account()
        gevent.spawn_later(asked.duration_s, self._end)
        gevent.joinall([gevent.spawn(self._exchange, sock) for sock in sockets], raise_error=True)
        account.print(self.messages)
        for sock in sockets:
            sock.close()

    def _end(self) -> None:
        self._is_over = True

    def _exchange(self, sock: socket.socket) -> None:
        while not self._is_over:
            sock.sendall(MESSAGE)
            missing_bytes = len(MESSAGE)
            while missing_bytes:
                received = sock.recv(missing_bytes)
                if not received:
                    raise ConnectionResetError("the server hung up")
                missing_bytes -= len(received)
            self.messages += 1


if __name__ == "__main__":
    Client().run()
