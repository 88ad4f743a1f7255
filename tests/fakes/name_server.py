"""nsd, a DNS server (RFC 1035), with one small zone, on a port of its own.

By itself it drops what comes from one network at more than some 200 queries a second.
"""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

NSD: Final = shutil.which("nsd", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
DEADLINE_S: Final = 20.0
_TRIES: Final = 5

ADDRESS: Final = bytes((192, 0, 2, 7))  # of www.example.test

_ZONE: Final = """\
$ORIGIN example.test.
$TTL 60
@ SOA ns admin 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
www A 192.0.2.7
"""

_CONFIGURATION: Final = """\
server:
  ip-address: 127.0.0.1@{port}
  username: ""
  chroot: ""
  zonesdir: "{place}"
  pidfile: "{place}/nsd.pid"
  xfrdfile: "{place}/xfrd.state"
  xfrdir: "{place}"
  zonelistfile: "{place}/zone.list"
  logfile: "{place}/nsd.log"
  server-count: 1
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: example.test
  zonefile: zone
"""


def query(number: int, name: str = "www.example.test") -> bytes:
    """Return a query for the address of ``name``; ``number`` is its ID."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    header = number.to_bytes(2) + bytes.fromhex("0100 0001 0000 0000 0000")
    return header + labels + b"\0" + bytes.fromhex("0001 0001")


@contextlib.contextmanager
def name_server(place: Path) -> Iterator[str]:
    """Run nsd in ``place``, a directory; yield where it answers, as a target."""
    assert NSD is not None
    (place / "zone").write_text(_ZONE)
    for _ in range(_TRIES):
        port = _free_port()
        configuration = place / "nsd.conf"
        configuration.write_text(_CONFIGURATION.format(port=port, place=place))
        process = subprocess.Popen([NSD, "-d", "-c", str(configuration)])
        try:
            if _answers(port, process):
                yield f"udp://127.0.0.1:{port}"
                return
        finally:
            process.terminate()
            process.wait()
    raise AssertionError("nsd has got no port of its own")


def _free_port() -> int:
    """Return a port that is free for datagrams and for connections, though not for long."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free, socket.socket() as also_free:
        also_free.bind(("127.0.0.1", 0))
        port: int = also_free.getsockname()[1]
        free.bind(("127.0.0.1", port))
    return port


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Wait until it answers; return whether it does: it ends where its port is taken."""
    deadline_s = time.monotonic() + DEADLINE_S
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.1)
        client.connect(("127.0.0.1", port))
        while process.poll() is None and time.monotonic() < deadline_s:
            with contextlib.suppress(OSError):  # it is not there yet
                client.send(query(1))
                client.recv(512)
                return True
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
    return False
