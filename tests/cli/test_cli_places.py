"""Where outputs go: what cannot be written is told of before the load, and stops no other."""

from pathlib import Path

import pytest
from command import check_refused, loadgen_here, redirected
from records import judged
from servers import ScriptedServer, closes_after, echoes

from loadgen.results.record import from_json

pytestmark = pytest.mark.usefixtures("one_picture")

SMALL = ("-c", "1", "-n", "3")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with files of several names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.json").write_bytes(b"before")
    (tmp_path / "link").symlink_to("run.json")
    (tmp_path / "nowhere").symlink_to("new.json")
    (tmp_path / "twin").hardlink_to("run.json")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "out").mkdir()
    return tmp_path


class TestTheSameFile:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("--json run.json", "--connections-csv ./run.json"),
            ("--json run.json", "--hdr-log {folder}/run.json"),
            ("--json link", "--connections-csv run.json"),
            ("--json twin", "--connections-csv run.json"),
            ("--json new.json", "--connections-csv out/../new.json"),
            ("--json nowhere", "--connections-csv new.json"),
            ("--json out/index.html", "--report out"),
            ("--hdr-log out/index.html", "--report {folder}/out"),
            ("--json new", "--report new"),
            ("--json new", "--report ./new/deeper"),
            ("--json -", "--connections-csv /dev/stdout"),
        ],
    )
    def test_is_not_for_two_outputs(
        self, one: str, other: str, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        words = f"{one} {other}".format(folder=folder).split()
        check_refused(capfd, (*SMALL, *words), ["cannot share", words[0], words[2]])
        assert (folder / "run.json").read_bytes() == b"before"

    @pytest.mark.parametrize("option", ["--json", "--connections-csv", "--hdr-log"])
    def test_is_not_for_what_is_sent(
        self, option: str, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        words = (*SMALL, "--payload-file", "link", option, "./run.json")
        check_refused(capfd, words, [option, "would overwrite link, which is read"])
        assert (folder / "run.json").read_bytes() == b"before"

    @pytest.mark.parametrize(
        "words",
        [
            ("localhost:1", *SMALL, "--payload-file", "-", "--json", "run.json"),
            ("localhost:1", *SMALL, "--payload-lines", "/dev/stdin", "--hdr-log", "run.json"),
            ("localhost:1", "--find-max", "errors<1", "--payload-file", "-", "--json", "run.json"),
            ("localhost:1", "-c", "1,2", "--payload-file", "-", "--json", "run.json"),
            ("compare", "-", "out", "--markdown", "run.json"),
            ("report", "-", "-o", "page"),
        ],
        ids=" ".join,
    )
    def test_is_not_for_what_standard_input_comes_from(
        self, words: tuple[str, ...], folder: Path
    ) -> None:
        content = judged().to_json()
        (folder / "run.json").write_bytes(content)
        (folder / "page").mkdir()
        (folder / "page" / "index.html").hardlink_to(folder / "run.json")
        placed = [str(folder / each) if (folder / each).exists() else each for each in words]
        done = redirected(f"<{folder / 'twin'} <{folder / 'link'}", *placed)
        assert (done.code, done.stdout) == (2, "")
        [line] = done.stderr.splitlines()
        assert "would overwrite " in line
        assert (folder / "run.json").read_bytes() == content

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("--json", "tool", "--run", "./tool {out}"), "would overwrite tool, which is read"),
            (("--markdown", "link", "--run", "sh run.json {out}"), "would overwrite run.json"),
            (("--json", "rounds", "--keep", "rounds"), "cannot share"),
            (("--json", "out/A/all.json", "--keep", "out"), "one of the records of out/A"),
        ],
    )
    def test_is_not_for_a_comparison_and_what_its_commands_need(
        self,
        words: tuple[str, ...],
        said: str,
        folder: Path,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        for name in ("A", "B"):
            (folder / "out" / name).mkdir()
        (folder / "tool").write_text(f"#!/bin/sh\ntouch '{folder}/ran'\n")
        (folder / "tool").chmod(0o755)
        before = (folder / "tool").read_bytes()
        runs = ("--run", "./tool {out}") * (2 - words.count("--run"))
        done = loadgen_here(capfd, "compare", *words, *runs)
        assert (done.code, done.stdout) == (2, "")
        [line] = done.stderr.splitlines()
        assert said in line
        assert not (folder / "ran").exists()
        assert (folder / "tool").read_bytes() == before
        assert (folder / "run.json").read_bytes() == b"before"

    @pytest.mark.parametrize("stream", ["", "2"])
    def test_is_not_for_what_is_printed(self, stream: str, folder: Path) -> None:
        words = ("localhost:1", *SMALL, "--json", str(folder / "run.json"))
        done = redirected(f"{stream}>{folder / 'twin'}", *words)
        assert done.code == 2
        said = done.stderr or (folder / "run.json").read_text()
        assert "is where standard " in said

    def test_is_not_for_a_comparison_and_its_records(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        content = judged(1).to_json()
        (folder / "run.json").write_bytes(content)
        (folder / "out" / "a.json").write_bytes(judged(2).to_json())
        for words in (
            ("run.json", "out", "--json", "./link"),
            ("out", "run.json", "--json", "out/a.json"),
        ):
            done = loadgen_here(capfd, "compare", *words)
            assert (done.code, done.stdout) == (2, "")
            assert "which is read" in done.stderr
        assert (folder / "run.json").read_bytes() == content

    @pytest.mark.parametrize(
        ("file", "words"),
        [
            ("out/index.html", ()),
            ("out/latency-by-percentile.svg", ("--format", "svg")),
        ],
    )
    def test_is_not_for_a_report_and_its_record(
        self, file: str, words: tuple[str, ...], folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        content = judged().to_json()
        Path(file).write_bytes(content)
        done = loadgen_here(capfd, "report", file, "-o", f"{folder}/out", *words)
        assert (done.code, done.stdout) == (2, "")
        assert f"would overwrite {file}, which is read; name another one" in done.stderr
        assert Path(file).read_bytes() == content
        assert [each.name for each in (folder / "out").iterdir()] == [Path(file).name]

    def test_is_not_for_a_servers_counts_and_ledger(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        done = loadgen_here(capfd, "server", "--json", "run.json", "--ledger", "link")
        assert done.code == 2
        assert "--json and --ledger cannot share link" in done.stderr
        assert (folder / "run.json").read_bytes() == b"before"

    @pytest.mark.parametrize("option", ["--json", "--ledger", "--ready-file"])
    def test_is_not_for_a_servers_socket(
        self, option: str, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        done = loadgen_here(capfd, "server", "--unix", "unix://new", option, "out/../new")
        assert (done.code, done.stdout) == (2, "")
        assert f"--unix and {option} cannot share out/../new" in done.stderr
        assert not (folder / "new").exists()


class TestWhatCannotBeWritten:
    """Root may write where others may not, and is told by the attempt alone."""

    @pytest.mark.parametrize(
        ("words", "parts"),
        [
            ("--json /proc/run.json", ["--json /proc/run.json: it cannot be written: "]),
            ("--json /proc/version", ["--json /proc/version: it cannot be written: "]),
            ("--hdr-log loop", ["--hdr-log loop: it cannot be written: Too many levels"]),
            ("--connections-csv {long}", ["--connections-csv", "File name too long"]),
            ("--report {long}", ["--report", "File name too long"]),
            ("--report /proc/report", ["--report /proc/report: nothing can be written there: "]),
            ("--report /proc/a/b/c", ["--report /proc/a/b/c: nothing can be written there: "]),
            ("--report page", ["--report page/index.html: it is a folder; remove it"]),
        ],
    )
    def test_is_told_of_before_the_load(
        self, words: str, parts: list[str], folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "page" / "index.html").mkdir(parents=True)
        before = sorted(folder.rglob("*"))
        check_refused(capfd, (*SMALL, *words.format(long="a" * 256).split()), parts)
        assert sorted(folder.rglob("*")) == before

    @pytest.mark.parametrize(
        "words",
        [
            ("report", "run.json", "-o", "/proc/report"),
            ("report", "compare", "run.json", "run.json", "-o", "/proc/report"),
            ("compare", "run.json", "run.json", "--json", "/proc/x"),
            ("compare", "--keep", "/proc/keep", "--run", "true {out}", "--run", "true {out}"),
            ("server", "--json", "/proc/x"),
            ("server", "--ready-file", "/proc/x"),
        ],
        ids=" ".join,
    )
    def test_is_named_by_every_command(
        self, words: tuple[str, ...], folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "run.json").write_bytes(judged().to_json())
        done = loadgen_here(capfd, *words)
        assert (done.code, done.stdout) == (2, "")
        [line] = done.stderr.splitlines()
        option = next(word for word in words if word.startswith("-"))
        assert f"{option} /proc/" in line
        assert "None" not in line

    def test_leaves_a_name_of_full_length_alone(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        name = "a" * 255
        with ScriptedServer(echoes) as server:
            assert loadgen_here(capfd, server.address, *SMALL, "--json", name).code == 0
        assert from_json((folder / name).read_bytes()).actual.messages == 3


class TestOneThatFails:
    def test_takes_no_other_with_it(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        with ScriptedServer(echoes) as server:
            files = ("--json", "/dev/full", "--connections-csv", "c.csv", "--hdr-log", "h.log")
            done = loadgen_here(capfd, server.address, *SMALL, *files, "--report", "out")
        assert done.code == 2
        assert done.stderr == "loadgen: --json /dev/full: No space left on device\n"
        assert "p99" in done.stdout
        assert (folder / "c.csv").read_bytes().startswith(b"index,")
        assert (folder / "h.log").read_bytes().startswith(b"#[loadgen")
        assert (folder / "out" / "index.html").is_file()

    def test_is_named_beside_the_others(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        full = folder / "full"
        full.symlink_to("/dev/full")
        words = ("--json", "/dev/full", "--connections-csv", "c.csv", "--report", "out")
        done = loadgen_here(capfd, "unix:///nobody/is/here", *SMALL, *words)
        assert done.code == 3
        [line] = done.stderr.splitlines()
        assert line.startswith("loadgen: unix:///nobody/is/here is unreachable: ")
        assert line.endswith("; --json /dev/full: No space left on device")
        assert (folder / "c.csv").is_file()
        assert (folder / "out" / "index.html").is_file()

    @pytest.mark.parametrize(
        ("redirections", "code"), [(">/dev/full", 2), ("> >(exec true)", 141)], ids=["full", "gone"]
    )
    def test_is_standard_output_and_keeps_no_file_back(
        self, redirections: str, code: int, folder: Path
    ) -> None:
        files = ("--json", "-", "--connections-csv", str(folder / "c.csv"))
        with ScriptedServer(echoes) as server:
            words = (server.address, "-c", "300", "-n", "1", *files)
            done = redirected(redirections, *words, "--report", str(folder / "out"))
        assert done.code == code
        assert (folder / "c.csv").read_bytes().startswith(b"index,")
        assert (folder / "out" / "index.html").is_file()
        assert "p99" in done.stderr
        if code == 2:
            assert done.stderr.splitlines()[-1] == (
                "loadgen: standard output: No space left on device"
            )

    @pytest.mark.parametrize(
        "words",
        [
            ("-c", "1", "--rate", "1", "-d", "100ms", "--find-max", "errors<1"),
            ("-c", "1,2", "-n", "3", "--rounds", "2"),
        ],
        ids=["find-max", "backends"],
    )
    def test_is_the_table_and_the_search_goes_on(
        self, words: tuple[str, ...], folder: Path
    ) -> None:
        file = folder / "new.json"
        with ScriptedServer(closes_after(1, 64)) as server:
            done = redirected(">/dev/full", server.address, *words, "--json", str(file))
        assert (done.code, done.stderr) == (
            2,
            "loadgen: standard output: No space left on device\n",
        )
        assert b'"target"' in file.read_bytes()
