"""Names that are no UTF-8, in everything that a command reads and writes."""

import csv
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from command import LOADGEN, environment, loadgen_here, redirected
from records import judged
from servers import ScriptedServer, echoes

from loadgen import text
from loadgen.plan import Plan
from loadgen.plan.payloads import LinesPayload
from loadgen.results.record import from_json
from loadgen.runner.run import run
from loadgen.server.embedded import EmbeddedServer

CAFE = os.fsdecode(b"caf\xe9")
SHOWN = r"caf\xe9"
SMALL = ("-c", "1", "-n", "3")

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def at(tmp_path: Path) -> Callable[[str], str]:
    return lambda name: str(tmp_path / name)


def test_a_run_writes_all_that_was_asked_for(at: Callable[[str], str], tmp_path: Path) -> None:
    payload = tmp_path / f"{CAFE}.txt"
    payload.write_bytes(b"hi\n")
    files = {
        "--json": at(f"{CAFE}.json"),
        "--connections-csv": at(f"{CAFE}.csv"),
        "--hdr-log": at(f"{CAFE}.log"),
        "--report": at(CAFE),
    }
    with ScriptedServer(echoes) as server:
        words = [word for pair in files.items() for word in pair]
        done = redirected("", server.address, *SMALL, "--payload-lines", str(payload), *words)
    assert (done.code, done.stderr) == (0, "")
    assert f"the lines of {tmp_path}/{SHOWN}.txt" in re.sub(r"\s+", " ", done.stdout)
    record = from_json(Path(files["--json"]).read_bytes())
    [source] = record.plan.payloads
    assert isinstance(source, LinesPayload)
    assert text.unescaped(source.path) == str(payload)
    with Path(files["--connections-csv"]).open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 1
    assert Path(files["--hdr-log"]).read_text(encoding="utf-8").startswith("#[loadgen")
    page = (tmp_path / CAFE / "index.html").read_text(encoding="utf-8")
    assert f'<a href="../caf%E9.json">../{SHOWN}.json</a>' in page
    assert rf"{tmp_path}/caf\351.txt" in page  # in the command that repeats the run


def test_a_plan_of_a_record_sends_the_same_file(tmp_path: Path, capfd: Capture) -> None:
    payload = tmp_path / os.fsdecode(b"caf\xe9\\xe9.txt")
    payload.write_bytes(b"hi\n")
    with ScriptedServer(echoes) as server:
        words = (server.address, *SMALL, "--payload-lines", str(payload), "--json", "-")
        record = loadgen_here(capfd, *words).record
        again = run(record.plan)
    assert again.actual.bytes_sent == record.actual.bytes_sent == 6


def test_a_socket_is_found_and_named(tmp_path: Path) -> None:
    socket = tmp_path / CAFE
    command = [*LOADGEN, "server", "--unix", str(socket)]
    ready = tmp_path / f"{CAFE}.ready"
    with subprocess.Popen(
        [*command, "--ready-file", str(ready)], stdout=subprocess.PIPE, env=environment()
    ) as server:
        try:
            assert server.stdout is not None
            shown = f"unix://{tmp_path}/{SHOWN}"
            assert server.stdout.readline().decode() == f"listening on {shown}\n"
            target = os.fsdecode(ready.read_bytes().rstrip())
            assert target == f"unix://{socket}"
            words = (target, *SMALL, "--probe", "--timestamps", "user", "--json", "-")
            done = redirected("", *words, "-v")
        finally:
            server.terminate()
    assert done.code == 0, done.stderr
    assert done.record.target.address == done.record.target.resolved == shown
    assert done.record.probe is not None
    assert done.record.probe.failure == ""
    assert done.record.plan.target == shown


def test_a_socket_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = redirected("", f"unix://{tmp_path}/{CAFE}", *SMALL, "--json", "-")
    assert done.code == 3
    assert f"loadgen: unix://{tmp_path}/{SHOWN} is unreachable" in done.stderr
    assert done.record.outcome == "unreachable"


def test_a_plan_made_by_code_may_name_files_as_the_system_does() -> None:
    with EmbeddedServer() as server:
        record = run(Plan(target=server.address, connections=1, messages=1))
    plan = Plan(target="unix:///\udce9", payloads=(LinesPayload("\udce9"),))
    again = from_json(msgspec.structs.replace(record, plan=plan).to_json()).plan
    assert again.target == r"unix:///\xe9"
    assert again.payloads == (LinesPayload(r"\xe9"),)


