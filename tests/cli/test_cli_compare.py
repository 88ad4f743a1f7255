"""``loadgen compare`` as a user meets it."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from command import LOADGEN, loadgen_here
from records import actual, at, closed_loop
from servers import ScriptedServer, echoes

from loadgen.analysis.compare.comparison import Comparison
from loadgen.results.record import RunRecord

RATES = (1000.0, 1010.0, 990.0, 1005.0, 995.0)


@pytest.fixture
def sides(tmp_path: Path) -> tuple[str, str]:
    """The names of two files: five rounds each, the second of them a fifth slower."""
    return written(tmp_path / "a.json", records(1.0, 0)), written(
        tmp_path / "b.json", records(0.8, 1)
    )


def records(factor: float, first_second: int) -> list[RunRecord]:
    return [
        at(first_second + 2 * number, closed_loop(actual=actual(messages_per_s=rate * factor)))
        for number, rate in enumerate(RATES)
    ]


def written(path: Path, rounds: Sequence[RunRecord]) -> str:
    path.write_bytes(b"".join(record.to_json() for record in rounds))
    return str(path)


def test_compares_files(capfd: pytest.CaptureFixture[str], sides: tuple[str, str]) -> None:
    result = loadgen_here(capfd, "compare", *sides)
    assert (result.code, result.stderr) == (0, "")
    row = next(line for line in result.stdout.splitlines() if line.startswith("  messages/s"))
    assert row.endswith("slower")
    assert "+20.0 %" in row
    assert "slower: messages/s" in result.stdout
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--fail-on", "messages_per_s>5%"], 1),
        (["--fail-on", "messages_per_s>30%"], 0),
        (["--fail-on", "messages_per_s>30%", "--strict"], 0),
        (["--fail-on", "messages_per_s>20%"], 0),
        (["--fail-on", "messages_per_s>20%", "--strict"], 4),
        (["--fail-on", "messages_per_s>20%", "--fail-on", "messages_per_s>5%", "--strict"], 1),
    ],
)
def test_exit_codes_are_those_of_the_gates(
    capfd: pytest.CaptureFixture[str], sides: tuple[str, str], options: list[str], code: int
) -> None:
    assert loadgen_here(capfd, "compare", *sides, *options).code == code


def test_writes_markdown_and_json(
    capfd: pytest.CaptureFixture[str], sides: tuple[str, str], tmp_path: Path
) -> None:
    comment = tmp_path / "comment.md"
    result = loadgen_here(capfd, "compare", *sides, "--json", "-", "--markdown", str(comment))
    comparison = msgspec.json.decode(result.stdout, type=Comparison)
    assert comparison.rounds == (5, 5)
    assert {each.figure: each.word for each in comparison.changes}["messages_per_s"] == "slower"
    assert "messages/s" in result.stderr
    assert comment.read_text().startswith("### loadgen compare: slower: messages/s")


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"backend": "poll"}, "backend: epoll and poll"),
        ({"engine": "native"}, "engine: python and native"),
    ],
    ids=["backend", "engine"],
)
def test_refuses_what_is_unlike_by_name(
    change: dict[str, str],
    difference: str,
    capfd: pytest.CaptureFixture[str],
    sides: tuple[str, str],
    tmp_path: Path,
) -> None:
    other = [msgspec.structs.replace(record, **change) for record in records(1.0, 1)]
    file = written(tmp_path / "other.json", other)
    refused = loadgen_here(capfd, "compare", sides[0], file)
    assert refused.code == 2
    assert difference in refused.stderr
    assert "--force" in refused.stderr
    forced = loadgen_here(capfd, "compare", sides[0], file, "--force")
    assert forced.code == 0
    assert f"not alike: {difference}" in forced.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "0 files or folders given"),
        (["one.json"], "1 files or folders given"),
        (["-", "-"], "both cannot come from standard input"),
        (["no-such.json", "b.json"], "no-such.json: No such file"),
        (["a", "b", "--rounds", "3"], "--rounds is about commands"),
        (["a", "b", "--keep", "x"], "--keep is about commands"),
        (["a", "b", "--strict"], "--strict is about --fail-on"),
        (["a", "b", "--json", "-", "--markdown", "-"], "--json and --markdown cannot share"),
        (["a", "b", "--fail-on", "p99"], "--fail-on: 'p99' is not accepted; write FIGURE>PERCENT"),
        (["a", "b", "--same-within", "0"], "--same-within: '0' is not accepted"),
        (["a", "b", "--confidence", "100%"], "--confidence: '100%' is not accepted"),
        (["--run", "x {out}"], "--run: given 1 times; two are compared"),
        (["--run", "x"], "write {out} there"),
        (["a", "--run", "x {out}", "--run", "y {out}"], "files, or commands, not both"),
        (["--run", "x {out}", "--run", "y {out}", "--rounds", "0"], "--rounds: '0'"),
        (
            ["--run", "x {out}", "--run", "y {out}", "--keep", "/dev/null"],
            "--keep /dev/null: Not a",
        ),
        (["--run", "no-such {out}", "--run", "y {out}"], "'no-such {out}' cannot be started"),
    ],
)
def test_a_mistake_is_told_in_a_line(
    capfd: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    result = loadgen_here(capfd, "compare", *arguments)
    assert result.code == 2
    assert result.stderr.startswith("loadgen compare: ") or "round 1" in result.stderr
    assert complaint in result.stderr


def loading(address: str) -> str:
    words = [*LOADGEN, address, "-c", "2", "-n", "200", "--quiet", "--json"]
    return f"{shlex.join(words)} {{out}}"


def test_runs_two_commands_in_turn(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with ScriptedServer(echoes) as base, ScriptedServer(echoes) as head:
        commands = ("--run", loading(base.address), "--run", loading(head.address))
        options = ("--rounds", "2", "--keep", str(kept), "--json", "-")
        result = loadgen_here(capfd, "compare", *commands, *options)
        assert (base.accepted, head.accepted) == (4, 4)
    assert result.code == 0
    assert "round 2 of 2: A" in result.stderr
    comparison = json.loads(result.stdout)
    assert comparison["in_turn"]
    assert comparison["base"] == loading(base.address)
    again = loadgen_here(capfd, "compare", str(kept / "A"), str(kept / "B"), "--json", "-")
    assert json.loads(again.stdout)["changes"] == comparison["changes"]
    refused = loadgen_here(capfd, "compare", *commands, *options)
    assert refused.code == 2
    assert "holds records already" in refused.stderr


def test_a_gate_that_is_misspelt_is_told_of_after_the_first_round(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    source = tmp_path / "record.json"
    source.write_bytes(closed_loop().to_json())
    run = f"sh -c 'echo >> {log}; cp {source} $0' {{out}}"
    done = loadgen_here(capfd, "compare", "--run", run, "--run", run, "--fail-on", "p9>5%")
    assert done.code == 2
    assert "no figure here is called p9" in done.stderr
    assert log.read_text() == "\n\n"


def test_a_command_that_fails_its_checks_is_told_of(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = tmp_path / "record.json"
    source.write_bytes(closed_loop().to_json())
    copies = [f"sh -c 'cp {source} $0; exit {code}' {{out}}" for code in (0, 1)]
    words = ("compare", "--run", copies[0], "--run", copies[1], "--rounds", "1")
    done = loadgen_here(capfd, *words)
    assert done.code == 0
    assert "B: the command ended with 1 in 1 of 1 rounds" in done.stdout


def test_a_kept_folder_is_found_from_anywhere(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "record.json"
    source.write_bytes(closed_loop().to_json())
    run = f"sh -c 'cd / && cp {source} $0' {{out}}"
    words = ("compare", "--run", run, "--run", run, "--rounds", "1", "--keep", "kept")
    assert loadgen_here(capfd, *words).code == 0
    assert (tmp_path / "kept" / "B" / "0001.json").exists()
