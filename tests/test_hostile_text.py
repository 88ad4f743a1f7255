"""Text that others have chosen, in every output: it is shown, and does nothing."""

import contextlib
import io
import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import backend_rows
import msgspec
import pytest
import searches
from command import loadgen, loadgen_here
from drawn_figures import monitor
from hostile import HOSTILE, PLAIN, Filled, Page, check_quiet, check_said
from markdown_it import MarkdownIt
from records import connection, connections_record, healthy, plan
from sides import STEADY, TIME, in_turn

from loadgen import logs
from loadgen import text as names
from loadgen.analysis import backends_text, max_rate_text
from loadgen.analysis.compare import text as comparison_text
from loadgen.analysis.compare.comparison import Comparison, Terms, compare
from loadgen.analysis.compare.rounds import Kind, Rounds, facts
from loadgen.analysis.summary import summarise
from loadgen.cli.run import _csv
from loadgen.cli.terminal import print_lines
from loadgen.errors import UsageError
from loadgen.files.encoded import as_json
from loadgen.net.failure import Cause, Phase
from loadgen.plan.payloads import (
    FilePayload,
    LinesPayload,
    MadePayload,
    PayloadSource,
)
from loadgen.results.hdr_log import to_hdr_log
from loadgen.results.record import FailureRecord, RunRecord, from_json
from reports import listing, page
from reports.figures import resources
from reports.figures.style import Format, to_file
from reports.page import Run
from reports.write import PAGE, Folder, write_report

ARGUMENT: Final = HOSTILE.replace("\0", "").replace("\ud800", "").replace("/", "-")[30:130]
"""What of it a word of a command line and a name of a file can be."""

PAYLOADS: Final[list[PayloadSource]] = [FilePayload("x"), LinesPayload("x"), MadePayload("x")]


def record_with(text: str, payload: PayloadSource = PAYLOADS[0]) -> RunRecord:
    """A record with ``text`` wherever there can be one."""
    failure = FailureRecord(
        phase=Phase.CONNECT, cause=Cause.REFUSED, is_local=True, count=1, first_s=0.1, last_s=0.2
    )
    worst = connection(0, 2, (100_000, 150_000, 100_000, 200_000, 200_000))
    base = healthy(
        plan=plan(payloads=(payload,), target=None),
        monitor=monitor(),
        failures=[failure],
        connections=connections_record(worst, fairness=1.0),
    )
    return Filled(text).filled(base)


def rounds_with(text: str, label: str, *, head: bool) -> Rounds:
    return Rounds(
        label=f"{text}{label}",
        taken_at=in_turn(len(STEADY), head),
        kinds={text: Kind(text), "rate": TIME},
        figures={text: STEADY, "rate": STEADY},
        missing={f"{text}missing": text},
        facts=facts([{text: f"{text}{head}"}]),
        remarks=(text,),
    )


def comparison_with(text: str) -> Comparison:
    sides = (rounds_with(text, "1", head=False), rounds_with(text, "2", head=True))
    compared = compare(*sides, Terms(also_unlike=True))
    return Filled(text).filled(compared)


def printed(lines: Any) -> str:
    file = io.StringIO()
    print_lines(lines, file)
    return file.getvalue()


