"""Standard streams that are raw, slow, closed, full, or cannot hold a character."""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import LOADGEN, ROOT, TIMEOUT_S, environment, redirected
from servers import ScriptedServer, echoes

from loadgen.results.record import from_json

SMALL = ("-c", "2", "-n", "20")
TABLE = ("-c", "1,2", "-n", "20", "--rounds", "1")
MANY = ("-c", "200", "-n", "2")
RECORD_BYTES = 20_000  # the record of so many connections has more

UNBUFFERED = pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "raw"])
ENCODINGS = ("ascii", "ascii:strict", "latin-1", "cp437", "cp932", "gbk", "euc_jp")


@pytest.fixture
def target() -> Iterator[str]:
    with ScriptedServer(echoes) as server:
        yield server.address


class TestWhatIsWrittenInPart:
    @UNBUFFERED
    def test_is_an_error_with_the_name_of_the_stream(
        self, target: str, unbuffered: str, tmp_path: Path
    ) -> None:
        """A write(2) that crosses RLIMIT_FSIZE takes a part, and the next one fails."""
        out = tmp_path / "out"
        script = f'ulimit -f {RECORD_BYTES // 1024}; exec "$@" >{out}'
        done = subprocess.run(
            ["bash", "-c", script, "bash", *LOADGEN, target, *MANY, "--json", "-"],
            cwd=ROOT,
            env=environment(PYTHONUNBUFFERED=unbuffered),
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 2
        assert out.stat().st_size <= RECORD_BYTES
        last = done.stderr.decode().splitlines()[-1]
        assert last == "loadgen: standard output: File too large"

    @UNBUFFERED
    @pytest.mark.parametrize("arguments", [("--json", "-"), ()], ids=["json", "summary"])
    def test_goes_on_where_a_slow_reader_leaves_room(
        self, target: str, unbuffered: str, arguments: tuple[str, ...]
    ) -> None:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        # Full but for a few bytes when the command begins.
        filling = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                filling += os.write(writer, bytes(1000))
        command = [*LOADGEN, target, *MANY, *arguments]
        with (
            os.fdopen(reader, "rb", buffering=0) as pipe,
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(PYTHONUNBUFFERED=unbuffered),
                stdout=writer,
                stderr=subprocess.DEVNULL,
            ) as process,
        ):
            os.close(writer)
            output = b""
            while data := pipe.read(1000):
                output += data
            assert process.wait(TIMEOUT_S) == 0
        said = output[filling:].decode()
        if arguments:
            assert from_json(said.encode()).actual.messages == 400
        else:
            assert said.startswith("loadgen ")
            assert re.fullmatch(r" +(slowest +)?connection .*s\n", said.splitlines(True)[-1])

    def test_standard_input_that_does_not_wait_is_read_to_its_end(self, target: str) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        with subprocess.Popen(
            [*LOADGEN, target, "-c", "1", "-n", "1", "--payload-file", "-", "--json", "-"],
            cwd=ROOT,
            stdin=reader,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            os.close(reader)
            with os.fdopen(writer, "wb", buffering=0) as pipe:
                pipe.write(bytes(300_000))
            output, _ = process.communicate(timeout=TIMEOUT_S)
        assert from_json(output).actual.bytes_sent == 300_000


class TestWhatIsClosed:
    @pytest.mark.parametrize("closing", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
    def test_takes_no_part_in_a_run(self, closing: str, target: str, tmp_path: Path) -> None:
        path = tmp_path / "run.json"
        done = redirected(closing, target, *SMALL, "--json", str(path), "-v")
        assert done.code == 0
        record = from_json(path.read_bytes())
        # Nothing that is meant for people went into a socket that has the number of the stream.
        assert record.actual.bytes_sent == record.actual.bytes_received == 2 * 20 * 64
        assert record.failures == []

    def test_standard_output_is_no_place_for_a_record(self) -> None:
        done = redirected(">&-", "localhost:1", *SMALL, "--json", "-")
        assert done == (2, "", "loadgen: --json -: standard output is closed; name a file\n")

    def test_standard_error_keeps_no_record_back(self, target: str) -> None:
        done = redirected("2>&-", target, *SMALL, "--json", "-")
        assert done.code == 0
        assert done.record.actual.messages == 40

    @pytest.mark.parametrize(
        ("arguments", "start"),
        [
            (("localhost:1", "--payload-file", "-"), "loadgen: --payload-file: "),
            (("localhost:1", "--payload-lines", "-"), "loadgen: --payload-lines: "),
            (("report", "-"), "loadgen report: -: "),
            (("compare", "-", "x"), "loadgen compare: -: "),
        ],
    )
    def test_standard_input_holds_nothing(self, arguments: tuple[str, ...], start: str) -> None:
        done = redirected("<&-", *arguments)
        assert done.code == 2
        [line] = done.stderr.splitlines()
        assert line.startswith(f"{start}standard input is closed; ")


class TestWhatCannotHoldACharacter:
    @pytest.mark.parametrize(
        ("arguments", "encoding"),
        [
            *((SMALL, encoding) for encoding in ENCODINGS),
            *((TABLE, encoding) for encoding in ("ascii", "cp437")),
            *((("--help",), encoding) for encoding in ("ascii:strict", "gbk")),
        ],
    )
    def test_gets_another_one(self, arguments: tuple[str, ...], encoding: str, target: str) -> None:
        done = redirected("", target, *arguments, PYTHONIOENCODING=encoding)
        assert (done.code, done.stderr) == (0, "")
        if encoding == "ascii" and arguments == SMALL:
            assert " us" in done.stdout
        assert "\\xb5" not in done.stdout or encoding == "latin-1"

    def test_is_none_of_the_locale_either(self, target: str) -> None:
        done = redirected("", target, *SMALL, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
        assert (done.code, done.stderr) == (0, "")
        assert " us" in done.stdout

    def test_an_error_shows_a_name_all_the_same(self) -> None:
        done = redirected(
            "",
            "--json",
            "n\N{LATIN SMALL LETTER E WITH ACUTE}/x",
            LC_ALL="C.UTF-8",
            PYTHONIOENCODING="ascii",
        )
        assert done.code == 2
        assert r"'n\u00e9/x' cannot be written" in done.stderr


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_that_cannot_be_written_is_an_error(word: str) -> None:
    done = redirected(">/dev/full", word)
    assert done == (2, "", "loadgen: standard output: No space left on device\n")


def test_no_width_at_all_is_no_reason_to_print_nothing(target: str) -> None:
    done = redirected("", target, *SMALL, COLUMNS="0")
    assert "p99" in done.stdout


def test_a_folder_that_has_gone_is_no_obstacle(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    script = f'mkdir {gone} && cd {gone} && rmdir {gone} && exec "$@"'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *LOADGEN, *SMALL, "--json", str(tmp_path / "run.json")],
        env=environment(),
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert from_json((tmp_path / "run.json").read_bytes()).actual.messages == 40
