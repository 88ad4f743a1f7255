"""``loadgen --version``, and with ``--verbose`` what this installation and this machine offer."""

import importlib.metadata
import platform
from collections.abc import Iterator
from typing import Final

from loadgen._version import __version__
from loadgen.analysis.lines import Line, labelled
from loadgen.engine import choice, native
from loadgen.net import backends, timestamps
from loadgen.net.clock import wall_ns
from loadgen.net.native_modules import Absence
from loadgen.runner import environment
from loadgen.server import native as native_server

EXTRAS: Final = {
    "hdr": ("hdrhistogram",),
    "http": ("httptools",),
    "locust": ("locust",),
    "report": ("jinja2", "matplotlib", "scipy"),
}
"""The distributions of each extra that users install: ``pip install 'loadgen[hdr]'``."""


def version() -> Line:
    """Return the version of loadgen."""
    return Line(f"loadgen {__version__}")


def details() -> Iterator[Line]:
    """Yield what a report of a fault should say, a line for each thing."""
    seen = environment.observe()
    chosen = choice.resolve("auto", "auto")
    why = f": {chosen.why_python}" if chosen.why_python else ""
    others = [name for name in backends.available() if name != chosen.backend]
    yield labelled("Python", seen.python)
    yield labelled("system", f"{seen.system} {seen.kernel}, {platform.machine()}")
    yield labelled("processor", f"{seen.cpu}, {seen.cpus_usable} of {seen.cpus} cores")
    yield labelled("libraries", ", ".join(map(" ".join, seen.libraries.items())))
    yield labelled("engine", f"{chosen.engine}{why}")
    yield from _server_unless_alike()
    yield labelled("backends", ", ".join([f"{chosen.backend} (auto)", *others]))
    yield labelled("timestamps", _timestamps())
    yield labelled("extras", "; ".join(map(_extra, EXTRAS)))


def _server_unless_alike() -> Iterator[Line]:
    """Yield what the echo server answers with, where its module has fared otherwise."""
    module = native_server.load()
    absence = module if isinstance(module, Absence) else None
    if absence != native.absence():
        yield labelled("server", f"python: {absence.reason}" if absence else "native")


def _timestamps() -> str:
    try:
        with timestamps.keep_stamping(wall_ns):
            return "kernel"
    except timestamps.NoStampsError as error:
        return f"user: {error}"


def _extra(name: str) -> str:
    """Return the versions of what the extra ``name`` installs, or that some of it is not there."""
    found, missing = [], []
    for distribution in EXTRAS[name]:
        try:
            found.append(f"{distribution} {importlib.metadata.version(distribution)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(distribution)
    return f"{name}: {', '.join([*found, *(f'no {each}' for each in missing)])}"
