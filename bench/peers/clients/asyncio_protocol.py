"""An asyncio protocol: callbacks, and no task but the one that waits."""

import asyncio
from typing import cast

from bench.locustfiles import MESSAGE
from bench.peers.clients.account import Account, Task, task


class Client:
    """All connections, and what they have done together."""

    def __init__(self) -> None:
        self.messages = 0
        self.is_over = False
        self.busy = 0
        self.all_done = asyncio.Event()

    async def run(self, asked: Task) -> None:
        """Open, load, and give an account."""
        loop = asyncio.get_running_loop()
        exchanges = [
            (await loop.create_connection(lambda: Exchange(self), "127.0.0.1", asked.port))[1]
            for _ in range(asked.connections)
        ]
        self.busy = asked.connections
        account = Account()
        loop.call_later(asked.duration_s, self._end)
        for exchange in exchanges:
            exchange.begin()
        await self.all_done.wait()
        account.print(self.messages)
        for exchange in exchanges:
            exchange.close()

    def _end(self) -> None:
        self.is_over = True


class Exchange(asyncio.Protocol):
    """One connection."""

    _transport: asyncio.Transport

    def __init__(self, client: Client) -> None:
        self._client = client
        self._missing_bytes = len(MESSAGE)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to send."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none of its children

    def begin(self) -> None:
        """Send the first message."""
        self._transport.write(MESSAGE)

    def data_received(self, data: bytes) -> None:
        """Send the next message when the reply to the last is whole."""
        self._missing_bytes -= len(data)
        if self._missing_bytes:
            return
        self._missing_bytes = len(MESSAGE)
        client = self._client
        client.messages += 1
        if not client.is_over:
            self._transport.write(MESSAGE)
            return
        client.busy -= 1
        if not client.busy:
            client.all_done.set()

    def close(self) -> None:
        """Hang up."""
        self._transport.close()


async def main() -> None:
    """Do what the command line says."""
    await Client().run(task())


if __name__ == "__main__":
    asyncio.run(main())
