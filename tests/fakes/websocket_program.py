"""A server of WebSocket by `websockets`: a process of its own, for `websocket_servers`.

What it does with a connection is in the path. It prints its port, and then a line of JSON for each
connection that has ended.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Final

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

KNOWN: Final = ("chat", "mqtt")
REFUSALS: Final = {"/gone": 410, "/busy": 503}


def refuse(connection: ServerConnection, request: Request) -> Response | None:
    status = REFUSALS.get(request.path)
    return None if status is None else connection.respond(status, "not here\n")


def choose(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Choose the last one that is known."""
    return next((each for each in reversed(offered) if each in KNOWN), None)


async def talk(socket: ServerConnection) -> None:
    """Echo, with what the path asks for."""
    assert socket.request is not None
    action, _, argument = socket.request.path.removeprefix("/").partition("/")
    if action == "welcome":
        await socket.send("welcome")
    count = 0
    async for message in socket:
        count += 1
        if action == "headers":
            await socket.send(json.dumps(dict(socket.request.headers.raw_items())))
        elif action == "fragments":
            await socket.ping()
            await socket.send(list(pieces(message)))
        elif action == "pings":
            await socket.ping(b"%d" % count)
            await socket.send(message)
        elif action == "close" and count > 5:
            await socket.close(int(argument), "that was enough")
        elif action == "wrong":
            await socket.send(message[:-1])
        elif action == "types":
            await socket.send(type(message).__name__)
        else:
            await socket.send(message)


def pieces(message: str | bytes) -> list[str] | list[bytes]:
    if isinstance(message, str):
        return [message[at : at + 7] for at in range(0, len(message), 7)]
    return [message[at : at + 7] for at in range(0, len(message), 7)]


async def talk_and_tell(socket: ServerConnection) -> None:
    error = ""
    try:
        await talk(socket)
    except ConnectionClosed as closed:
        error = str(closed)
    await socket.wait_closed()
    told = {"code": socket.close_code, "error": error, "subprotocol": socket.subprotocol}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


async def main() -> None:
    async with serve(
        talk_and_tell,
        "127.0.0.1",
        0,
        select_subprotocol=choose,
        process_request=refuse,
        compression=None,
        max_size=None,
    ) as server:
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
