"""Which engine carries out a run: the native one, or the one in Python. Decided here alone.

Facts. Both keep the same books, and a run has the same results in either. The native one takes less
processor time for a message. It needs a module that is compiled when loadgen is installed, and it
asks the kernel itself: for what is ready, for bytes, for the time.

Decision. ``auto`` is native wherever that can be. What cannot be is a run whose sockets or clock
are replaced by the caller's own, which the kernel does not know of; an installation without the
module; and a backend that it does not wait with, such as devpoll. Whoever asks for ``native`` gets
it, or a refusal.
"""

from typing import NamedTuple

from loadgen.engine import native
from loadgen.errors import LocalLimitError
from loadgen.net import backends
from loadgen.results.instruments import EngineName


class Choice(NamedTuple):
    """What a run waits and exchanges messages with.

    backend: a name of `loadgen.net.backends`, and not ``auto``.
    why_python: why the choice that was left to loadgen is Python; empty where it is native, and
    where Python was asked for.
    """

    backend: str
    engine: EngineName
    why_python: str = ""


def resolve(engine: str, backend: str, obstacle: str = "") -> Choice:
    """Return what the options ``--engine`` and ``--backend`` stand for here.

    obstacle: what else makes a native run impossible, in words; empty if nothing does.

    Raises as `loadgen.net.backends.resolve` does, and LocalLimitError where ``native`` is asked for
    and cannot be had.
    """
    resolved = backends.resolve(backend)
    if engine == "python":
        return Choice(resolved, "python")
    why_not, remedy = _why_not(resolved, obstacle)
    if not why_not:
        return Choice(resolved, "native")
    if engine == "native":
        raise LocalLimitError(f"--engine native: {why_not}; {remedy}, or choose auto or python")
    return Choice(resolved, "python", why_not)


def _why_not(backend: str, obstacle: str) -> tuple[str, str]:
    """Return why ``backend`` cannot be had natively, and what to do; empty if it can."""
    if obstacle:
        return obstacle, "leave that out"
    if not native.available():
        return native.reason(), "install a C compiler, then loadgen again"
    if backend not in native.BACKENDS:
        usable = ", ".join(name for name in backends.available() if name in native.BACKENDS)
        return f"there is no native code for {backend}", f"choose --backend {usable}"
    return "", ""
