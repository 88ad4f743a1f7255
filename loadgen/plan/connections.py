"""The fields of a Plan that say what is loaded, and by which connections."""

from typing import Annotated, Final

import msgspec

from loadgen.net import backends
from loadgen.net.target import SCHEMES, Target
from loadgen.plan.kinds import BUFFER, DURATION, NAME, RATE, YES, count, one_of
from loadgen.plan.options import DECLARED, EVERYWHERE, LOCUST, Group, InLocust, Option
from loadgen.quantities import Text

TARGET: Final = Group("target", "what to load")
CONNECTIONS: Final = Group("connections", "how to connect")

_SYSTEM: Final = "the system's choice"


class Connections(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The target, and the connections to it.

    A target of None starts the embedded server; the path of a UNIX socket is as
    `loadgen.text.escaped` writes it.
    """

    target: Annotated[
        Text | None,
        TARGET,
        Option(
            "TARGET",
            NAME,
            f"host:port, [ipv6]:port, unix:///path, or a URL of {', '.join(SCHEMES)}",
        ),
        InLocust(instead="host"),
    ] = None
    connections: Annotated[
        int,
        CONNECTIONS,
        Option("-c/--connections/--conns", count(), "connections open at the same time"),
        Option("--connections-per-user", count(), "connections of each user", place=LOCUST),
        DECLARED,
    ] = 100
    backend: Annotated[
        Text,
        CONNECTIONS,
        Option(
            "--backend",
            one_of("NAME", *backends.NAMES),
            "I/O multiplexer",
            default_note="the platform's best",
            place=EVERYWHERE,
        ),
    ] = "auto"
    engine: Annotated[
        Text,
        CONNECTIONS,
        Option(
            "--engine",
            one_of("NAME", *backends.ENGINES),
            "what exchanges the messages, compiled code or Python",
            default_note="native where there is one",
            place=EVERYWHERE,
        ),
    ] = "auto"
    connect_rate_per_s: Annotated[
        float | None,
        CONNECTIONS,
        Option(
            "--connect-rate",
            RATE,
            "connections opened per second, in total",
            default_note="as fast as they come up",
        ),
        InLocust(instead="Locust's --spawn-rate"),
    ] = None
    connect_timeout_s: Annotated[
        float,
        CONNECTIONS,
        Option("--connect-timeout", DURATION, "longest time for one connection to come up"),
    ] = 3.5
    io_timeout_s: Annotated[
        float,
        CONNECTIONS,
        Option(
            "--io-timeout",
            DURATION,
            "longest time without progress while a connection waits for the server, and for each "
            "step of its greeting; then it fails, and others go on; with udp://, longest time for "
            "a reply, and only the message fails",
            place=EVERYWHERE,
        ),
    ] = 5.5
    reconnect: Annotated[
        bool,
        CONNECTIONS,
        Option("--reconnect", YES, "open failed connections again, with back-off"),
    ] = False
    nagle: Annotated[
        bool, CONNECTIONS, Option("--nagle", YES, "leave Nagle's algorithm on (no TCP_NODELAY)")
    ] = False
    send_buffer_bytes: Annotated[
        int | None,
        CONNECTIONS,
        Option(
            "--sndbuf", BUFFER, "size of the kernel's send buffer, SO_SNDBUF", default_note=_SYSTEM
        ),
    ] = None
    receive_buffer_bytes: Annotated[
        int | None,
        CONNECTIONS,
        Option(
            "--rcvbuf",
            BUFFER,
            "size of the kernel's receive buffer, SO_RCVBUF",
            default_note=_SYSTEM,
        ),
    ] = None

    @property
    def peer(self) -> Target:
        """The target, parsed; one of TCP without a host where none is named."""
        return Target() if self.target is None else Target.parse(self.target)

    @property
    def is_datagram(self) -> bool:
        """Whether each message is a datagram (UDP)."""
        return self.peer.is_datagram

    def _check_target(self) -> None:
        if self.target is not None:
            Target.parse(self.target)
