"""Which engine carries out a run: the native one, or the one in Python. Decided here alone.

Facts. Both keep the same books, and a run has the same results in either. The native one takes less
processor time for a message. It needs a module that is compiled when loadgen is installed, and it
asks the kernel itself: for what is ready, for bytes, for the time.

Decision. ``auto`` is native wherever that can be. What cannot be is a run whose sockets or clock
are replaced by the caller's own, which the kernel does not know of; messages that go through TLS;
an installation without the module; and a backend that it does not wait with, such as devpoll. Where
``native`` is asked for it is that, or the run is refused.
"""

from typing import Final, NamedTuple

from loadgen.engine import native
from loadgen.errors import LocalLimitError
from loadgen.net import backends
from loadgen.plan import Plan
from loadgen.results.instruments import EngineName

_TLS: Final = "messages go through TLS, which has no native path"

SCRIPTED: Final = "code makes each message of a script, which has no native path"
"""Why a load is Python whatever was asked for."""


class Choice(NamedTuple):
    """What a run waits and exchanges messages with.

    backend: a name of `loadgen.net.backends`, and not ``auto``.
    why_python: why the choice that was left to loadgen is Python; empty where it is native, and
    where Python was asked for.
    """

    backend: str
    engine: EngineName
    why_python: str = ""


def of(plan: Plan, obstacle: str = "") -> Choice:
    """Return what ``plan`` is carried out with; as `resolve`, which says what is raised."""
    return resolve(plan.engine, plan.backend, obstacle or (_TLS if plan.is_secure else ""))


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
    if absence := native.absence():
        return absence
    if backend not in native.BACKENDS:
        usable = ", ".join(name for name in backends.available() if name in native.BACKENDS)
        return f"there is no native code for {backend}", f"choose --backend {usable}"
    return "", ""
