"""Several echo servers on one port, a process each, used as if they were one."""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Final, Self

from loadgen import signals
from loadgen.errors import LoadgenError
from loadgen.net.pacing import least_timer_slack
from loadgen.server.connections import ServerCounts
from loadgen.server.listener import address_of, bind_socket
from loadgen.server.options import ServerOptions
from loadgen.server.residence_log import create_residence_log
from loadgen.server.udp import server_of

STOP_S: Final = 5.0
"""Seconds within which a server must stop when told to; after that it is killed."""


class ServerProcesses:
    """``options.processes`` echo servers, a process each, that share one port by SO_REUSEPORT.

    Used as an `EchoServer` is. The kernel gives each new connection to one of them (socket(7)).
    Each draws its delays from a seed of its own, the given one and those after it, and counts its
    stalls from its own first connection; all append to one residence log. Raises UsageError as
    `EchoServer` does, LoadgenError if a process ends without being told to.
    """

    def __init__(self, options: ServerOptions) -> None:
        self.counts = ServerCounts()
        self._processes: dict[connection.Connection, BaseProcess] = {}
        self._stopping = False
        self._ends: set[int] = set()
        # Bound but not listening, it gets no connection; it only keeps the port.
        self._reserved = bind_socket(options)
        self.address = address_of(self._reserved, is_secure=options.is_secure)
        port = self._reserved.getsockname()[1]
        context = multiprocessing.get_context("spawn")  # safe whatever threads there are here
        stop_reader, self._stop_writer = context.Pipe(duplex=False)
        try:
            with stop_reader:
                if options.ledger is not None:
                    create_residence_log(options.ledger)
                for number in range(options.processes):
                    share = dataclasses.replace(options, port=port, seed=options.seed + number)
                    receiver, sender = context.Pipe(duplex=False)
                    process = context.Process(
                        target=_serve_share, args=(share, sender, stop_reader), daemon=True
                    )
                    with sender:
                        process.start()
                        self._processes[receiver] = process
            for receiver in self._processes:
                self._receive(receiver)
            if options.udp:
                self._reserved.close()  # it would get its share of the datagrams
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
            patience_s = STOP_S if self._stopping else None
            ready = connection.wait([*serving, *self._ends], patience_s)
            if not ready:
                raise LoadgenError(f"a server process did not stop within {STOP_S:g} s")
            for item in ready:
                if isinstance(item, connection.Connection):
                    self.counts += self._receive(item)
                    serving.remove(item)
                    if not self._stopping:
                        raise LoadgenError("a server process stopped without being told to")
                elif isinstance(item, int) and not os.read(item, 4096):
                    self._ends.remove(item)
                    self.stop()

    def stop(self) -> None:
        """Ask all processes to stop: safe in a signal handler, in another thread, repeatedly."""
        self._stopping = True
        with contextlib.suppress(OSError):  # a second call, during the first
            self._stop_writer.close()

    def stop_at_end_of(self, descriptor: int) -> None:
        """Stop when ``descriptor``, a pipe or socket, is at its end; its data is dropped."""
        self._ends.add(descriptor)

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
    # ^C and a signal to the group reach this process too; it must still send its counts.
    for number in signals.asking_to_end():
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
    try:
        with least_timer_slack(), server_of(options) as server:
            signal.signal(signal.SIGTERM, lambda *_: server.stop())
            server.stop_at_end_of(stop_reader.fileno())
            sender.send(server.counts)  # it listens
            server.serve()
    except LoadgenError as error:
        sender.send(error)
    else:
        sender.send(server.counts)
