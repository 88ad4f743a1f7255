"""Containers without an engine: namespaces of the test's own, over the files of this machine.

A `Container` has a root of its own (an overlay: what is written there is gone with it), a host name
and, in a `Network`, an address. Each is held by one process and ends with it, and that process
ends with the pipe to its standard input: nothing is left behind, however the test ends.
"""

import contextlib
import ctypes
import http.client
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import pytest
from command import ROOT

DEADLINE_S: Final = 40.0
PAUSE_S: Final = 0.05

CLONE_NEWNET: Final = 0x40000000  # setns(2)

TOOLS: Final = ("unshare", "nsenter", "ip", "mount", "chroot", "prlimit", "setpriv")
PATH: Final = f"{sys.base_prefix}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_MAKE_BRIDGE: Final = """
set -e
ip link add bridge type bridge
ip address add "$1" dev bridge
ip link set bridge up
echo ready; exec cat
"""

# $1: an empty directory; $2: the name of the host; the others: what may be on a file system of its
# own. A user who is not root must get through to those, and in the overlay it does no harm.
_MAKE_ROOT: Final = """
set -e
room=$1 root=$1/root name=$2; shift 2
mount -t tmpfs tmpfs "$room"
mkdir "$room/upper" "$room/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$room/upper,workdir=$room/work" "$root"
for place; do
    mkdir -p "$root$place"
    above=$place
    while above=$(dirname "$above"); [ "$above" != / ]; do chmod a+x "$root$above"; done
done
for place in /dev /proc "$@"; do mount --rbind "$place" "$root$place"; done
hostname "$name"
exec chroot "$root" sh -c 'echo ready; exec cat'
"""


PLACES: Final = tuple(dict.fromkeys(map(str, (sys.base_prefix, ROOT, sys.prefix))))
"""What every container has of this machine, wherever it is mounted."""


def wait_until(condition: Callable[[], bool], tell: Callable[[], object] = lambda: "") -> None:
    """Return when ``condition`` holds; if it does not in time, say what ``tell`` returns."""
    deadline_s = time.monotonic() + DEADLINE_S
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline_s, f"it never came to that: {tell()}"
        pause.wait(PAUSE_S)


def run(command: Sequence[str]) -> str:
    """Run ``command`` to its end, which must be a good one; return what it wrote."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 0, (command, done.stdout.decode(), done.stderr.decode())
    return done.stdout.decode()


@dataclass(frozen=True)
class Setting:
    """As whom, where, with what and with how many descriptors a command runs in a container."""

    user: str = "root"
    directory: str = "/"
    variables: Mapping[str, str] = field(default_factory=lambda: {"PATH": PATH, "HOME": "/root"})
    descriptors: int = 1024
    less: Sequence[str] = ()
    """What setpriv(1) is to take from it."""


