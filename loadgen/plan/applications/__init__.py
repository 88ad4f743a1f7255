"""Application protocols by name; the interface is in `loadgen.plan.applications.base`."""

from typing import Final

from loadgen.plan.applications.base import Application
from loadgen.plan.applications.datagrams import Datagrams
from loadgen.plan.applications.http import Http
from loadgen.plan.applications.raw import Raw
from loadgen.plan.applications.redis import Redis
from loadgen.plan.applications.websocket import WebSocket

APPLICATIONS: Final[dict[str, Application]] = {
    each.name: each for each in (Raw(), Http(), Redis(), WebSocket(), Datagrams())
}
