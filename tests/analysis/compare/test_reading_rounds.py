"""Where the rounds of a side are read from."""

import io
import json
from functools import partial
from pathlib import Path

import pytest
from records import at, closed_loop, document

from loadgen.analysis.compare.reading import read
from loadgen.errors import LoadgenError, RecordError, UsageError
from loadgen.files.reading import read_written

RECORDS = [at(second, closed_loop()) for second in (1, 2, 3)]


def test_a_file_may_hold_one_round_or_several(tmp_path: Path) -> None:
    file = tmp_path / "base.json"
    file.write_bytes(RECORDS[0].to_json())
    assert len(read("base", file).taken_at) == 1
    file.write_bytes(b"".join(record.to_json() for record in RECORDS) + b"\n\n")
    rounds = read("base", file)
    assert rounds.label == "base"
    assert rounds.taken_at == tuple(record.started_at for record in RECORDS)


def test_a_folder_holds_a_file_for_each_round(tmp_path: Path) -> None:
    for number, record in enumerate(RECORDS):
        (tmp_path / f"{number}.json").write_bytes(record.to_json())
    (tmp_path / "notes.txt").write_text("of another kind")
    assert len(read("base", tmp_path).taken_at) == 3


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(RECORDS[0].to_json())))
    assert read("-", Path("-")).figures["messages_per_s"] == [1000.0]


def test_files_of_pytest_benchmark_are_known(tmp_path: Path) -> None:
    for number in range(2):
        taken = document({"one": 1e-6}, datetime=f"2026-01-31T12:00:0{number}+00:00")
        (tmp_path / f"{number}.json").write_text(json.dumps(taken))
    assert read("base", tmp_path).figures == {"one": [1e3, 1e3]}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "it is empty"),
        (b"{", "no JSON"),
        (b"\xff\xfe\x00", "no text"),
        (b"[1]", "no round of either kind"),
        (b'{"schema": "loadgen.max/1"}', r"a loadgen\.max/1, not a loadgen\.run/2"),
        (b'{"schema": "loadgen.run/2"}', "no record of the form"),
        (b'{"benchmarks": [{"fullname": "one"}]}', "no file of pytest-benchmark: .*Object missing"),
        (RECORDS[0].to_json()[:-100], "no JSON"),
        (b'{"schema": "loadgen.run/%s"}' % (b"9" * 5000), "a newer loadgen has written"),
        (RECORDS[0].to_json().replace(b"2026-01-31T", b"2026-13-31T"), "not a moment"),
        (RECORDS[0].to_json() * 2, "is in it 2 times; remove the copies"),
        (RECORDS[0].to_json() + json.dumps(document({})).encode(), "cannot be mixed"),
    ],
)
def test_what_holds_no_rounds_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    file = tmp_path / "base.json"
    file.write_bytes(content)
    with pytest.raises(RecordError, match=complaint) as refusal:
        read("base", file)
    assert str(file) in str(refusal.value)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read("base", tmp_path / "missing.json")
    with pytest.raises(LoadgenError, match=r"no \.json file"):
        read("base", tmp_path)


def test_what_never_ends_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "loadgen.analysis.compare.reading.read_written", partial(read_written, most_bytes=9999)
    )
    with pytest.raises(UsageError, match=r"^/dev/zero: it has more than 9\.76 KiB"):
        read("base", Path("/dev/zero"))


def test_a_name_that_no_file_can_have_is_told_of() -> None:
    with pytest.raises(UsageError, match="name too long"):
        read("base", Path("x" * 5000))
