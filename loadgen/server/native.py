"""Immediate answers by the native module, where there is one.

`_native.c` does what takes place for each message while all goes well; whatever else happens on a
connection is done by `ImmediateAnswers`, in the same order.
"""

from collections.abc import Callable, Mapping
from types import ModuleType

from loadgen.errors import LocalLimitError
from loadgen.net import native_modules
from loadgen.net.native_modules import Absence
from loadgen.net.pacing import Ready
from loadgen.server.connections import ServerConnections
from loadgen.server.immediate import ImmediateAnswers
from loadgen.server.options import ServerOptions

_Echo = Callable[[Ready, int, bytearray, bool], tuple[int, int, int, int, int]]


class NativeAnswers(ImmediateAnswers):
    """Echoes on ``peers``, as `ImmediateAnswers` does, by ``echo`` of the native module.

    Every peer must be a socket, with nothing above it.
    """

    def __init__(
        self,
        peers: ServerConnections,
        handlers: Mapping[int, Callable[[], None]],
        echo: _Echo,
        *,
        sink: bool,
    ) -> None:
        super().__init__(peers, handlers, sink=sink)
        self._echo = echo

    def handle(self, ready: Ready) -> None:
        """Read what has come, and send it back; go on with answers that the kernel did not take."""
        peers, count, done = self._peers, len(ready), 0
        while done < count:
            done, received, sent, start, end = self._echo(ready, done, self._buffer, self._sink)
            peers.bytes_received += received
            peers.bytes_sent += sent
            if start < end:
                self._send(ready[done][0].data, self._view[start:end])
            elif done < count:
                super().handle(ready[done : done + 1])
            done += 1


def load() -> ModuleType | Absence:
    """Return the native module of the server, or why it cannot be had."""
    return native_modules.load("loadgen.server._native")


def immediate_answers(
    options: ServerOptions,
    peers: ServerConnections,
    handlers: Mapping[int, Callable[[], None]],
) -> ImmediateAnswers:
    """Return what answers at once: natively where that can be and ``options`` do not forbid it.

    Over TLS it is Python in any case. Raises LocalLimitError if it has to be native and cannot.
    """
    sink = options.sink
    if options.engine != "python" and not options.is_secure:
        native = load()
        if isinstance(native, ModuleType):
            return NativeAnswers(peers, handlers, native.echo, sink=sink)
        if options.engine == "native":
            raise LocalLimitError(
                f"--engine native: {native.reason}; {native.remedy}, or choose auto or python"
            )
    return ImmediateAnswers(peers, handlers, sink=sink)
