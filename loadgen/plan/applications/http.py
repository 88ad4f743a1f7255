"""HTTP/1.1: what of a plan makes its messages."""

from typing import ClassVar

from loadgen.plan.applications.base import BaseApplication


class Http(BaseApplication):
    """HTTP/1.1."""

    name: ClassVar[str] = "http"
    reply: ClassVar[str] = "echo"
