"""The lines of a folder's runs."""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from records import at, closed_loop, open_loop, plan, spread

from loadgen.errors import UsageError
from loadgen.results.record import RunRecord
from reports.listing import HEADINGS, Listed, find, lines


def shown(*records: RunRecord) -> Sequence[str]:
    """Return the lines of ``records`` without their heading."""
    heading, *rows = (line.text for line in lines([Listed(each, Path("f")) for each in records]))
    assert heading.split("  ")[0] == HEADINGS[0]
    return rows


def test_the_newest_comes_first_whichever_file_it_is_in(tmp_path: Path) -> None:
    (tmp_path / "two.json").write_bytes(
        b"".join(at(second, closed_loop()).to_json() for second in (1, 3))
    )
    (tmp_path / "one.json").write_bytes(at(2, closed_loop()).to_json())
    (tmp_path / "cut.json").write_bytes(closed_loop().to_json()[:-9])
    (tmp_path / "else.json").write_text('{"benchmarks": []}')
    undated = msgspec.structs.replace(closed_loop(), started_at="yesterday")
    (tmp_path / "undated.json").write_bytes(undated.to_json())
    (tmp_path / "notes.txt").write_text("not looked at")
    os.mkfifo(tmp_path / "pipe.json")  # without a writer
    found, complaints = find(tmp_path)
    assert [each.file.name for each in found] == ["two.json", "one.json", "two.json"]
    assert [complaint.split(":")[0] for complaint in complaints] == [
        str(tmp_path / f"{name}.json") for name in ("cut", "else", "undated")
    ]


@pytest.mark.parametrize(
    ("load", "words"),
    [
        ({"rate": "0..1k/10s"}, "0 to 1\xa0000/s within 10 s"),
        ({"rate_per_connection": 10.0, "connections": 3}, "30/s"),
    ],
)
def test_the_load_is_said_in_words(load: dict[str, object], words: str) -> None:
    (row,) = shown(open_loop(plan=plan(**load)))
    assert f"  {words}  " in row


def test_what_is_not_known_is_a_dash() -> None:
    few = closed_loop(service_time_ns=spread(1_000, 2_000, 3_000, count=500), health=None)
    (row,) = shown(few)
    assert row.split()[-4:] == ["-", "not", "judged", "f"]


def test_columns_stand_below_each_other_however_long_a_name_is() -> None:
    far = msgspec.structs.replace(closed_loop().target, address="far-away.example.com:65535")
    rows = shown(closed_loop(), closed_loop(target=far))
    assert len({row.index("closed loop") for row in rows}) == 1


def test_a_folder_without_files_of_runs_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no \.json file in this folder"):
        find(tmp_path)
