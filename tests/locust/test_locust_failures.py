"""Failures are counted alike by Locust and by loadgen, and are bounded by the back-off."""

import contextlib
import signal
import socket
from pathlib import Path
from typing import Final

from locust_accounts import MESSAGE_BYTES, Accounts
from locusts import Locusts
from optional import NEEDS_LOCUST
from servers import ScriptedServer, closes_after, echoes, resets_after

pytestmark = NEEDS_LOCUST

BACK_OFF_S: Final = 0.1
"""The shortest back-off after a failure; it doubles with each further one."""

FILE: Final = """
from locust import constant, task

from loadgen.locust import RequestFailed, ScriptedSocketUser, SocketUser


class Talk(SocketUser):
    abstract = True
    payloads = (bytes(64),)
    wait_time = constant(0.005)


class Script(ScriptedSocketUser):
    abstract = True
    wait_time = constant(0.005)

    @task
    def say(self):
        try:
            self.client.request(bytes(64))
        except RequestFailed:
            pass
"""
ONE_OF_EACH: Final = """

class {name}{kind}({kind}):
    host = "tcp://{address}"
"""


def classes(**addresses: str) -> str:
    """Return a user class of each kind for each of ``addresses``, of that name."""
    return FILE + "".join(
        ONE_OF_EACH.format(name=name, kind=kind, address=address)
        for name, address in addresses.items()
        for kind in ("Talk", "Script")
    )


def kinds(found: Accounts, name: str) -> set[str]:
    """Return the kinds of failures of both user classes of that ``name``."""
    return {
        f"{failure.phase}: {failure.cause}"
        for kind in ("Talk", "Script")
        for failure in found.records[name + kind].failures
    }


def test_failures_are_counted_alike_and_end_with_their_cause(tmp_path: Path) -> None:
    with (
        ScriptedServer(closes_after(5, MESSAGE_BYTES)) as closing,
        ScriptedServer(resets_after(MESSAGE_BYTES)) as resetting,
        socket.socket() as bound,
        contextlib.ExitStack() as later,
    ):
        bound.bind(("127.0.0.1", 0))
        address = "127.0.0.1:{1}".format(*bound.getsockname())
        file = classes(Closed=closing.address, Reset=resetting.address, Returning=address)
        with Locusts(tmp_path, file) as locusts:
            locust = locusts.headless("-u", "12", "-r", "100")
            locust.wait_for_line(r"TCP +connect +[1-9]")
            bound.listen(1024)
            returning = later.enter_context(ScriptedServer(echoes, bound.dup()))
            returning.wait_for(lambda: len([peer for peer in returning.peers if peer.stream]) == 4)
            locust.signal(signal.SIGINT)
            assert locust.end() == 1
    found = locusts.accounts
    found.check()

    for name, server in (("Closed", closing), ("Reset", resetting), ("Returning", returning)):
        records = [found.records[f"{name}{kind}"] for kind in ("Talk", "Script")]
        for record in records:
            assert record.actual.messages > 0
            failures = sum(failure.count for failure in record.failures)
            most = record.actual.duration_s / BACK_OFF_S + 1
            assert 0 < failures <= (6 if name == "Returning" else most) * record.connections.count
        opened = sum(each.actual.opened for each in records)
        assert opened <= server.accepted <= opened + 4  # the run may end during a connect
        answered = sum(each.actual.messages for each in records)
        assert answered * MESSAGE_BYTES == server.bytes_sent
    assert kinds(found, "Returning") == {"connect: refused"}

    names = {name for name, _ in found.errors}
    assert names <= {"connect", "ClosedTalk", "ClosedScript", "ResetTalk", "ResetScript"}
    assert {name for name, text in found.errors if "refused" in text} == {"connect"}
    assert found.names["connect"].answered == 0
