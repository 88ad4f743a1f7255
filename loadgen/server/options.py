"""The options of the embedded server, checked."""

import socket
from dataclasses import dataclass
from pathlib import Path

from loadgen.errors import LocalLimitError, UsageError
from loadgen.net.backends import ENGINES
from loadgen.server.delays import NO_DELAY, Delay
from loadgen.server.stalls import Stall


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where the server listens and how it behaves. Raises UsageError for values it cannot have.

    ``port`` 0 takes a free one; ``path``, if given, is a UNIX socket instead of host and port. With
    ``udp`` it answers datagrams.
    Each answer is sent ``delay`` after the arrival of its request; ``seed`` is that of random
    delays. During each of ``stalls`` nothing is accepted, read or sent. The residence time of every
    message is written to the file ``ledger``. A ``sink`` never answers. With ``processes`` above 1
    the port is shared by SO_REUSEPORT (socket(7)), and so is the residence log. ``engine``, of
    `loadgen.net.backends.ENGINES`, gives answers that are sent at once, over no TLS. With a
    certificate ``tls_cert``, whose key is in ``tls_key`` or in the same file, TLS is spoken;
    clients then need a certificate that ``tls_client_ca`` has signed, if that is given.
    """

    host: str = "127.0.0.1"
    port: int = 0
    path: str = ""
    udp: bool = False
    delay: Delay = NO_DELAY
    seed: int = 0
    stalls: tuple[Stall, ...] = ()
    ledger: Path | None = None
    processes: int = 1
    sink: bool = False
    backlog: int = 4096
    backend: str = "auto"
    engine: str = "auto"
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError.of("--port", self.port, "give a port from 1 to 65535, or 0")
        if self.backlog < 1:
            raise UsageError.of("--backlog", self.backlog, "give a number of 1 or more")
        if self.processes < 1:
            raise UsageError.of("--processes", self.processes, "give a number of 1 or more")
        self._check_engine()
        if self.udp and self.path:
            raise UsageError("--udp: a UNIX socket is a stream; leave out --unix")
        if self.udp and self.is_secure:
            raise UsageError("--udp: TLS needs a stream; leave out one of the two")
        if self.processes > 1 and self.path:
            raise UsageError(
                f"--processes {self.processes}: a UNIX socket cannot be shared; leave out --unix"
            )
        if self.processes > 1 and not hasattr(socket, "SO_REUSEPORT"):
            raise LocalLimitError(
                f"--processes {self.processes}: this platform has no SO_REUSEPORT; use 1 process"
            )
        if self.sink and self.is_timed:
            raise UsageError("--sink: it answers nothing; leave out --delay and --ledger")

    def _check_engine(self) -> None:
        if self.engine not in ENGINES:
            raise UsageError.of("--engine", self.engine, f"choose one of {', '.join(ENGINES)}")
        if self.engine == "native" and (self.is_secure or self.udp or self.is_timed):
            raise UsageError(
                "--engine native: answers over TLS or UDP, and those with a delay or in a ledger, "
                "are made in Python; choose auto or python"
            )

    @property
    def is_secure(self) -> bool:
        """Whether it speaks TLS."""
        return self.tls_cert is not None

    @property
    def is_timed(self) -> bool:
        """Whether the server must know when each request arrived."""
        return self.delay != NO_DELAY or self.ledger is not None
