"""``loadgen report`` and ``--report`` as a user meets them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from command import ROOT, environment, loadgen, loadgen_here
from records import judged
from servers import ScriptedServer, echoes

from loadgen.results.record import RunRecord, from_json

pytestmark = pytest.mark.usefixtures("one_picture")

Written = Callable[..., str]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Write records into a file, one after the other, and return its name."""

    def write(name: str, *records: RunRecord) -> str:
        file = tmp_path / name
        file.write_bytes(b"".join(record.to_json() for record in records))
        return str(file)

    return write


def test_a_file_becomes_a_page(
    capfd: pytest.CaptureFixture[str], written: Written, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "out"
    done = loadgen_here(capfd, "report", written("run.json", judged()), "-o", str(out))
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout == f"{out / 'index.html'}\n"
    text = (out / "index.html").read_text(encoding="utf-8")
    assert "<h1>run</h1>" in text
    assert '<a href="../../run.json">' in text
    assert [path.name for path in out.iterdir()] == ["index.html"]


def test_standard_input_and_several_runs_in_a_file(
    capfd: pytest.CaptureFixture[str], written: Written, tmp_path: Path
) -> None:
    two = written("two.json", judged(1), judged(2))
    assert loadgen_here(capfd, "report", two, "-o", str(tmp_path)).code == 0
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<h1>2 runs</h1>" in text
    assert all(f"<h1>two ({number})</h1>" in text for number in (1, 2))
    piped = loadgen("report", "-", "-o", str(tmp_path), stdin=judged().to_json())
    assert piped.code == 0, piped.stderr
    assert "<h1>run</h1>" in (tmp_path / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("engine", "why_python", "said"),
    [
        ("native", "", "native"),
        ("python", "", "python"),
        ("python", "no compiler & no luck", "python (no compiler &amp; no luck)"),
    ],
)
def test_a_page_names_the_engine(
    engine: str,
    why_python: str,
    said: str,
    capfd: pytest.CaptureFixture[str],
    written: Written,
    tmp_path: Path,
) -> None:
    record = msgspec.structs.replace(judged(), engine=engine, why_python=why_python)
    words = ("report", written("run.json", record), "-o", str(tmp_path / "out"))
    assert loadgen_here(capfd, *words).code == 0
    text = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert f'<th scope="row">engine</th><td class="text">{said}</td>' in text


def test_a_folder_is_all_runs_in_it(
    capfd: pytest.CaptureFixture[str], written: Written, tmp_path: Path
) -> None:
    for name in ("a.json", "b.json"):
        written(name, judged())
    assert loadgen_here(capfd, "report", str(tmp_path), "-o", str(tmp_path / "out")).code == 0
    text = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "<h1>2 runs</h1>" in text


def test_figures_are_written_in_the_forms_asked_for(
    capfd: pytest.CaptureFixture[str], written: Written, tmp_path: Path
) -> None:
    words = ("report", written("run.json", judged()), "-o", str(tmp_path / "out"))
    assert loadgen_here(capfd, *words, "--format", "png,svg").code == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"latency-by-percentile.png", "latency-by-percentile.svg"} <= names
    assert not any(name.endswith(".pdf") for name in names)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (judged().to_json()[:-200], "this is no JSON"),
        (
            judged().to_json().replace(b"loadgen.run/2", b"loadgen.run/3"),
            "a newer loadgen has written this loadgen.run/3; this one reads",
        ),
        (b'{"benchmarks": []}', "of pytest-benchmark"),
        (b"", "it is empty"),
        (b"\xff\xff", "this is no text"),
        (None, "No such file"),
    ],
    ids=["cut off", "newer", "pytest-benchmark", "empty", "no text", "missing"],
)
def test_what_is_no_record_is_told_of_in_one_line(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    file = tmp_path / "run.json"
    if content is not None:
        file.write_bytes(content)
    done = loadgen_here(capfd, "report", str(file), "-o", str(tmp_path / "out"))
    assert (done.code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"loadgen report: {file}: ")
    assert complaint in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "the following arguments are required: RECORD"),
        (["{run}", "--format", "gif"], "'gif' is not accepted; choose of svg, png, pdf"),
        (["{run}", "-o", "{run}"], "is a file; name a folder"),
        (["{run}", "-o", "-"], "'-' is standard output; name a folder"),
        (["compare", "{run}"], "arguments are required: A B"),
        (["list", "{run}"], "this is no folder"),
    ],
)
def test_a_mistake_is_told_of_in_one_line(
    capfd: pytest.CaptureFixture[str], written: Written, words: list[str], complaint: str
) -> None:
    run = written("run.json", judged())
    done = loadgen_here(capfd, "report", *(word.format(run=run) for word in words))
    assert done.code == 2
    (line,) = done.stderr.splitlines()
    assert complaint in line


