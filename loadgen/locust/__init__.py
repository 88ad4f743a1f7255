"""Loadgen's engine inside Locust: user classes, statistics, master and workers.

    from loadgen.locust import SocketUser, ScriptedSocketUser

Importing this imports Locust, which patches the standard library (gevent.monkey.patch_all); the
engine uses the unpatched one. It needs ``pip install 'loadgen[locust]'``.
"""

try:
    import locust as _locust
except ModuleNotFoundError as missing:
    if missing.name != "locust":
        raise
    raise ModuleNotFoundError(
        "loadgen.locust needs Locust; install it with: pip install 'loadgen[locust]'",
        name="locust",
    ) from None

from loadgen.locust import plugin
from loadgen.locust.client import RequestFailed, RequestTimeout, SocketClient
from loadgen.locust.users import ScriptedSocketUser, SocketUser

__all__ = ["RequestFailed", "RequestTimeout", "ScriptedSocketUser", "SocketClient", "SocketUser"]

plugin.install(_locust.events)
