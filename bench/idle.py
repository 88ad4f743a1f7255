"""The native engine without the kernel: its system calls do nothing, and every message is answered.

`built_idle` compiles the native module anew, with `native/idle.c` in the place of the kernel. A
process has one native module only: `run_idle` starts another that has this one.
"""

import ctypes
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.pairs import PairDialer, new_side
from bench.ways import NATIVE
from bench.yardstick import ROOT, SOURCE, UnavailableError, built
from loadgen.engine import native
from loadgen.engine.driver import PythonDriver
from loadgen.engine.group import Group

_SOURCES: Final = ROOT / "loadgen" / "engine"
_IDLE: Final = SOURCE.with_name("idle.c")
_NAME: Final = "_native.abi3.so"
_PROGRAM: Final = """\
import sys
import loadgen.engine
loadgen.engine.__path__.insert(0, sys.argv[1])
from importlib import import_module
sys.exit(import_module(sys.argv[2]).main(sys.argv[3:]))
"""
"""Runs ``main`` of a module, with the native module that is found in a directory."""


@contextmanager
def built_idle() -> Iterator[Path]:
    """Yield the directory of the module, compiled. Raises UnavailableError where it cannot be."""
    stub = ("-include", str(_IDLE.with_suffix(".h")))
    flags = ("-fPIC", "-shared", f"-I{sysconfig.get_path('include')}", *stub)
    with built(_IDLE, *sorted(_SOURCES.glob("_native*.c")), flags=flags, name=_NAME) as path:
        yield path.parent


def run_idle(module: str, arguments: Sequence[str]) -> int:
    """Run ``main`` of ``module`` in a process with the idle native module; return its exit code.

    Raises UnavailableError where that cannot be compiled.
    """
    with built_idle() as directory:
        command = [sys.executable, "-c", _PROGRAM, str(directory), module, *arguments]
        return subprocess.run(command, cwd=ROOT, check=False).returncode


def is_idle() -> bool:
    """Return whether the native module of this process is the one that does nothing."""
    return native.available() and hasattr(_library(), "idle_answer")


def new_idle_side(reply: bytes, *, stamped: bool) -> tuple[PythonDriver, Group]:
    """Return a driver and a group of connections to which ``reply`` is the answer to each message.

    Raises UnavailableError where it is too long.
    """
    dialer = PairDialer()
    dialer.stamp_every = int(stamped)
    driver, group = new_side(dialer, "epoll", NATIVE)
    if not _library().idle_answer(driver.fileno(), reply, len(reply)):
        raise UnavailableError(f"native/idle.c has no room for a reply of {len(reply)} bytes")
    return driver, group


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(native.functions().__file__)
