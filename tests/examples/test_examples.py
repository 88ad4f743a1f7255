"""The examples: each keeps the contract, and its command loads the real server."""

import ast
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from accounts import check, failures
from real_servers import memcached, mosquitto, postgresql, redis

import loadgen
from bench.yardstick import ROOT
from examples.lines import Lines
from examples.memcached import Text
from examples.mqtt import Packets, connect, packet, publish
from examples.postgresql import Ready, query, start_up
from loadgen.net.protocols import Framing
from loadgen.results.record import from_json
from loadgen.testing import check_protocol

Server = Callable[[], AbstractContextManager[str]]

LIMIT_BYTES = 2**16
IS_READY = b"Z\0\0\0\x05I"


@pytest.mark.parametrize(
    ("framing", "replies"),
    [
        (Lines(), [b"+PONG\r\n", b"-ERR no such command\r\n", b"\r\n"]),
        (
            Text(LIMIT_BYTES),
            [
                *(b"STORED\r\n", b"END\r\n", b"NOT_FOUND\r\n"),
                b"VALUE a 0 5\r\nx\r\ny\n\r\nVALUE b 0 0 7\r\n\r\nEND\r\n",
            ],
        ),
        (
            Ready(LIMIT_BYTES),
            [
                IS_READY,
                b"T\0\0\0\x06ab" + b"D\0\0\0\x04" + b"C\0\0\0\x05\0" + IS_READY,
                b"E\0\0\0\x06no" + IS_READY,
            ],
        ),
        (
            Packets(LIMIT_BYTES),
            [
                *(b"\x20\x02\0\0", b"\x20\x02\0\x05", b"\x40\x02\0\x01", b"\xd0\0"),
                packet(0x30, bytes(130)),
            ],
        ),
    ],
    ids=["lines", "memcached", "postgresql", "mqtt"],
)
def test_keeps_the_contract(framing: Framing, replies: list[bytes]) -> None:
    check_protocol(framing, replies, most_reply_bytes=LIMIT_BYTES)


def test_the_documented_one_is_that_of_the_examples() -> None:
    code = (ROOT / "examples" / "lines.py").read_text(encoding="utf-8").split('"""\n\n', 1)[1]
    document = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
    assert f"```python\n{code}```" in document


@contextmanager
def memcached_with_a_value() -> Iterator[str]:
    with memcached() as address:
        record = loadgen.run(
            plan(address, "examples.memcached:Text", b"set key 0 0 5\r\nhello\r\n", messages=1)
        )
        assert failures(record) == {}
        yield address


def plan(address: str, reply: str, *payloads: bytes, **fields: Any) -> loadgen.Plan:
    common: dict[str, Any] = {"connections": 3, "messages": 40, "probe": False}
    return loadgen.Plan(target=address, reply=reply, payloads=payloads, **(common | fields))


def commands(name: str) -> list[list[str]]:
    """Return the commands in the docstring of the example."""
    module = ast.parse((ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8"))
    lines = (ast.get_docstring(module) or "").replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.strip().startswith("loadgen ")]


@pytest.mark.parametrize(
    ("name", "server"),
    [
        ("lines", redis),
        ("memcached", memcached),
        ("postgresql", postgresql),
        ("mqtt", mosquitto),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_its_commands_load_the_real_server(name: str, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    found = commands(name)
    assert found
    with server() as address:
        for _, _, *options in found:
            command = [sys.executable, "-m", "loadgen", address, *options]
            more = ["-n", "20", "-c", "3", "--no-probe", "--json", str(path)]
            child = subprocess.run(
                [*command, *more], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
            )
            assert child.returncode == 0, child.stderr
            record = from_json(path.read_bytes())
            check(record)
            assert failures(record) == {}
            assert record.actual.messages == 60


@pytest.mark.parametrize(
    ("server", "reply", "payloads", "fields"),
    [
        (redis, "examples.lines:Lines", (b"PING\r\n", b"NOPE\r\n"), {}),
        (
            memcached_with_a_value,
            "examples.memcached:Text",
            (b"get key\r\n", b"incr none 1\r\n"),
            {},
        ),
        (
            postgresql,
            "examples.postgresql:Ready",
            (query("SELECT generate_series(1, 100)"), query("SELECT nonsense")),
            {"first_message": start_up(user="postgres", database="postgres")},
        ),
    ],
    ids=["redis", "memcached", "postgresql"],
)
def test_half_is_rejected_in_closed_and_open_loop_and_pipelined(
    server: Server, reply: str, payloads: tuple[bytes, ...], fields: dict[str, Any]
) -> None:
    with server() as address:
        for load in ({}, {"pipeline": 4}, {"rate": 600, "pipeline": 2}):
            record = loadgen.run(plan(address, reply, *payloads, **fields, **load))
            check(record)
            assert failures(record) == {"reply: rejected": 60}
            assert record.actual.messages == 120


def test_a_refused_connect_of_mqtt_is_a_failure_to_come_up() -> None:
    refused = connect().replace(b"MQTT\x04", b"MQTT\x09")  # a version that there is not
    with mosquitto() as address:
        load = plan(address, "examples.mqtt:Packets", publish("a", b"b"), first_message=refused)
        with pytest.raises(loadgen.UnreachableTargetError) as refusal:
            loadgen.run(load)
    [failure] = refusal.value.record.failures
    assert (failure.phase, failure.cause) == ("connect", "rejected")
    assert failure.count == 3
