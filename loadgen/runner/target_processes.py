"""Finds the processes of a target: those that listen at its address, if that is on this machine."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import psutil

from loadgen.errors import UsageError
from loadgen.net.address import Endpoint
from loadgen.plan import Plan

_WILDCARDS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - where targets listen
_NOT_SEEN: Final = "the system does not show which process listens there"


class UnknownTargetError(Exception):
    """The processes of the target cannot be found; the text says why."""


def processes_of(plan: Plan, endpoint: Endpoint, embedded_pid: int | None) -> list[psutil.Process]:
    """Return the processes of the target, and their children.

    Raises UsageError if the plan names one that does not exist, UnknownTargetError if they are
    unknown.
    """
    if isinstance(plan.watch, int):
        try:
            return _with_children([plan.watch])
        except psutil.NoSuchProcess:
            raise UsageError.of(
                "--watch-pid",
                plan.watch,
                "no process has that id; give the process id of the target",
            ) from None
    kind = "udp" if plan.is_datagram else "tcp"
    pids = [embedded_pid] if embedded_pid is not None else _listening_at(endpoint, kind)
    try:
        return _with_children(pids)
    except psutil.Error:
        raise UnknownTargetError(_NOT_SEEN) from None


def _with_children(pids: Iterable[int]) -> list[psutil.Process]:
    found: dict[int, psutil.Process] = {}
    for process in map(psutil.Process, pids):
        for each in (process, *process.children(recursive=True)):
            found.setdefault(each.pid, each)
    return list(found.values())


def _listening_at(endpoint: Endpoint, kind: str) -> list[int]:
    """Return the processes of this machine that listen at ``endpoint``, the oldest first."""
    is_path = isinstance(endpoint.address, str)
    if not is_path and not _is_local(endpoint.address[0]):
        raise UnknownTargetError("the target is on another machine")
    try:
        connections = psutil.net_connections("unix" if is_path else kind)
    except psutil.Error:
        raise UnknownTargetError(_NOT_SEEN) from None
    listens = (
        _listens_at_path(endpoint.address) if is_path else _listens_at_port(*endpoint.address[:2])
    )
    pids = sorted({each.pid for each in connections if each.pid is not None and listens(each)})
    if not pids:
        raise UnknownTargetError(_NOT_SEEN)
    return pids


def _listens_at_path(path: str) -> Callable[[Any], bool]:
    return lambda each: each.laddr == path


def _listens_at_port(ip: str, port: int) -> Callable[[Any], bool]:
    def listens(each: Any) -> bool:
        is_bound = each.status in (psutil.CONN_LISTEN, psutil.CONN_NONE) and not each.raddr
        if not is_bound or each.laddr.port != port:
            return False
        return each.laddr.ip.removeprefix("::ffff:") in {ip, *_WILDCARDS}

    return listens


def _is_local(ip: str) -> bool:
    if ip.startswith("127.") or ip == "::1":
        return True
    addresses = (each for interface in psutil.net_if_addrs().values() for each in interface)
    return any(each.address.partition("%")[0] == ip for each in addresses)