class TestARecord:
    def test_has_it_in_every_text(self) -> None:
        """The other tests are worth what this one is."""
        record = record_with(HOSTILE)
        assert record.monitor is not None
        assert record.monitor.target is not None
        assert record.monitor.target.name == record.workers[0].findings[0].advice == HOSTILE
        assert record.team is not None
        assert record.team.lost[0].host == record.environment.machine == HOSTILE
        assert record.plan.payloads == (FilePayload(HOSTILE),)

    @pytest.mark.parametrize("payload", PAYLOADS)
    def test_is_summarised(self, payload: PayloadSource) -> None:
        said = printed(summarise(record_with(HOSTILE, payload)))
        assert r"\x1b[2J" in said
        check_said(said)

    def test_is_a_line_of_a_list(self, tmp_path: Path) -> None:
        said = printed(listing.lines([listing.Listed(record_with(HOSTILE), Path(ARGUMENT))]))
        assert len(said.splitlines()) == 2
        check_said(said)

    def test_is_json_that_means_the_same(self) -> None:
        content = record_with(HOSTILE).to_json()
        check_quiet(content.decode())
        assert from_json(content).target.address == names.encodable(HOSTILE)

    def test_is_a_log_of_histograms(self) -> None:
        said, plain = (to_hdr_log(record_with(text)).decode() for text in (HOSTILE, PLAIN))
        assert len(said.splitlines()) == len(plain.splitlines())
        check_quiet(said)

    def test_is_a_table_of_connections(self) -> None:
        record = record_with(PLAIN)
        ledger = {**record.connections.ledger, "state": [HOSTILE], HOSTILE: [1]}
        spoilt = msgspec.structs.replace(record.connections, ledger=ledger)
        check_quiet(_csv(msgspec.structs.replace(record, connections=spoilt)).decode())

    def test_is_a_page(self) -> None:
        pages = []
        for text in (HOSTILE, PLAIN):
            file = ARGUMENT if text == HOSTILE else text
            runs = [Run(text, record_with(text, each), file) for each in PAYLOADS]
            pages.append(page.of_runs(list(map(page.chapter, runs)), []))
        check_page(*pages)

    def test_is_drawn(self, tmp_path: Path) -> None:
        write_report([Run(HOSTILE, record_with(HOSTILE))], Folder(tmp_path), ["svg"])
        svgs = list(tmp_path.glob("*.svg"))
        assert len(svgs) > 3
        for figure in svgs:
            ET.parse(figure)
            check_quiet(figure.read_text(encoding="utf-8"))
        svg_of_page = (tmp_path / PAGE).read_text(encoding="utf-8")
        assert r"target (A\n::error" in svg_of_page
        check_quiet(svg_of_page)

    @pytest.mark.parametrize("form", ["png", "pdf"])
    def test_is_drawn_as(self, form: Format) -> None:
        figure = resources.figure(record_with(HOSTILE))
        assert figure is not None
        content = io.BytesIO()
        to_file(figure, content, form, HOSTILE)
        assert content.getvalue().startswith((b"\x89PNG", b"%PDF"))


def check_page(hostile: str, plain: str) -> None:
    """Check that one page has the elements of the other, and nothing in it acts."""
    check_quiet(hostile)
    found, expected = Page(hostile), Page(plain)
    figures = ("text", "tspan", "g", "path", "use", "defs", "clippath", "rect", "br")
    outside = [
        Counter(each for each in page.elements if each[0] not in figures)
        for page in (found, expected)
    ]
    assert outside[0] == outside[1]
    assert {each for each, *_ in found.elements} <= {each for each, *_ in expected.elements}
    assert r"\x1b[2J" in found.prose


class TestAComparison:
    def test_is_told(self) -> None:
        said = printed(comparison_text.lines(comparison_with(HOSTILE)))
        assert r"\x1b[2J" in said
        check_said(said)

    def test_is_a_comment_in_which_nothing_is_live(self) -> None:
        said, plain = (comparison_text.markdown(comparison_with(text)) for text in (HOSTILE, PLAIN))
        check_said(said)
        render = MarkdownIt("commonmark").enable("table").render
        found, expected = Page(render(said)), Page(render(plain))
        dollars: Counter[tuple[str, ...]] = Counter({("span",): Counter(found.elements)[("span",)]})
        assert Counter(found.elements) - dollars == Counter(expected.elements)
        for live in ("@octocat", "#1", "https://", "http://", "www."):
            assert live not in found.prose
            assert live in HOSTILE

    def test_is_json(self) -> None:
        check_quiet(comparison_with(HOSTILE).to_json().decode())

    def test_is_a_page(self, tmp_path: Path) -> None:
        pages = []
        for text in (HOSTILE, PLAIN):
            sides = ([record_with(text)], [record_with(text)])
            pages.append(page.of_comparison(comparison_with(text), sides, []))
        check_page(*pages)

    def test_is_drawn(self) -> None:
        sides = {f"{HOSTILE}{side}": [record_with(HOSTILE)] for side in "AB"}
        drawn = [each for each in page.side_by_side(sides, ["svg"]) if each.wide]
        assert drawn
        for picture in drawn:
            ET.fromstring(picture.wide)
            ET.fromstring(picture.files["svg"])
            check_quiet(picture.wide + picture.files["svg"].decode())