class _Holder:
    """A process in namespaces of its own, which last as long as the ``with`` does."""

    def __init__(self, kinds: Sequence[str], script: str, *arguments: str) -> None:
        command = ["unshare", "--mount", *kinds, "--propagation", "private", "--"]
        self._process = subprocess.Popen(
            [*command, "sh", "-c", script, "sh", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if said != b"ready\n":
            said += self._process.communicate()[0]
            raise PermissionError(said.decode().strip())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate()

    def entering(self, *kinds: str) -> list[str]:
        """Return the beginning of a command that runs in the namespaces of these ``kinds``."""
        return ["nsenter", "--target", str(self.pid), *kinds, "--"]


class Network(_Holder):
    """A bridge between containers, by name; the test is on it as the host would be."""

    def __init__(self, *names: str) -> None:
        super().__init__(["--net"], _MAKE_BRIDGE, "10.77.0.1/24")
        self.address_of = {name: f"10.77.0.{number}" for number, name in enumerate(names, 2)}
        self._host = ThreadPoolExecutor(1, initializer=_join_network_of, initargs=(self.pid,))

    def __exit__(self, *exception: object) -> None:
        self._host.shutdown()
        super().__exit__(*exception)

    def attach(self, container: "Container") -> None:
        """Give ``container`` the address of its name, and all names."""
        cable = ["type", "veth", "peer", "name", "eth0", "netns", str(container.pid)]
        port = f"to-{container.name}"
        run([*self.entering("--net"), "ip", "link", "add", port, *cable])
        run([*self.entering("--net"), "ip", "link", "set", port, "master", "bridge", "up"])
        address = self.address_of[container.name]
        container.run("ip", "link", "set", "lo", "up")
        container.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
        container.run("ip", "link", "set", "eth0", "up")
        lines = [f"{address} {name}\n" for name, address in self.address_of.items()]
        container.path("/etc/hosts").write_text("127.0.0.1 localhost\n" + "".join(lines))

    def ask(self, name: str, port: int, question: str, form: str | None = None) -> bytes:
        """Return the answer of the container of that name to a GET, or to the POST of ``form``."""
        return self._host.submit(_ask, self.address_of[name], port, question, form).result()


class Container(_Holder):
    """A machine of its own, as far as a program can tell; without ``network`` it has the host's."""

    def __init__(self, name: str, directory: Path, network: Network | None = None) -> None:
        self.name = name
        self._kinds = ["--uts", *(["--net"] if network else [])]
        self._log = directory / f"{name}.log"
        room = directory / name
        room.mkdir()
        super().__init__(self._kinds, _MAKE_ROOT, str(room), name, *PLACES)
        with contextlib.ExitStack() as cleanup:
            cleanup.push(super().__exit__)
            if network:
                network.attach(self)
            cleanup.pop_all()

    def path(self, inside: str) -> Path:
        """Return where the test finds what is at ``inside`` in the container."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def mount_empty(self, place: str) -> None:
        """Mount an empty file system at ``place``; of what was there, only `PLACES` stay."""
        kept = {f"/kept/{number}": each for number, each in enumerate(PLACES)}
        kept = {aside: each for aside, each in kept.items() if Path(place) in Path(each).parents}
        for aside, each in kept.items():
            self.run("mkdir", "--parents", aside)
            self.run("mount", "--rbind", each, aside)
        self.run("mkdir", "--parents", place)
        self.run("mount", "--types", "tmpfs", "tmpfs", place)
        for aside, each in kept.items():
            self.run("mkdir", "--parents", each)
            self.run("mount", "--move", aside, each)

    @property
    def log(self) -> str:
        """What the last `running` command has written."""
        return self._log.read_text(errors="replace")

    def run(self, *command: str, setting: Setting | None = None) -> str:
        """Run ``command`` to its end, which must be a good one; return what it wrote."""
        return run(self._command(command, setting or Setting()))

    def succeeds(self, *command: str, setting: Setting) -> bool:
        """Run ``command`` to its end; return whether it was a good one."""
        return (
            subprocess.run(
                self._command(command, setting),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            ).returncode
            == 0
        )

    @contextlib.contextmanager
    def running(self, *command: str, setting: Setting) -> Iterator["subprocess.Popen[bytes]"]:
        """Run ``command`` for as long as the ``with`` lasts, if it does not end before."""
        with (
            self._log.open("wb") as log,
            subprocess.Popen(
                self._command(command, setting),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)

    def _command(self, command: Sequence[str], setting: Setting) -> list[str]:
        limit = f"--nofile={setting.descriptors}:{setting.descriptors}"
        who = ["--reuid", setting.user, "--regid", setting.user, "--init-groups"]
        who += ["--pdeathsig", "KILL"]  # a test that is killed cannot clean up
        who += setting.less
        variables = [f"{name}={value}" for name, value in setting.variables.items()]
        inside = self.entering("--mount", "--root", *self._kinds)
        as_whom = ["prlimit", limit, "--", "setpriv", *who, "--"]
        return [*inside, *as_whom, "env", "-i", "-C", setting.directory, *variables, *command]


def skip_unless_permitted(directory: Path) -> None:
    """Skip the test where no containers can be made, and say why."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}, which is not installed here")
    try:
        with Network("trial") as network, Container("trial", directory, network):
            pass
    except PermissionError as error:
        pytest.skip(f"namespaces are not permitted here: {error}")


def _join_network_of(pid: int) -> None:
    """Move this thread, and the sockets that it makes from now on, into the network of ``pid``."""
    with Path(f"/proc/{pid}/ns/net").open("rb") as network:
        failed = ctypes.CDLL(None, use_errno=True).setns(network.fileno(), CLONE_NEWNET)
    assert not failed, os.strerror(ctypes.get_errno())


def _ask(address: str, port: int, question: str, form: str | None) -> bytes:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    with contextlib.closing(http.client.HTTPConnection(address, port, timeout=DEADLINE_S)) as it:
        it.request("GET" if form is None else "POST", question, form, kind if form else {})
        response = it.getresponse()
        content = response.read()
    assert response.status == 200, (question, response.status, content)
    return content
