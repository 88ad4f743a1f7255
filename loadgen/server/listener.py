"""The listening socket of the server, and errors that say what to do."""

import contextlib
import errno
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from loadgen.errors import UsageError
from loadgen.net.address import Endpoint, kind_of
from loadgen.net.target import Target
from loadgen.server.options import ServerOptions

_ADVICE: Final = {
    errno.EADDRINUSE: "already in use; choose another port, or port 0 for a free one",
    errno.EACCES: "permission denied; choose a port from 1024 on, or a directory you may write to",
    errno.EADDRNOTAVAIL: "not an address of this machine; choose one that is, such as 127.0.0.1",
    errno.ENOENT: "no such directory; create it or choose another path",
}


def open_listener(options: ServerOptions) -> socket.socket:
    """Return a non-blocking socket that listens where ``options`` say; raises UsageError."""
    listener = bind_socket(options)
    try:
        with _explained(options):
            if not options.udp:
                listener.listen(options.backlog)
    except UsageError:
        listener.close()
        raise
    return listener


def bind_socket(options: ServerOptions) -> socket.socket:
    """Return a non-blocking socket that is bound where ``options`` say and does not listen yet.

    A UNIX socket file that no process listens on is replaced. Raises UsageError, with what was
    asked and what to do, for an address that is taken, forbidden or unknown.
    """
    with _explained(options):
        family, address = _resolve(options)
        bound = socket.socket(family, kind_of(is_datagram=options.udp))
        try:
            if not options.path and not options.udp:  # of UDP, it would let others bind there
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if options.processes > 1:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    bound.setblocking(False)
    return bound


def address_of(bound: socket.socket, *, is_secure: bool = False) -> str:
    """Return where ``bound`` can be reached, in the form that `Target.parse` reads.

    A UNIX socket has no form that says whether TLS is spoken.
    """
    name = bound.getsockname()
    if isinstance(name, str):
        return str(Target(path=str(Path(name).absolute())))
    place = str(Endpoint(bound.family, name))
    if bound.type == socket.SOCK_DGRAM:
        return f"udp://{place}"
    return f"tls://{place}" if is_secure else place


def _resolve(options: ServerOptions) -> tuple[int, Any]:
    if options.path:
        _remove_stale(options.path)
        return socket.AF_UNIX, options.path
    try:
        found = socket.getaddrinfo(
            options.host,
            options.port,
            type=kind_of(is_datagram=options.udp),
            flags=socket.AI_PASSIVE,
        )
    except UnicodeError:
        raise UsageError.of("--host", options.host, "write a host name or an address") from None
    return found[0][0], found[0][4]


def _remove_stale(path: str) -> None:
    # A connection is refused if the file is there and no process listens (connect(2)).
    try:
        mode = Path(path).lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise UsageError(
            f"--unix {path}: a file that is not a socket; remove it or choose another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        outcome = probe.connect_ex(path)
    if outcome != errno.ECONNREFUSED:
        raise UsageError(f"--unix {path}: already in use; stop that server or choose another path")
    Path(path).unlink(missing_ok=True)


@contextlib.contextmanager
def _explained(options: ServerOptions) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = options.path and f"--unix {options.path}"
        place = place or f"--host {options.host} --port {options.port}"
        reason = error.strerror or str(error)
        advice = _ADVICE.get(error.errno or 0, f"{reason}; choose another place to listen")
        raise UsageError(f"{place}: {advice}") from error