def test_a_search_for_the_highest_rate() -> None:
    looking = searches.wall_at(5000).search()
    record = Filled(HOSTILE).filled(searches.record_of(looking))
    steps = [max_rate_text.step_line(step) for step in record.steps]
    said = printed(
        [*max_rate_text.heading(HOSTILE, "native"), *steps, *max_rate_text.conclusion(record)]
    )
    assert r"\x1b[2J" in said
    check_said(said)
    check_quiet(record.to_json().decode())


def test_a_comparison_of_backends() -> None:
    rows = backend_rows.rows_of(backend_rows.same())
    record = Filled(HOSTILE).filled(backend_rows.record_of(rows))
    said = printed([backends_text.round_line(record.grid, 1), *backends_text.table(record)])
    assert r"\x1b[2J" in said
    check_said(said)
    check_quiet(record.to_json().decode())


def test_a_line_of_the_log() -> None:
    log, shown = logs.logger("loadgen.hostile"), io.StringIO()
    handler = logging.StreamHandler(shown)
    log.addHandler(handler)
    try:
        log.error("worker %s", HOSTILE)
        with contextlib.suppress(ValueError):
            raise_it(log)
    finally:
        log.removeHandler(handler)
    check_said(shown.getvalue())
    assert shown.getvalue().count("\n") > 3, "a traceback keeps its lines"


def raise_it(log: logging.Logger) -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        log.exception("what happened: %s", HOSTILE)
        raise


