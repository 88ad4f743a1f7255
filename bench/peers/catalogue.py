"""The peers: other load tools, each with the server it is made for, and clients in Python.

All keep one message in flight on each connection, if their name says nothing else, in one thread,
as loadgen does then.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Final

from bench.locustfiles import MESSAGE
from bench.peers import printed, servers
from bench.peers.peer import Command, Library, Load, Need, Peer
from bench.peers.printed import Told
from bench.peers.processes import Workshop

_NGINX: Final = Command("nginx", "nginx", ask="-v")
_WRK: Final = (Command("wrk", "wrk", ask="-v"), _NGINX)
_AUTOCANNON: Final = Command("autocannon", "autocannon", installer="npm install -g")
_SOCKPERF_MESSAGE: Final = (
    r"\0\0\0\0\0\0\0\x01"  # its number
    r"\0\x03"  # from a client, which wants an answer
    r"\0\0\0\x40"  # its length
) + "x" * (len(MESSAGE) - 14)
_H2LOAD_NAME: Final = "user-agent: bench"  # otherwise its version
_SEVERAL: Final = 8

Options = AbstractContextManager[list[str]]


# ---- HTTP, against nginx -------------------------------------------------------------


def wrk_arguments(port: int, connections: int, seconds: float) -> list[str]:
    """Return what wrk is to be told, and wrk2 beside its rate."""
    load = ["-t", "1", "-c", str(connections), "-d", f"{seconds:.0f}s"]
    return [*load, f"http://127.0.0.1:{port}/"]


def _wrk(load: Load) -> list[str]:
    return ["wrk", *wrk_arguments(load.port, load.connections, load.seconds)]


def _wrk_told(text: str, _: Load) -> Told:
    return printed.wrk(text)


def _h2load(load: Load) -> list[str]:
    words = ["--h1", "-t", "1", "-m", "1", "-c", str(load.connections), "-H", _H2LOAD_NAME]
    duration = f"{round(load.seconds * 1000)}ms"
    return ["h2load", *words, "-D", duration, f"http://127.0.0.1:{load.port}/"]


def _autocannon(load: Load) -> list[str]:
    words = ["-w", "0", "-p", "1", "-c", str(load.connections), "-d", f"{load.seconds:.0f}"]
    return ["autocannon", *words, "--json", "--no-progress", f"http://127.0.0.1:{load.port}/"]


def _requesting(*headers: str) -> Callable[[int, int], Options]:
    """Return the options that make loadgen send, beside Host, these headers only."""
    words = [word for header in ("User-Agent:", *headers) for word in ("-H", header)]
    return lambda *_: nullcontext(words)


def _known_length(port: int, _: int) -> Options:
    request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    response_bytes = servers.http_response_bytes(port, request.encode())
    payload = request.replace("\r\n", r"\r\n")
    return nullcontext(["--payload", payload, "--reply", f"fixed:{response_bytes}"])


# ---- other tools, against their own servers ------------------------------------------


def _redis_told(text: str, load: Load) -> Told:
    return printed.redis_benchmark(text, load.messages)


def _redis(name: str, command: str, pipeline: int) -> Peer:
    def words(load: Load) -> list[str]:
        numbers = ["-p", str(load.port), "-c", str(load.connections), "-n", str(load.messages)]
        return ["redis-benchmark", *numbers, "-P", str(pipeline), "--csv", *command.split()]

    def options(*_: int) -> Options:
        return nullcontext(["--command", command, "--pipeline", str(pipeline)])

    note = f"{command}; it is asked for as many messages as loadgen had in the same round, for it "
    note += "knows no duration; its figure includes the time to connect"
    needs = (Command("redis-benchmark", "redis-tools"), Command("redis-server", "redis-server"))
    return Peer(
        *(f"redis-benchmark {name} -P {pipeline}", needs, servers.redis),
        *(words, _redis_told, options),
        scheme="redis",
        aims=_everywhere(1.4) if pipeline == 1 and name in ("GET", "SET") else {},
        note=note,
    )


_REDIS: Final = {
    "GET": f"GET {servers.REDIS_KEY}",
    "SET": f"SET {servers.REDIS_KEY} {servers.REDIS_VALUE}",
    "LRANGE_100": f"LRANGE {servers.REDIS_LIST} 0 99",
}
"""What redis-benchmark sends in its tests of these names, but for the name of the key."""


def _sockperf(load: Load) -> list[str]:
    words = ["ping-pong", "--tcp", "-i", "127.0.0.1", "-p", str(load.port), "--full-rtt"]
    return ["sockperf", *words, "-t", f"{load.seconds:.0f}", "-m", str(len(MESSAGE))]


def _sockperf_options(*_: int) -> Options:
    return nullcontext(["--payload", _SOCKPERF_MESSAGE])


def _iperf3(load: Load) -> list[str]:
    words = ["-c", "127.0.0.1", "-p", str(load.port), "-P", str(load.connections), "--json"]
    return ["iperf3", *words, "-t", f"{load.seconds:.0f}", "-l", str(servers.BLOCK_BYTES)]


def _iperf3_told(text: str, _: Load) -> Told:
    return printed.iperf3(text, servers.BLOCK_BYTES)


@contextmanager
def _iperf3_options(port: int, connections: int) -> Iterator[list[str]]:
    with servers.iperf3_test(port, connections) as cookie:
        greeting = cookie.decode().replace("\0", r"\0")
        yield [
            *("--size", str(servers.BLOCK_BYTES), "--reply", "none"),
            *("--first-message", greeting),
        ]


# ---- Python, against the echo server in C or nginx --------------------------------------


def _echoed(*_: int) -> Options:
    return nullcontext(["--size", str(len(MESSAGE))])


def _everywhere(ratio: float) -> Mapping[int, tuple[float, float]]:
    return dict.fromkeys((100, 1000), (ratio, ratio))


def _in_python(
    name: str,
    module: str,
    *needs: Need,
    serve: Callable[[Workshop], AbstractContextManager[int]] = servers.echo,
    options: Callable[[int, int], Options] = _echoed,
    scheme: str = "tcp",
    note: str = "",
) -> Peer:
    def command(load: Load) -> list[str]:
        numbers = map(str, (load.port, load.connections, load.seconds))
        return [sys.executable, "-m", f"bench.peers.clients.{module}", *numbers]

    def told(text: str, _: Load) -> Told:
        return printed.own_client(text)

    return Peer(name, needs, serve, command, told, options, scheme=scheme, note=note)


PEERS: Final = (
    Peer(
        *("wrk", _WRK, servers.nginx, _wrk, _wrk_told, _requesting()),
        scheme="http",
        has_whole_seconds=True,
        aims={100: (1.0, 1.1), 1000: (1.1, 1.2)},
        note="GET from nginx; both parse the responses; wrk's figure includes the time to connect",
    ),
    Peer(
        *("wrk (length known)", _WRK, servers.nginx, _wrk, _wrk_told, _known_length),
        has_whole_seconds=True,
        note="the same, but loadgen counts the bytes of a response whose length it was told",
    ),
    Peer(
        *("h2load", (Command("h2load", "nghttp2-client"), _NGINX), servers.nginx),
        *(_h2load, lambda text, _: printed.h2load(text), _requesting(_H2LOAD_NAME)),
        scheme="http",
        note="HTTP/1.1 from nginx (--h1); as for wrk, but without the time to connect",
    ),
    Peer(
        *("autocannon", (_AUTOCANNON, _NGINX), servers.nginx, _autocannon),
        *(lambda text, _: printed.autocannon(text), _requesting("Connection: keep-alive")),
        scheme="http",
        has_whole_seconds=True,
        note="Node.js, in one thread (-w 0); as for wrk",
    ),
    _in_python(
        *("Locust FastHttpUser", "locust_fast_http", Library("locust"), _NGINX),
        serve=servers.nginx,
        options=_requesting("Accept-Encoding: gzip, deflate"),
        scheme="http",
        note="GET from nginx; from when each user has had its first response",
    ),
    *(_redis(name, command, count) for name, command in _REDIS.items() for count in (1, 16)),
    Peer(
        *("sockperf", (Command("sockperf", "sockperf"),), servers.sockperf),
        *(_sockperf, lambda text, _: printed.sockperf(text), _sockperf_options),
        connections=(1,),
        has_whole_seconds=True,
        note="ping-pong to its own server, 64 bytes in its format; it has one message in flight "
        "however many connections it has",
    ),
    Peer(
        *("iperf3", (Command("iperf3", "iperf3"),), servers.iperf3),
        *(_iperf3, _iperf3_told, _iperf3_options),
        connections=(1, _SEVERAL),
        has_whole_seconds=True,
        note="one way to its own server; a message is a block of 128 KiB, of which loadgen counts "
        "those that the kernel has taken whole",
    ),
    _in_python("asyncio streams", "asyncio_streams"),
    _in_python("asyncio protocol", "asyncio_protocol"),
    replace(
        _in_python("uvloop protocol", "uvloop_protocol", Library("uvloop")), aims=_everywhere(1.15)
    ),
    _in_python("gevent sockets", "gevent_sockets", Library("gevent")),
    _in_python(
        *("Locust by hand", "locust_by_hand", Library("locust")),
        note="a User with a gevent socket that fires a request event; from when all have connected",
    ),
)
