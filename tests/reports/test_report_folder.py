"""What a report does to the folder that it is written into: nothing but its own files changes."""

from pathlib import Path

import pytest
from command import check_refused, loadgen_here
from records import judged
from servers import ScriptedServer, echoes

pytestmark = pytest.mark.usefixtures("one_picture")

FIGURE = "latency-by-percentile.svg"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a record, a folder ``out``, and something precious elsewhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.json").write_bytes(judged(1).to_json())
    (tmp_path / "b.json").write_bytes(judged(2).to_json())
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").write_bytes(b"before")
    return tmp_path


@pytest.mark.parametrize("name", ["index.html", FIGURE])
@pytest.mark.parametrize("leads_to", ["precious", "nothing"])
def test_a_link_is_replaced_and_not_followed(
    name: str, leads_to: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "out" / name).symlink_to(folder / "elsewhere" / leads_to)
    assert loadgen_here(capfd, "report", "a.json", "-o", "out", "--format", "svg").code == 0
    assert not (folder / "out" / name).is_symlink()
    assert (folder / "out" / name).stat().st_size > 1000
    assert list((folder / "elsewhere").iterdir()) == [folder / "elsewhere" / "precious"]
    assert (folder / "elsewhere" / "precious").read_bytes() == b"before"


def test_a_link_to_a_record_is_replaced_by_the_page_of_it(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "out" / "index.html").symlink_to(folder / "a.json")
    before = (folder / "a.json").read_bytes()
    assert loadgen_here(capfd, "report", "a.json", "-o", "out").code == 0
    assert not (folder / "out" / "index.html").is_symlink()
    assert (folder / "a.json").read_bytes() == before


def test_a_run_replaces_a_link_as_well(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "out" / "index.html").symlink_to(folder / "elsewhere" / "precious")
    with ScriptedServer(echoes) as server:
        words = (server.address, "-c", "1", "-n", "3", "--report", "out")
        assert loadgen_here(capfd, *words).code == 0
    assert not (folder / "out" / "index.html").is_symlink()
    assert (folder / "elsewhere" / "precious").read_bytes() == b"before"


def test_a_linked_folder_within_is_not_entered(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "out" / "a").symlink_to(folder / "elsewhere")
    done = loadgen_here(capfd, "report", "a.json", "b.json", "-o", "out", "--format", "svg")
    assert done.code == 2
    assert f"out/a/{FIGURE}: a is a symbolic link, which is not followed" in done.stderr
    assert list((folder / "elsewhere").iterdir()) == [folder / "elsewhere" / "precious"]
    assert (folder / "out" / "b" / FIGURE).is_file()


def test_a_linked_folder_that_is_named_is_the_one_that_is_meant(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "link").symlink_to("out")
    assert loadgen_here(capfd, "report", "a.json", "-o", "link").code == 0
    assert (folder / "out" / "index.html").is_file()


@pytest.mark.parametrize("words", [("-o", "out"), ("--report", "out")], ids=" ".join)
def test_a_page_of_somebody_else_stays(
    words: tuple[str, str], folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    page = folder / "out" / "index.html"
    page.write_text("<!DOCTYPE html><title>my own</title>")
    said = f"{words[0]} out/index.html: it is there already, and is not a report of loadgen's"
    if words[0] == "-o":
        done = loadgen_here(capfd, "report", "a.json", *words)
        assert (done.code, done.stdout) == (2, "")
        assert said in done.stderr
    else:
        check_refused(capfd, ("-c", "1", "-n", "3", *words), [said])
    assert page.read_text() == "<!DOCTYPE html><title>my own</title>"


def test_all_else_stays_and_an_older_report_is_replaced(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "out" / "notes.txt").write_bytes(b"mine")
    (folder / "out" / "index.html").touch()  # empty, as a mounted file may be
    for record in ("a.json", "b.json"):
        assert loadgen_here(capfd, "report", record, "-o", "out").code == 0
        page = (folder / "out" / "index.html").read_text()
        assert f"../{record}" in page
    assert (folder / "out" / "notes.txt").read_bytes() == b"mine"
