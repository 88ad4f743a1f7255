"""WebSocket: what of a plan makes its messages."""

from typing import ClassVar

from loadgen.plan.applications.base import BaseApplication


class WebSocket(BaseApplication):
    """WebSocket."""

    name: ClassVar[str] = "websocket"
    reply: ClassVar[str] = "echo"