class TestAComplaint:
    @pytest.mark.parametrize(
        "words",
        [
            (ARGUMENT,),
            ("localhost:1", f"--{ARGUMENT}"),
            ("localhost:1", "--check", ARGUMENT),
            ("localhost:1", "--rate", ARGUMENT),
            ("localhost:1", "--reply", ARGUMENT),
            ("localhost:1", "--backend", ARGUMENT),
            ("localhost:1", "--payload-file", ARGUMENT),
            ("localhost:1", "--json", f"{ARGUMENT}/x"),
            ("server", "--host", ARGUMENT),
            ("compare", ARGUMENT, ARGUMENT),
            ("compare", "--run", ARGUMENT, "--run", "{out}"),
            ("compare", "--keep", "/proc/" + ARGUMENT, *("--run", "a {out}") * 2),
            ("report", ARGUMENT),
            ("report", "list", ARGUMENT),
        ],
    )
    def test_is_one_line(self, capfd: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
        done = loadgen_here(capfd, *words)
        assert done.code in (2, 3)
        assert done.stdout == ""
        [line] = done.stderr.splitlines()
        check_said(line)

    @pytest.mark.parametrize("command", [("compare",), ("report",)])
    @pytest.mark.parametrize(
        "content",
        [
            {"schema": HOSTILE},
            {"schema": f"loadgen.run/{HOSTILE}"},
            {"schema": "loadgen.run/2", HOSTILE: 1, "limits": {HOSTILE: HOSTILE}},
            {
                "datetime": HOSTILE,
                "machine_info": {"system": "", "release": ""},
                "benchmarks": [{"fullname": HOSTILE, "stats": {"median": 1.0}}] * 2,
            },
        ],
    )
    def test_of_a_file_is_one_line(
        self,
        capfd: pytest.CaptureFixture[str],
        tmp_path: Path,
        command: tuple[str, ...],
        content: dict[str, Any],
    ) -> None:
        file = tmp_path / ARGUMENT
        file.write_bytes(as_json(content))
        done = loadgen_here(capfd, *command, *[str(file)] * (2 if command == ("compare",) else 1))
        assert (done.code, done.stdout) == (2, "")
        [line] = done.stderr.splitlines()
        check_said(line)

    def test_with_what_a_command_said_has_a_line_for_each_of_its(self) -> None:
        command = f'{sys.executable} -c \'print(chr(27) + "[2J"); print("::error::x"); {{out}}\''
        done = loadgen("compare", "--run", command, "--run", command)
        assert (done.code, done.stdout) == (2, "")
        assert "\n  | " in done.stderr
        check_said(done.stderr)

    def test_is_not_longer_than_can_be_read(self) -> None:
        text = str(UsageError(f"a{HOSTILE * 10_000}z"))
        assert len(text) == names.LONGEST
        assert text.startswith(r"aA\n::error")
        assert text.endswith(r"\nz")


def test_benchmarks_are_compared(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    name = names.encodable(HOSTILE)
    for side in "AB":
        (tmp_path / side).mkdir()
        for second in range(3):
            document = {
                "datetime": f"2026-01-01T00:00:0{second}{name}",
                "machine_info": {"system": f"{side}{name}", "release": name},
                "benchmarks": [{"fullname": name, "stats": {"median": 1.0}}],
            }
            file = tmp_path / side / f"{second}{ARGUMENT}.json"
            file.write_bytes(msgspec.json.encode(document))
    sides = [str(tmp_path / side) for side in "AB"]
    for output in ("--markdown", "--json"):
        done = loadgen_here(capfd, "compare", *sides, "--force", output, "-")
        assert done.code == 0
        assert r"::error" in done.stdout
        check_quiet(done.stdout)
        check_said(done.stderr)


# ---- a process that has given itself such a name ------------------------------------------

SHORT_NAME: Final = b"\x1b[31m|`@x<b>$"
"""Fifteen bytes at most (prctl(2), PR_SET_NAME)."""

LONG_NAME: Final = SHORT_NAME.ljust(15, b"$") + b"\n\xc2\x9b\xe2\x80\xae" + b"z" * 200

ECHO: Final = f"""
import ctypes, socket
ctypes.CDLL(None).prctl(15, {SHORT_NAME.ljust(15, b"$")!r}, 0, 0, 0)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    peer, _ = listener.accept()
    while data := peer.recv(65536):
        peer.sendall(data)
"""


@pytest.fixture
def misnamed() -> Iterator[str]:
    """The address of an echo server whose process has a hostile name, and a longer one in argv."""
    words: list[str | bytes] = [LONG_NAME, "-S", "-c", ECHO]
    python = os.path.realpath(sys.executable)
    with subprocess.Popen(words, executable=python, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield f"127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
def test_a_target_with_a_hostile_name_is_loaded_and_reported(misnamed: str, tmp_path: Path) -> None:
    words = ("-c", "1", "-n", "20", "--no-probe", "--json", str(tmp_path / "run.json"))
    done = loadgen(misnamed, *words, "--report", str(tmp_path / "report"))
    assert (done.code, done.stderr) == (0, "")
    record = from_json((tmp_path / "run.json").read_bytes())
    assert record.monitor is not None
    assert record.monitor.target is not None
    assert record.monitor.target.name == os.fsdecode(LONG_NAME)
    assert r"\x1b[31m|`@x<b>$$$\n\u009b\u202ezzz" in done.stdout
    check_said(done.stdout)
    html = (tmp_path / "report" / PAGE).read_text(encoding="utf-8")
    check_quiet(html)
    assert ("b",) not in Page(html).elements
    assert r"target (\x1b[31m|`@x" in Page(html).prose
