"""No application protocol: bytes over TCP, TLS or a UNIX socket, as the payloads have them."""

from typing import ClassVar

from loadgen.plan.applications.base import BaseApplication


class Raw(BaseApplication):
    """Payloads are sent as they are, and by default echoed."""

    name: ClassVar[str] = "raw"
    reply: ClassVar[str] = "echo"
