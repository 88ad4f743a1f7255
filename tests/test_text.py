"""Names that are no UTF-8, and characters that an encoding lacks."""

import os
import subprocess

import msgspec
import pytest

from loadgen import text as names
from loadgen.files import encoded
from loadgen.plan.payloads import FilePayload

NAMES = [
    b"plain.txt",
    "caf\N{LATIN SMALL LETTER E WITH ACUTE}".encode(),
    b"caf\xe9.txt",
    b"\xff\xfe\x80",
    rb"caf\xe9.txt",
    b"\\xe9\xe9\\",
    rb"\x5cxe9",
    rb"\\x5c\xE9",
]


@pytest.mark.parametrize("name", NAMES)
def test_an_escaped_name_can_be_encoded_and_read_back(name: bytes) -> None:
    text = names.escaped(os.fsdecode(name))
    text.encode()
    assert os.fsencode(names.unescaped(text)) == name


def test_no_two_names_are_escaped_alike() -> None:
    assert len({names.escaped(os.fsdecode(name)) for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_shell_takes_a_quoted_name_for_the_same_bytes(name: bytes) -> None:
    word = names.for_shell(os.fsdecode(name) + " '\n$x")
    done = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert done.stdout == name + b" '\n$x"


def test_a_quoted_name_shows_its_bytes_and_no_surrogates() -> None:
    assert names.quoted("caf\udce9") == r"'caf\xe9'"
    assert names.quoted(r"caf\udce9") == r"'caf\\udce9'"


@pytest.mark.parametrize(
    "encoding", ["ascii", "latin-1", "cp437", "cp932", "gbk", "euc_jp", "iso2022_jp", "utf-8"]
)
def test_every_encoding_can_hold_what_is_said(encoding: str) -> None:
    said = "41.3 \N{MICRO SIGN}s, 1\N{EN DASH}2, 1\N{NO-BREAK SPACE}000 \N{HORIZONTAL ELLIPSIS} "
    shown = (said + "\N{LARGE RED CIRCLE} caf\udce9").encode(encoding, names.ERRORS)
    text = shown.decode(encoding)
    assert text.startswith(("41.3 us", "41.3 \N{MICRO SIGN}s"))
    assert text.endswith((r"\U0001f534 caf\xe9", "\N{LARGE RED CIRCLE} caf\\xe9"))
    assert "?" not in text


def test_ascii_has_a_substitute_for_each_of_our_own_characters() -> None:
    said = "41.3 \N{MICRO SIGN}s, 1\N{EN DASH}2, 1\N{NO-BREAK SPACE}000\N{HORIZONTAL ELLIPSIS}"
    assert said.encode("ascii", names.ERRORS) == b"41.3 us, 1-2, 1 000..."


def test_what_cannot_be_encoded_is_readable_in_every_form() -> None:
    value = {"\udce9": [FilePayload("caf\udce9"), b"\xe9", ("\ud800", 1.5, None)]}
    plain = {r"\xe9": [{"type": "file", "path": r"caf\xe9"}, "6Q==", [r"\ud800", 1.5, None]]}
    assert msgspec.json.decode(encoded.as_json(value)) == plain
    assert msgspec.json.decode(encoded.as_indented_json(value)) == plain
    plain[r"\xe9"][1] = b"\xe9"
    assert msgspec.msgpack.decode(encoded.as_msgpack(value)) == plain
