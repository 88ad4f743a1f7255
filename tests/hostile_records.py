"""Records that somebody has damaged or forged, and what the command makes of them."""

import contextlib
import copy
import faulthandler
import io
import json
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from records import HEALTHY, OPEN_LOOP_TIMES, healthy

from loadgen.cli import main
from loadgen.errors import LoadgenError
from loadgen.evidence import MachineSamples, MonitorRecord, ProcessSamples
from loadgen.hdr_log import to_hdr_log
from loadgen.interval_packer import packed
from loadgen.merge import merge
from loadgen.record import from_json

LONGEST_S: Final = 60.0
"""Generous, for a busy machine: what is wrong takes minutes.

An example that takes longer ends the process, with a traceback of where it was.
"""

ACCEPTED_CODES: Final = (0, 1, 2, 4)

_PROCESSES: Final = ProcessSamples(
    name="server",
    pids=[7],
    cpu_s=[0.0, 0.1, 0.2],
    memory_bytes=[1000, 2000, 3000],
    descriptors=[3, None, 5],
    threads=[1, 1, 1],
    context_switches=[0, 5, None],
)
MONITORED: Final = healthy(
    monitor=MonitorRecord(
        interval_s=0.5,
        at_s=[-0.1, 1.0, 2.0],
        generator=_PROCESSES,
        target=_PROCESSES,
        why_no_target="",
        target_ended_at_s=None,
        machine=MachineSamples(
            cpu_share=[0.0, 0.5, 0.5], sent_bytes=[0, 1, 2], received_bytes=[0, 1, 2]
        ),
    ),
)
RECORDS: Final = tuple(
    json.loads(record.to_json())
    for record in (
        HEALTHY,
        MONITORED,
        healthy(**OPEN_LOOP_TIMES),
        healthy(intervals=packed(HEALTHY.intervals)),
    )
)

HOSTILE: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 2, 10**6, 10**9, 2**31, 2**53, 2**63 - 1, 2**63, 2**64),
    *(-(2**63), 10**400, 0.5, -0.5, 1e-300, 1e12, -1e12, 1e18, 1e300, -1e300),
    *(float("nan"), float("inf"), float("-inf")),
    *("", "x", "yesterday", "\ud800", "\x1b[2J", "a\nb", "9999-12-31T23:59:59+00:00"),
    *("0001-01-01T00:00:00+00:00", "0..1k/1e9s", "AAAA", "loadgen.run/3", "x" * 5000),
    *([], [0], [1, 2, 3], [None], [[]], {}, {"x": 1}, {"schema": "loadgen.run/2"}),
)

Place = tuple[dict[str, Any] | list[Any], Any]


class Told(NamedTuple):
    """What a command has said and how it ended."""

    code: int
    stderr: str


def mutation(seed: int) -> bytes:
    """Return a record that is damaged in one place to three; the same for the same ``seed``."""
    chance = random.Random(seed)
    content = copy.deepcopy(chance.choice(RECORDS))
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        _damage(content, chance)
    text = json.dumps(content).encode()
    return chance.choice(_OF_TEXT)(text, chance) if chance.random() < 0.15 else text


def _damage(content: Any, chance: random.Random) -> None:
    places = list(_places(content))
    where, key = chance.choice(places)
    match chance.randrange(8):
        case 0 if isinstance(where, dict):
            del where[key]
        case 1 if isinstance(where, list):
            where.append(copy.deepcopy(where[key]))
        case 2 if isinstance(where, list):
            del where[key]
        case 3:  # what belongs elsewhere
            other, other_key = chance.choice(places)
            where[key] = copy.deepcopy(other[other_key])
        case 4 if isinstance(where[key], list):
            where[key].reverse()
        case 5 if isinstance(where[key], int | float):
            where[key] *= chance.choice((-1, 2, 10**9, 1e30))
        case _:
            where[key] = copy.deepcopy(chance.choice(HOSTILE))


def _places(content: Any) -> Iterator[Place]:
    if isinstance(content, dict | list):
        for key in list(content) if isinstance(content, dict) else range(len(content)):
            yield content, key
            yield from _places(content[key])


def _cut(text: bytes, chance: random.Random) -> bytes:
    return text[: chance.randrange(len(text))]


def _twice(text: bytes, chance: random.Random) -> bytes:
    return text + b"\n" + text


def _key_twice(text: bytes, chance: random.Random) -> bytes:
    return text.replace(b'"actual": {', b'"actual": {"messages": "x", ', 1)


def _many_digits(text: bytes, chance: random.Random) -> bytes:
    return text.replace(b'"connections": 2', b'"connections": ' + b"9" * 5000, 1)


def _deep(text: bytes, chance: random.Random) -> bytes:
    return b'{"x": ' + b"[" * 100_000 + text


def _byte(text: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(text))
    return text[:at] + bytes([chance.randrange(256)]) + text[at + 1 :]


_OF_TEXT: Final[Sequence[Callable[[bytes, random.Random], bytes]]] = (
    *(_cut, _twice, _key_twice, _many_digits, _deep, _byte, _byte),
)


# ---- what is made of them -----------------------------------------------------------------


def told(*arguments: str) -> Told:
    """Run the command in this process; no warning and no exception is right."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
        err.flush()
    said = err.buffer
    assert isinstance(said, io.BytesIO)
    return Told(code, said.getvalue().decode())


def check(text: bytes, folder: Path, draws: bool) -> None:
    """Let everything that reads records read ``text``. Raises AssertionError where it falls over.

    draws: whether the page of a report is made, too, which takes long.
    """
    file, good = folder / "hostile.json", folder / "good.json"
    file.write_bytes(text)
    if not good.exists():
        good.write_bytes(HEALTHY.to_json())
    commands = [
        ("report", "list", str(folder)),
        ("compare", str(file), str(good), "--force", "--fail-on", "p99>5%", "--strict"),
    ]
    if draws:
        commands.append(("report", str(file), "-o", str(folder / "out")))
    with _bounded():
        for command in commands:
            _check_told(command, told(*command), file)
        _check_conversions(text)


def _check_told(command: Sequence[str], done: Told, file: Path) -> None:
    where = f"{command}: {done}"
    assert done.code in ACCEPTED_CODES, where
    if done.code == 2:
        assert done.stderr.count("\n") == 1, where
        assert done.stderr.endswith("\n"), where
        assert str(file.parent) in done.stderr or "--fail-on p99" in done.stderr, where
        assert len(done.stderr) < 2000, where


def _check_conversions(text: bytes) -> None:
    with contextlib.suppress(LoadgenError):
        record = from_json(text)
        to_hdr_log(record)
        merged = merge({"a": record, "b": HEALTHY} if _is_alike(record) else {"a": record})
        merged.to_json()


def _is_alike(record: Any) -> bool:
    return bool(record.plan == HEALTHY.plan and record.backend == HEALTHY.backend)


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """End the process where what is done in it takes longer than `LONGEST_S`."""
    faulthandler.dump_traceback_later(LONGEST_S, exit=True, file=2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    finally:
        faulthandler.cancel_dump_traceback_later()
