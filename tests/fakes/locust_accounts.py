"""The counts of a run of Locust: in Locust's CSV and JSON files, and in loadgen's records."""

import csv
import json
from pathlib import Path
from typing import Final, NamedTuple

import accounts

from loadgen.results.record import RunRecord, from_json
from loadgen.server import ServerCounts

MESSAGE_BYTES: Final = 64


class Count(NamedTuple):
    requests: int
    failures: int

    @property
    def answered(self) -> int:
        return self.requests - self.failures


class Accounts(NamedTuple):
    """The counts of one run: Locust's in total and by name, loadgen's by user class."""

    total: Count
    names: dict[str, Count]
    errors: dict[tuple[str, str], int]  # by name and text
    records: dict[str, RunRecord]

    @classmethod
    def of(cls, folder: Path) -> "Accounts":
        """Return those in ``folder``; Locust's CSV and JSON must agree."""
        *rows, total = _rows(folder / "out_stats.csv")
        in_csv = {row["Name"]: _count(row) for row in rows}
        entries = json.loads((folder / "out.json").read_text())
        in_json = {each["name"]: each for each in entries}
        assert in_csv.keys() == in_json.keys()
        for name, each in in_json.items():
            assert in_csv[name] == (each["num_requests"], each["num_failures"])
            timed = each["num_requests"] - each["num_none_requests"]
            assert timed == sum(each["response_times"].values())
            assert each["num_requests"] == sum(each["num_reqs_per_sec"].values())
        requests, failures = zip(*in_csv.values(), strict=True) if in_csv else ((), ())
        assert _count(total) == (sum(requests), sum(failures))
        errors = _rows(folder / "out_failures.csv")
        return cls(
            _count(total),
            in_csv,
            {(row["Name"], row["Error"]): int(row["Occurrences"]) for row in errors},
            records_in(folder),
        )

    @property
    def talk(self) -> RunRecord:
        return self.records["Talk"]

    @property
    def script(self) -> RunRecord:
        return self.records["Script"]

    def agree(self) -> int:
        """Check that Locust and loadgen have counted the same; return the answered messages."""
        records = self.records.values()
        failures = sum(each.count for record in records for each in record.failures)
        assert failures == self.total.failures == sum(self.errors.values())
        answered = sum(record.actual.messages for record in records)
        rejected = sum(record.actual.rejected for record in records)  # a failure, and answered
        assert answered - rejected == self.total.answered
        return answered

    def check(self) -> int:
        """Check also that each record is consistent; return the answered messages."""
        for record in self.records.values():
            accounts.check(record)
        return self.agree()

    def check_against(self, served: ServerCounts) -> int:
        """Check also that the target has answered each message, and no other; return how many."""
        answered = self.check()
        assert (served.bytes_received, served.bytes_sent) == (answered * MESSAGE_BYTES,) * 2
        assert sum(record.actual.opened for record in self.records.values()) == served.accepted
        assert answered > 0
        return answered


def records_in(folder: Path) -> dict[str, RunRecord]:
    """Return the records by the name of the user class; "" where there is only one."""
    return {
        path.name.removeprefix("out.record").removesuffix("json").strip("."): from_json(
            path.read_bytes()
        )
        for path in folder.glob("out.record*.json")
    }


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _count(row: dict[str, str]) -> Count:
    return Count(int(row["Request Count"]), int(row["Failure Count"]))