def test_compare_overlays_two_sides(
    capfd: pytest.CaptureFixture[str], written: Written, tmp_path: Path
) -> None:
    base = written("base.json", *(judged(2 * number) for number in range(3)))
    head = written("head.json", *(judged(2 * number + 1) for number in range(3)))
    done = loadgen_here(capfd, "report", "compare", base, head, "-o", str(tmp_path / "out"))
    assert done.code == 0, done.stderr
    text = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "<h1>the same" in text
    assert "3 rounds of each, taken in turn" in text


def test_compare_refuses_what_is_not_alike_by_name(
    capfd: pytest.CaptureFixture[str], written: Written, tmp_path: Path
) -> None:
    other = msgspec.structs.replace(judged(1), backend="poll")
    words = ("report", "compare", written("a.json", judged()), written("b.json", other))
    out = ("-o", str(tmp_path / "out"))
    refused = loadgen_here(capfd, *words, *out)
    assert refused.code == 2
    assert "backend: epoll and poll" in refused.stderr
    assert loadgen_here(capfd, *words, *out, "--force").code == 0
    assert "not alike: backend" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_list_has_a_line_for_each_run_the_newest_first(
    capfd: pytest.CaptureFixture[str], written: Written, tmp_path: Path
) -> None:
    written("early.json", judged(1))
    written("late.json", judged(9))
    (tmp_path / "other.json").write_text("{}")
    done = loadgen_here(capfd, "report", "list", str(tmp_path))
    heading, first, second = done.stdout.splitlines()
    assert heading.split()[:4] == ["began", "target", "connections", "load"]
    assert first.startswith("2026-01-31 12:00:09 UTC  10.0.0.5:9999  2            closed loop ")
    assert first.endswith("late.json")
    assert second.endswith("early.json")
    assert f"left out: {tmp_path / 'other.json'}: it holds no round" in done.stderr


class TestInOneGo:
    def test_a_run_makes_its_page(self, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        out, file = tmp_path / "out", tmp_path / "run.json"
        with ScriptedServer(echoes) as server:
            words = (server.address, "-c", "2", "-n", "50", "--json", str(file))
            done = loadgen_here(capfd, *words, "--report", str(out))
        assert done.code == 0, done.stderr
        assert "messages" in done.stdout
        text = (out / "index.html").read_text(encoding="utf-8")
        assert from_json(file.read_bytes()).target.address in text
        assert '<a href="../run.json">' in text

    def test_also_where_nobody_could_connect(
        self, capfd: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        words = ("unix:///nobody/is/here.sock", "-c", "1", "--report", str(tmp_path))
        assert loadgen_here(capfd, *words).code == 3
        assert '<p class="warning">no connection came up</p>' in (
            tmp_path / "index.html"
        ).read_text(encoding="utf-8")

    @pytest.mark.parametrize("more", [["--find-max", "errors<1%"], ["-c", "1,2"]])
    def test_not_with_what_is_many_runs(
        self, capfd: pytest.CaptureFixture[str], tmp_path: Path, more: list[str]
    ) -> None:
        done = loadgen_here(capfd, "localhost:1", *more, "--report", str(tmp_path / "out"))
        assert done.code == 2
        assert "--report" in done.stderr
        assert not (tmp_path / "out").exists()

    def test_not_into_a_file(self, capfd: pytest.CaptureFixture[str], written: Written) -> None:
        done = loadgen_here(capfd, "localhost:1", "--report", written("run.json", judged()))
        assert done.code == 2
        assert "run.json' is a file; name a folder, or a new one" in done.stderr

    def test_not_into_what_cannot_be_a_folder(
        self, capfd: pytest.CaptureFixture[str], written: Written
    ) -> None:
        file = written("run.json", judged())
        with ScriptedServer(echoes) as server:
            words = (server.address, "-n", "1", "-c", "1", "--report", f"{file}/out")
            done = loadgen_here(capfd, *words)
        assert (done.code, done.stdout) == (2, "")
        assert f"--report {file}/out: {file} is a file; name a folder" in done.stderr

    def test_not_over_the_record(self, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        page = tmp_path / "index.html"
        done = loadgen_here(capfd, "localhost:1", "--json", str(page), "--report", str(page.parent))
        assert done.code == 2
        assert f"--json and --report cannot share {page}; name two files" in done.stderr


def test_python_m_reports_is_the_same_command(written: Written, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "reports", "list", str(Path(written("a.json", judged())).parent)]
    done = subprocess.run(
        words, cwd=ROOT, env=environment(), capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert b"a.json" in done.stdout


def test_a_load_needs_no_library_that_draws() -> None:
    program = (
        "import importlib.util, sys\n"
        "real = importlib.util.find_spec\n"
        "hidden = ('matplotlib', 'jinja2')\n"
        "importlib.util.find_spec = lambda name: None if name in hidden else real(name)\n"
        "from loadgen.cli import main\n"
        "codes = [main(words) for words in (['-n', '1', '-c', '1'], ['report', 'x.json'])]\n"
        "print(codes, any(name in sys.modules for name in hidden))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.decode().splitlines()[-1] == "[0, 2] False"
    assert b"loadgen report draws with matplotlib: pip install 'loadgen[report]'" in done.stderr
