"""The embedded target: an echo server whose delays, stalls and residence times are known."""

from loadgen.server.connections import ServerCounts
from loadgen.server.echo import EchoServer
from loadgen.server.options import ServerOptions

__all__ = ["EchoServer", "ServerCounts", "ServerOptions"]
