"""What was sent is not told by any output of a redacted run, and its records still compare."""

import base64
import hashlib
import json
import shlex
import sys
from pathlib import Path

import msgspec
import pytest
from command import check_refused, loadgen_here
from locusts import PACED, Locusts
from optional import NEEDS_LOCUST
from records import judged
from servers import Peer, ScriptedServer, echoes

import loadgen
from loadgen import Plan, UsageError
from loadgen.plan.payloads import (
    FilePayload,
    LinesPayload,
    MadePayload,
    RedactedPayload,
    SizePayload,
)
from loadgen.plan.redaction import redacted, redacted_plan
from loadgen.results.record import from_json, redacted_record
from loadgen.server.embedded import EmbeddedServer
from reports.repeat_command import command_of, why_no_command

SECRET = b"AUTH hunter2"
GREETING = b"TOKEN xyzzy"
SHOWN = {"size_bytes": 12, "sha256": hashlib.sha256(SECRET).hexdigest()[:16]}

MAKES_A_ROUND = """
import json, pathlib, sys

out = pathlib.Path(sys.argv[1])
record = json.loads(pathlib.Path("kept.json").read_bytes())
second = 2 * int(out.stem) + (out.parent.name == "B")
record["started_at"] = f"2026-01-31T12:00:{second:02}.000+00:00"
out.write_text(json.dumps(record))
"""


def answers(peer: Peer) -> None:
    """Answer as a server of HTTP, or of Redis, that accepts everything."""
    while data := peer.receive():
        requests = data.count(b" HTTP/1.1\r\n")
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * requests)
        peer.send(b"+OK\r\n" * data.count(b"*"))


URLS = {
    "http": ("", "/acme-token/x?key=acme-token", "http://AT/***"),
    "redis": ("acme-token:acme-token@", "/1", "redis://***:***@AT/1"),
}


def check_silent(*contents: bytes) -> None:
    """Check that none of ``contents`` has a secret in it, in any form that we write."""
    for content in contents:
        assert content
        for secret in (SECRET, GREETING, b"acme-token"):
            # Base64 of whatever it may stand in, as JSON has bytes (RFC 4648, section 4).
            for form in (secret, base64.b64encode(secret)[:8], secret.hex().encode()):
                assert form not in content


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with files of payloads whose names tell something."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "acme-token.bin").write_bytes(SECRET)
    (tmp_path / "acme-tokens.txt").write_bytes(SECRET + b"\n" + SECRET + b"\n")
    return tmp_path


WHAT = (
    *("--payload", SECRET.decode(), "--payload-file", "acme-token.bin"),
    *("--payload-lines", "acme-tokens.txt", "--first-message", GREETING.decode()),
)


