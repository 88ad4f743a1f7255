"""The server as a program: in one process or several, until a signal.

It does not outlive the process that started it: that one holds the writing end of a pipe, which the
kernel closes however the process ends (_exit(2)), and the server stops at the end of the pipe.
"""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from loadgen import signals
from loadgen.errors import UsageError, reason
from loadgen.files.writing import write_atomically
from loadgen.net import backends
from loadgen.net.pacing import least_timer_slack
from loadgen.server.connections import ServerCounts
from loadgen.server.echo import EchoServer
from loadgen.server.options import ServerOptions
from loadgen.server.processes import ServerProcesses
from loadgen.server.udp import server_of

if sys.platform != "win32":
    import resource


def run_server(
    options: ServerOptions,
    *,
    ready_file: Path | None = None,
    on_ready: Callable[[str], None],
    stop_on: int | None = None,
) -> ServerCounts:
    """Serve until SIGTERM, SIGINT or SIGHUP, or until descriptor ``stop_on`` is at its end.

    Once the server listens, its address and a newline are written atomically to ``ready_file``, and
    ``on_ready(address)`` is called. At the end that file is removed, and the signal handlers and
    the timer slack are restored, except that after a hangup further ones are ignored. The limit of
    descriptors is raised to what the system allows. To be called in the main thread of a process
    that does nothing else. Raises UsageError and LoadgenError, as the servers do.
    """
    _raise_descriptor_limit(options.backend)
    server = server_of(options) if options.processes == 1 else ServerProcesses(options)
    with (
        least_timer_slack(),
        server,
        _stopped_by_signals(server),
        _announced(server.address, ready_file),
    ):
        if stop_on is not None:
            server.stop_at_end_of(stop_on)
        on_ready(server.address)
        server.serve()
    return server.counts


def _raise_descriptor_limit(backend: str) -> None:
    if sys.platform == "win32":
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # With more than FD_SETSIZE, accept(2) returns descriptors that select(2) cannot wait for.
    soft = backends.FD_SETSIZE if backends.resolve(backend) == "select" else hard
    with contextlib.suppress(ValueError, OSError):  # macOS: the hard limit may not be a number
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def _stopped_by_signals(server: EchoServer | ServerProcesses) -> Iterator[None]:
    """Stop ``server`` on a signal, also on one that comes just before it begins to wait.

    Python calls a handler only between bytecodes, and a system call that has yet to begin is not
    interrupted; the byte that the signal leaves in a pipe ends any wait (set_wakeup_fd,
    https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd).
    """
    receiver, sender = socket.socketpair()
    with receiver, sender:
        sender.setblocking(False)
        server.stop_at_end_of(receiver.fileno())
        wakes_before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        try:
            with signals.handled(lambda *_: server.stop(), *signals.asking_to_end()):
                yield
        finally:
            signal.set_wakeup_fd(wakes_before)


@contextlib.contextmanager
def _announced(address: str, ready_file: Path | None) -> Iterator[None]:
    if ready_file is None:
        yield
        return
    written = Path(
        os.path.realpath(ready_file)
    )  # for a link, the file that it leads to, which is removed in the end
    try:
        write_atomically(written, os.fsencode(address) + b"\n")
    except OSError as error:
        raise UsageError(f"--ready-file {ready_file}: {reason(error)}; choose another") from error
    try:
        yield
    finally:
        written.unlink(missing_ok=True)
