"""The embedded target as a program: in one process or several, until a signal; or as a child.

`run_server` is what ``loadgen server`` does; `EmbeddedServer` starts that for a load run. No server
outlives who started it: that process holds the writing end of a pipe, which the kernel closes with
it, however it ends (_exit(2)), and the server stops at the end of the pipe.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final, Self

import msgspec

from loadgen.core import backends
from loadgen.errors import LoadgenError, UsageError
from loadgen.files import write_atomically
from loadgen.server import EchoServer, ServerCounts, ServerOptions
from loadgen.server_listener import address_of, bind_socket

if sys.platform != "win32":
    import resource

START_S: Final = 10.0
"""Seconds within which an embedded server must listen."""

STOP_S: Final = 5.0
"""Seconds within which a server must stop when told to; after that it is killed."""


class ServerProcesses:
    """``options.processes`` echo servers, a process each, that share one port by SO_REUSEPORT.

    Used as an `EchoServer` is. The kernel gives each new connection to one of them (socket(7)).
    Raises UsageError as `EchoServer` does, LoadgenError if a process ends that was not told to.
    """

    def __init__(self, options: ServerOptions) -> None:
        self.counts = ServerCounts()
        self._processes: dict[connection.Connection, BaseProcess] = {}
        self._stopping = False
        self._end: int | None = None
        # Bound but not listening, it gets no connection; it only keeps the port.
        self._reserved = bind_socket(options)
        self.address = address_of(self._reserved)
        options = dataclasses.replace(options, port=self._reserved.getsockname()[1])
        context = multiprocessing.get_context("spawn")  # safe whatever threads there are here
        stop_reader, self._stop_writer = context.Pipe(duplex=False)
        try:
            with stop_reader:
                for _ in range(options.processes):
                    receiver, sender = context.Pipe(duplex=False)
                    process = context.Process(
                        target=_serve_share, args=(options, sender, stop_reader), daemon=True
                    )
                    with sender:
                        process.start()
                        self._processes[receiver] = process
            for receiver in self._processes:
                self._receive(receiver)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def process_ids(self) -> tuple[int, ...]:
        """The processes that serve; none after `close`."""
        return tuple(process.pid or 0 for process in self._processes.values())

    def serve(self) -> None:
        """Wait until `stop` is called, then gather the counts of all."""
        serving = set(self._processes)
        while serving:
            descriptors = [] if self._end is None else [self._end]
            ready = connection.wait([*serving, *descriptors], STOP_S if self._stopping else None)
            if not ready:
                raise LoadgenError(f"a server process did not stop within {STOP_S:g} s")
            for item in ready:
                if isinstance(item, connection.Connection):
                    self.counts += self._receive(item)
                    serving.remove(item)
                    if not self._stopping:
                        raise LoadgenError("a server process stopped without being told to")
                elif not os.read(descriptors[0], 4096):
                    self._end = None
                    self.stop()

    def stop(self) -> None:
        """Ask all processes to stop: safe in a signal handler, in another thread, repeatedly."""
        self._stopping = True
        with contextlib.suppress(OSError):  # a second call, in the midst of the first
            self._stop_writer.close()

    def stop_at_end_of(self, descriptor: int) -> None:
        """Stop when ``descriptor``, a pipe or socket, is at its end; its data is dropped."""
        self._end = descriptor

    def close(self) -> None:
        """Stop all processes and release the port; a process that does not stop is killed."""
        self.stop()
        for receiver, process in self._processes.items():
            process.join(STOP_S)
            if process.exitcode is None:
                process.kill()
                process.join()
            process.close()
            receiver.close()
        self._processes.clear()
        self._reserved.close()

    def _receive(self, receiver: connection.Connection) -> ServerCounts:
        try:
            message: ServerCounts | LoadgenError = receiver.recv()
        except (EOFError, OSError):
            process = self._processes[receiver]
            process.join(STOP_S)
            raise LoadgenError(
                f"server process {process.pid} ended with exit code {process.exitcode}"
            ) from None
        if isinstance(message, LoadgenError):
            raise message
        return message


def _serve_share(
    options: ServerOptions, sender: connection.Connection, stop_reader: connection.Connection
) -> None:
    # ^C and a signal to the group reach this process too; the counts are to come home all the same.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        server = EchoServer(options)
    except LoadgenError as error:
        sender.send(error)
        return
    with server:
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
        server.stop_at_end_of(stop_reader.fileno())
        sender.send(server.counts)  # it listens
        server.serve()
    sender.send(server.counts)


def run_server(
    options: ServerOptions,
    *,
    ready_file: Path | None = None,
    on_ready: Callable[[str], None],
    stop_on: int | None = None,
) -> ServerCounts:
    """Serve until SIGTERM or SIGINT, or until descriptor ``stop_on`` is at its end.

    Once the server listens, its address and a newline are in ``ready_file``, whole from the first
    moment, and ``on_ready(address)`` is called. At the end that file is removed and the signal
    handlers are those of before. The limit of descriptors is raised to what the system allows.
    To be called in the main thread. Raises UsageError and LoadgenError, as the servers do.
    """
    _raise_descriptor_limit(options.backend)
    server = EchoServer(options) if options.processes == 1 else ServerProcesses(options)
    with server, _stopped_by_signals(server.stop), _announced(server.address, ready_file):
        if stop_on is not None:
            server.stop_at_end_of(stop_on)
        on_ready(server.address)
        server.serve()
    return server.counts


def _raise_descriptor_limit(backend: str) -> None:
    if sys.platform == "win32":
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # With more than FD_SETSIZE, accept(2) returns descriptors that select(2) cannot watch.
    soft = backends.FD_SETSIZE if backends.resolve(backend) == "select" else hard
    with contextlib.suppress(ValueError, OSError):  # macOS: the hard limit is no number
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT)
    previous = {number: signal.signal(number, lambda *_: stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _announced(address: str, ready_file: Path | None) -> Iterator[None]:
    if ready_file is None:
        yield
        return
    try:
        write_atomically(ready_file, f"{address}\n".encode())
    except OSError as error:
        raise UsageError(f"--ready-file {ready_file}: {error.strerror}; choose another") from error
    try:
        yield
    finally:
        ready_file.unlink(missing_ok=True)


class EmbeddedServer:
    """An echo server in a process and a session of its own, for as long as the ``with`` lasts.

    In its own session a ^C at the terminal does not end it before the load has drained. It runs
    ``loadgen server`` with ``arguments``, such as ``("--delay", "1ms")``. Entering raises
    LoadgenError, with the last line that the server wrote to standard error, if it does not
    listen within `START_S`.
    """

    def __init__(self, arguments: tuple[str, ...] = ()) -> None:
        self._arguments = arguments
        self._outcome: ServerCounts | str = "it has not stopped yet"

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as cleanup:
            directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="loadgen-")))
            self._counts_file, self._error_file = directory / "counts.json", directory / "stderr"
            command = [sys.executable, "-m", "loadgen", "server", "--port", "0"]
            command += ["--until-stdin-closes", "--json", str(self._counts_file)]
            with self._error_file.open("wb") as error_output:
                self._process = subprocess.Popen(
                    [*command, *self._arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=error_output,
                    start_new_session=True,
                )
            cleanup.callback(self._stop)
            self.pid = self._process.pid
            self.address = self._read_address()
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._cleanup.close()

    @property
    def counts(self) -> ServerCounts:
        """What the server did, once it has stopped. Raises LoadgenError if it ended by accident."""
        if isinstance(self._outcome, str):
            raise LoadgenError(f"the embedded server left no counts: {self._outcome}")
        return self._outcome

    def _read_address(self) -> str:
        output = self._process.stdout
        assert output is not None
        deadline_s = time.monotonic() + START_S
        text = b""
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while b"\n" not in text:
                if not selector.select(max(0.0, deadline_s - time.monotonic())):
                    raise LoadgenError(f"the embedded server did not listen within {START_S:g} s")
                data = os.read(output.fileno(), 4096)
                if not data:
                    raise LoadgenError(f"the embedded server did not start: {self._last_words()}")
                text += data
        return text.decode().partition("\n")[0].removeprefix("listening on ")

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._outcome = msgspec.json.decode(self._counts_file.read_bytes(), type=ServerCounts)
        except (OSError, msgspec.DecodeError):
            self._outcome = self._last_words()

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        said = self._error_file.read_text(errors="replace").strip()
        return said.rpartition("\n")[2] or f"exit code {self._process.returncode}"
