"""Immediate answers by the native module, where there is one.

`_native.c` does what takes place for each message while all goes well; whatever else happens on a
connection is done by `ImmediateAnswers`, in the same order.
"""

from collections.abc import Callable, Mapping

from loadgen.errors import LocalLimitError
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
        try:
            from loadgen.server._native import echo  # noqa: PLC0415 - it may not be there
        except ImportError as error:
            if options.engine == "native":
                raise LocalLimitError(
                    f"--engine native: this installation has no native module ({error}); "
                    "install loadgen where there is a C compiler, or choose auto or python"
                ) from error
        else:
            return NativeAnswers(peers, handlers, echo, sink=sink)
    return ImmediateAnswers(peers, handlers, sink=sink)
