"""The wait for kqueue, over a stand-in for the system call: no system with one is at hand."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from command import ROOT
from native_build import build

_WAITS: Final = """
import select, socket, sys
from array import array
from importlib.util import module_from_spec, spec_from_file_location

spec = spec_from_file_location("loadgen.engine._native", sys.argv[1])
native = module_from_spec(spec)
spec.loader.exec_module(native)
one, other = socket.socketpair()
queue = select.epoll()
events = array("q", bytes(8 * 128))

def wait():
    found = native.wait_kqueue(queue.fileno(), 0, events)
    return [(each >> 32, each & 3) for each in events[:found]]

queue.register(one, select.EPOLLIN)
assert wait() == []
other.send(b"!")
assert wait() == [(one.fileno(), 1)]
queue.modify(one, select.EPOLLIN | select.EPOLLOUT)
assert wait() == [(one.fileno(), 1), (one.fileno(), 2)]
queue.close()
try:
    native.wait_kqueue(1000, 0, events)
except OSError as error:
    print(error.errno)
"""


def test_it_translates_what_has_happened(tmp_path: Path) -> None:
    stand_in = ROOT / "tests" / "fakes" / "kqueue"
    module = build("loadgen.engine._native", tmp_path, "-DHAS_KQUEUE", f"-I{stand_in}")
    done = subprocess.run(
        [sys.executable, "-c", _WAITS, str(module)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == "9\n"  # EBADF
