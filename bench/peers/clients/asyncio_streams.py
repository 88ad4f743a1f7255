"""asyncio streams: a task for each connection."""

import asyncio

from bench.locustfiles import MESSAGE
from bench.peers.clients.account import Account, Task, task


class Client:
    """All connections, and what they have done together."""

    def __init__(self) -> None:
        self.messages = 0
        self._is_over = False

    async def run(self, asked: Task) -> None:
        """Open, load, and give an account."""
        streams = [
            await asyncio.open_connection("127.0.0.1", asked.port) for _ in range(asked.connections)
        ]
        account = Account()
        asyncio.get_running_loop().call_later(asked.duration_s, self._end)
        await asyncio.gather(*(self._exchange(*stream) for stream in streams))
        account.print(self.messages)
        for _, writer in streams:
            writer.close()

    def _end(self) -> None:
        self._is_over = True

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not self._is_over:
            writer.write(MESSAGE)
            await writer.drain()
            await reader.readexactly(len(MESSAGE))
            self.messages += 1


if __name__ == "__main__":
    asyncio.run(Client().run(task()))
