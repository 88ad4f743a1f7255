"""Redis: what of a plan makes its messages."""

from typing import ClassVar

from loadgen.plan.applications.base import BaseApplication


class Redis(BaseApplication):
    """Redis."""

    name: ClassVar[str] = "redis"
    reply: ClassVar[str] = "echo"
