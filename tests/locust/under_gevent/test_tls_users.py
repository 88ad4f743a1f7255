"""A user whose host is tls://: the engine's own TLS, and not what gevent puts in its place."""

from local_run import LocalRun, scripted, wait_for
from secured import CA, Secured
from servers import ScriptedServer, byte_by_byte, echoes

from loadgen.locust import SocketUser


def test_a_user_speaks_tls_where_its_host_says_so() -> None:
    with ScriptedServer(Secured(echoes)) as server:

        class Talk(SocketUser):
            host = f"tls://{server.address}"
            ca_file = CA
            payloads = (b"over tls",)
            verify = True

        with LocalRun(Talk) as run:
            run.start(2)
            wait_for(lambda: run.answered(Talk) > 10)
        record = run.record(Talk)
        assert not run.user_errors
    assert (record.failures, record.target.address) == ([], f"tls://{server.address}")
    assert record.timestamps.missing == 0


def test_a_script_gets_its_replies_over_tls() -> None:
    with (
        ScriptedServer(Secured(byte_by_byte)) as server,
        scripted(f"tls://{server.address}", ca_file=CA, reply=r"delimiter:\n") as (user, run),
    ):
        replies = [user.client.request(f"{number}\n".encode()) for number in range(5)]
    record = run.record(type(user))
    assert replies == [f"{number}\n".encode() for number in range(5)]
    assert record.tls is not None
    assert (record.tls.count, record.failures) == (1, [])
