"""A socket wrapper that shows what one connection sends and receives (``--dump-one``)."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from loadgen.net.dialer import SocketFactory
from loadgen.units import ns_to_seconds

SHOWN_BYTES: Final = 512


class DumpedSocket:
    """Behaves like the socket it wraps, and shows what is sent and received."""

    def __init__(self, inner: Any, show: Callable[[str], None]) -> None:
        self._inner = inner
        self._show = show
        self._began_ns = time.monotonic_ns()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def send(self, data: bytes | memoryview) -> int:
        """Send, and show what the kernel has taken."""
        sent: int = self._inner.send(data)
        self._report(">", bytes(data[:sent]))
        return sent

    def recv_into(self, buffer: bytearray) -> int:
        """Receive, and show what came; no bytes mean that the peer has closed."""
        received: int = self._inner.recv_into(buffer)
        self._report("<", bytes(buffer[:received]))
        return received

    def recvmsg_into(self, buffers: Sequence[bytearray], ancillary_bytes: int) -> Any:
        """Receive with control messages, which are passed on and not shown."""
        received = self._inner.recvmsg_into(buffers, ancillary_bytes)
        self._report("<", bytes(buffers[0][: received[0]]))
        return received

    def close(self) -> None:
        """Close, and say so."""
        self._inner.close()
        self._show(f"{self._elapsed()} closed")

    def _report(self, direction: str, data: bytes) -> None:
        cut = len(data) - SHOWN_BYTES
        more = f" and {cut} bytes more" if cut > 0 else ""
        self._show(f"{self._elapsed()} {direction} {len(data)} bytes {data[:SHOWN_BYTES]!r}{more}")

    def _elapsed(self) -> str:
        return f"{ns_to_seconds(time.monotonic_ns() - self._began_ns):10.6f}"


def dumping_first(factory: SocketFactory, show: Callable[[str], None]) -> SocketFactory:
    """Return a factory like ``factory``, whose first socket shows its traffic to ``show``."""
    is_first = True

    def make(family: int, kind: int) -> Any:
        nonlocal is_first
        inner = factory(family, kind)
        if not is_first:
            return inner
        is_first = False
        return DumpedSocket(inner, show)

    return make