class TestRecords:
    @pytest.fixture
    def sides(self, tmp_path: Path) -> tuple[str, str]:
        """Two folders of records."""
        for number, name in enumerate((CAFE, f"{CAFE} 2")):
            (tmp_path / name).mkdir()
            for second in (number, number + 2):
                file = tmp_path / name / f"{CAFE} {second}.json"
                file.write_bytes(judged(second).to_json())
        return str(tmp_path / CAFE), str(tmp_path / f"{CAFE} 2")

    def test_are_compared(
        self, sides: tuple[str, str], at: Callable[[str], str], capfd: Capture
    ) -> None:
        files = ("--json", at("c.json"), "--markdown", at("c.md"))
        done = loadgen_here(capfd, "compare", *sides, *files)
        assert (done.code, done.stderr) == (0, "")
        assert re.search(rf"^A is .*/{re.escape(SHOWN)}$", done.stdout, re.MULTILINE)
        for file in files[1::2]:
            assert SHOWN in Path(file).read_text(encoding="utf-8").replace(r"\\", "\\")

    @pytest.mark.usefixtures("one_picture")
    def test_become_pages_and_figures(
        self, sides: tuple[str, str], tmp_path: Path, capfd: Capture
    ) -> None:
        out = tmp_path / f"{CAFE} out"
        words = ("report", "compare", *sides, "-o", str(out), "--format", "svg,png")
        done = loadgen_here(capfd, *words)
        assert (done.code, done.stderr) == (0, "")
        assert done.stdout == f"{tmp_path}/{SHOWN} out/index.html\n"
        assert SHOWN in (out / "index.html").read_text(encoding="utf-8")
        done = loadgen_here(capfd, "report", sides[0], "-o", str(out), "--format", "pdf")
        assert (done.code, done.stderr) == (0, "")
        page = (out / "index.html").read_text(encoding="utf-8")
        assert f'<a href="../caf%E9/caf%E9%200.json">../{SHOWN}/{SHOWN} 0.json</a>' in page

    def test_are_listed(self, sides: tuple[str, str], capfd: Capture) -> None:
        done = loadgen_here(capfd, "report", "list", sides[0])
        assert (done.code, done.stderr) == (0, "")
        assert f"{SHOWN} 0.json" in done.stdout

    def test_are_made_by_commands(self, sides: tuple[str, str], at: Callable[[str], str]) -> None:
        copy = [shlex.join(["cp", f"{side}/{CAFE} {n}.json"]) for n, side in enumerate(sides)]
        commands = [word for each in copy for word in ("--run", f"{each} {{out}}")]
        words = ("compare", *commands, "--rounds", "1", "--keep", at(f"{CAFE} keep"))
        done = redirected("", *words, "--json", at("c.json"))
        assert done.code == 0, done.stderr
        assert SHOWN in Path(at("c.json")).read_text(encoding="utf-8").replace(r"\\", "\\")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("localhost:1", "--payload-file", CAFE), f"cannot read '{SHOWN}'"),
        (("localhost:1", "--json", f"{CAFE}/x"), f"'{SHOWN}/x' cannot be written"),
        (("localhost:1", "--report", f"/proc/{CAFE}"), f"--report /proc/{SHOWN}: "),
        ((CAFE,), f"TARGET: '{SHOWN}' is not accepted"),
        (("localhost:1", f"--{CAFE}"), f"--{SHOWN}"),
        (("report", CAFE), f"report: {SHOWN}: No such file"),
        (("report", "list", CAFE), f"{SHOWN}: this is no folder"),
        (("compare", CAFE, CAFE), f"compare: {SHOWN}: No such file"),
        (("compare", "--run", f"{CAFE} {{out}}", "--run", "x {out}"), f"'{SHOWN} {{out}}' cannot"),
        (("server", "--unix", f"/{CAFE}/x"), f"--unix /{SHOWN}/x: no such directory"),
        (("server", "--ledger", f"/{CAFE}/x"), f"--ledger /{SHOWN}/x: it cannot be written"),
    ],
    ids=lambda value: " ".join(map(ascii, value)) if isinstance(value, tuple) else None,
)
def test_a_complaint_names_it(words: tuple[str, ...], said: str, capfd: Capture) -> None:
    done = loadgen_here(capfd, *words)
    assert done.code == 2
    assert said in done.stderr.splitlines()[-1]
