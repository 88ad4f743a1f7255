"""UDP: what of a plan makes its messages."""

from typing import ClassVar

from loadgen.plan.applications.base import BaseApplication


class Datagrams(BaseApplication):
    """UDP."""

    name: ClassVar[str] = "datagrams"
    reply: ClassVar[str] = "echo"