@pytest.mark.parametrize(
    "words",
    [
        ("-c", "1", "-n", "8", "-v", "--report", "page", "--hdr-log", "log"),
        ("-c", "1", "-n", "8", "--payload-file", "acme-token.bin"),
        ("-c", "1,2", "-n", "4", "--rounds", "1", "--backend", "poll"),
        ("-c", "1", "--find-max", "errors<1", "--rate", "50", "-d", "100ms"),
    ],
    ids=["run", "files", "table", "search"],
)
def test_no_output_tells_what_was_sent(
    words: tuple[str, ...], folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = words if words.count("--payload-file") else (*words, *WHAT)
    with ScriptedServer(echoes) as server:
        done = loadgen_here(capfd, server.address, *given, "--json", "run.json", "--redact")
    assert done.code in {0, 1, 4}, done.stderr  # a search may end early on a busy machine
    check_silent(done.stdout.encode(), (folder / "run.json").read_bytes())
    if "-v" in words:
        assert "connected" in done.stderr
    check_silent(done.stderr.encode() + b"\n")
    plan = json.loads((folder / "run.json").read_bytes())["plan"]
    assert plan["redact"] is True
    assert {each["type"] for each in plan["payloads"]} == {"redacted"}
    if given != words:
        assert plan["payloads"][0] == {"type": "redacted", "part": "text", **SHOWN}
        assert plan["first_message"]["size_bytes"] == len(GREETING)
    if "--report" in words:
        page = (folder / "page" / "index.html").read_bytes()
        check_silent(page, (folder / "log").read_bytes())
        assert b"No command line repeats this run: what it sent is redacted." in page


@pytest.mark.parametrize("scheme", ["http", "redis"])
@pytest.mark.parametrize(
    "words",
    [
        ("-c", "1", "-n", "8", "-v", "--report", "page", "--hdr-log", "log"),
        ("-c", "1,2", "-n", "4", "--rounds", "1", "--backend", "poll"),
        ("-c", "1", "--find-max", "errors<1", "--rate", "50", "-d", "100ms"),
    ],
    ids=["run", "table", "search"],
)
def test_no_output_tells_who_asks_for_what(
    scheme: str, words: tuple[str, ...], folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    login, resource, shown = URLS[scheme]
    with ScriptedServer(answers) as server:
        url = f"{scheme}://{login}{server.address}{resource}"
        done = loadgen_here(capfd, url, *words, "--json", "run.json", "--redact")
    assert done.code in {0, 1, 4}, done.stderr  # a search may end early on a busy machine
    written = [path.read_bytes() for path in folder.rglob("*") if path.suffix in {".json", ".html"}]
    logs = [(folder / "log").read_bytes()] if "--hdr-log" in words else []
    check_silent(done.stdout.encode(), done.stderr.encode() + b"\n", *written, *logs)
    told = json.loads((folder / "run.json").read_bytes())
    expected = shown.replace("AT", server.address)
    assert told["plan"]["target"] == expected
    target = told["target"]
    assert expected == (target if isinstance(target, str) else target["address"])
    if "--report" in words:
        page = (folder / "page" / "index.html").read_bytes()
        assert b"No command line repeats this run: what it sent is redacted." in page


def test_no_error_tells_who_asks_for_what(capfd: pytest.CaptureFixture[str]) -> None:
    def closes(peer: Peer) -> None:
        """Leave: the connection is refused its greeting."""

    with ScriptedServer(closes) as server:
        url = f"redis://acme-token:acme-token@{server.address}/0"
        done = loadgen_here(capfd, url, "-c", "1", "-n", "1", "--redact")
    assert done.code == 3
    assert f"redis://***:***@{server.address}/0 lets no connection come up" in done.stderr
    check_silent(done.stdout.encode() + b"\n", done.stderr.encode())


def test_bytes_are_not_both_shown_and_kept_back(capfd: pytest.CaptureFixture[str]) -> None:
    check_refused(capfd, ("-n", "1", "--redact", "--dump-one"), ["--dump-one", "--redact"])


class TestARecordThatExists:
    @pytest.fixture
    def records(self, folder: Path) -> Path:
        for name, second, payload, first in (
            *(("open", 1, SECRET, GREETING), ("again", 2, SECRET, GREETING)),
            ("other", 3, b"AUTH hunter3", GREETING),
        ):
            record = judged(second)
            plan = msgspec.structs.replace(record.plan, payloads=(payload,), first_message=first)
            url = "http://localhost:80/acme-token?acme-token"
            target = msgspec.structs.replace(record.target, address=url)
            whole = msgspec.structs.replace(record, plan=plan, target=target)
            (folder / f"{name}.json").write_bytes(whole.to_json())
            (folder / f"{name}-redacted.json").write_bytes(redacted_record(whole).to_json())
        return folder

    @pytest.mark.parametrize(
        "words",
        [("open.json",), ("open.json", "again.json"), ("compare", "open.json", "again.json")],
        ids=" ".join,
    )
    @pytest.mark.usefixtures("one_picture")
    def test_is_drawn_without(
        self, words: tuple[str, ...], records: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        before = (records / "open.json").read_bytes()
        for option, is_told in (("--redact", False), ("--format=svg", True)):
            done = loadgen_here(capfd, "report", *words, "-o", "out", option)
            assert done.code == 0
            page = (records / "out" / "index.html").read_bytes()
            if not is_told:
                check_silent(page)
                assert b"http://localhost:80/***" in page or words[0] == "compare"
            elif words[0] != "compare":
                assert SECRET in page
        assert (records / "open.json").read_bytes() == before

    @pytest.mark.parametrize(
        ("words", "code"),
        [
            (("open-redacted.json", "again-redacted.json"), 0),
            (("open-redacted.json", "other-redacted.json"), 2),
            (("open.json", "again-redacted.json"), 2),
            (("open.json", "again-redacted.json", "--redact"), 0),
            (("open.json", "other.json", "--redact"), 2),
        ],
    )
    def test_is_compared_by_digests(
        self,
        words: tuple[str, ...],
        code: int,
        records: Path,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        done = loadgen_here(capfd, "compare", *words, "--json", "compared.json")
        assert done.code == code, done.stderr
        assert (records / "compared.json").exists() == (code == 0)
        if code:
            assert "not alike" in done.stderr
            assert "redacted: 12 bytes, sha256 " in done.stderr
        if "--redact" in words:
            check_silent((done.stdout or done.stderr).encode())


def test_commands_that_are_compared_are_not_told(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "kept.json").write_bytes(judged().to_json())
    (folder / "makes.py").write_text(MAKES_A_ROUND)
    command = shlex.join([sys.executable, "makes.py", "{out}", SECRET.decode()])
    outputs = ("--json", "c.json", "--markdown", "c.md", "--rounds", "2", "--redact")
    done = loadgen_here(capfd, "compare", "--run", command, "--run", command, *outputs)
    assert done.code == 0, done.stderr
    written = [(folder / name).read_bytes() for name in ("c.json", "c.md")]
    check_silent(done.stdout.encode(), *written)
    assert "redacted: " in done.stdout
    failing = shlex.join(["false", "{out}", SECRET.decode()])
    done = loadgen_here(capfd, "compare", "--run", failing, "--run", failing, "--redact")
    assert done.code == 2
    check_silent(done.stderr.encode())


class TestAPlan:
    def test_keeps_what_is_no_secret(self) -> None:
        sources = (SizePayload(9), MadePayload("a task"))
        plan = Plan(target="localhost:1", payloads=sources, redact=True)
        assert redacted_plan(plan) == plan
        assert command_of(Plan(redact=True, duration_s=3.0)) == [
            *("loadgen", "-c", "100", "-d", "3s", "--redact")
        ]

    def test_tells_nothing_of_what_is_expected(self) -> None:
        given = Plan(target="localhost:1", expect=(SECRET.decode(), "/TOKEN xyzzy/"))
        plan = redacted_plan(given)
        check_silent(msgspec.json.encode(plan), repr(plan).encode())
        assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
        assert redacted_plan(plan) == plan
        assert why_no_command(plan) == "what it sent is redacted"
        with pytest.raises(UsageError, match="--expect: it is redacted"):
            plan.framing()

    def test_tells_what_differs_apart(self) -> None:
        sources = (b"x", FilePayload("x"), LinesPayload("x"), LinesPayload("x", raw=True))
        plan = redacted_plan(Plan(payloads=sources))
        assert len(set(plan.payloads)) == len(sources)
        assert redacted_plan(plan) == plan
        assert why_no_command(plan) == "what it sent is redacted"

    def test_says_in_one_line_what_is_kept(self) -> None:
        shown = f"redacted: 12 bytes, sha256 {SHOWN['sha256']}…"
        assert repr(redacted(SECRET)) == shown
        assert isinstance(redacted(SECRET), RedactedPayload)

    @pytest.mark.parametrize("words", [{"payloads": (SECRET,)}, {"first_message": GREETING}])
    def test_cannot_be_carried_out_again(self, words: dict[str, object]) -> None:
        plan = redacted_plan(Plan(connections=1, messages=1, **words))  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="redacted, so that it cannot be sent again"):
            loadgen.run(plan)


@NEEDS_LOCUST
@pytest.mark.parametrize("where", ["option", "attribute"])
def test_a_record_of_locusts_is_redacted_too(where: str, tmp_path: Path) -> None:
    sent = PACED.replace("(bytes(64),)", f"({SECRET!r},)\n    first_message = {GREETING!r}", 1)
    options = ("--loadgen-redact",) if where == "option" else ()
    file = sent if options else sent.replace("    weight = 2", "    weight = 2\n    redact = True")
    with EmbeddedServer() as server, Locusts(tmp_path, file) as locusts:
        worker = locusts.worker()
        host = ("--host", f"tcp://{server.address}")
        master = locusts.master(1, "-u", "2", "-r", "100", "-t", "3s", *host, *options, "Talk")
        assert (master.end(), worker.end()) == (0, 0)
    content = (tmp_path / "out.record.json").read_bytes()
    check_silent(content)
    record = from_json(content)
    assert record.actual.messages > 0
    assert record.plan.payloads == (redacted(SECRET),)
    assert record.plan.first_message == redacted(GREETING)
