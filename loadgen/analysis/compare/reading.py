"""Reading files with rounds: RunRecords or files of pytest-benchmark, one or many."""

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from loadgen.analysis.compare import benchmark_rounds
from loadgen.analysis.compare.benchmark_rounds import Document, of_benchmarks
from loadgen.analysis.compare.rounds import Rounds
from loadgen.analysis.compare.run_rounds import of_records
from loadgen.errors import LoadgenError, RecordError, UsageError, reason
from loadgen.files.decoded import error_line
from loadgen.files.reading import read_written
from loadgen.results import intervals
from loadgen.results.record import (
    SCHEMA,
    RunRecord,
    from_json,
    redacted_record,
)
from loadgen.text import escaped

Found = TypeVar("Found")

_LONGEST_SCHEMA: Final = 60
_FORM: Final = (
    "name a file that `loadgen --json` or pytest-benchmark has written, several of them one after "
    "the other in one file, or a folder with a file for each round"
)


def read(label: str, path: Path, *, redact: bool = False) -> Rounds:
    """Return the rounds in ``path``: a file, a folder of ``.json`` files, ``-`` for standard input.

    A file of a folder without rounds is left out, and the remarks name it.

    redact: of payloads in records, only lengths and digests are kept.

    Raises UsageError for a path that cannot be read, RecordError for files without rounds.
    """
    found, complaints = of_each(path, _rounds)
    documents = [document for _, own in found for document in own]
    runs = [document for document in documents if isinstance(document, RunRecord)]
    benchmarks = [document for document in documents if isinstance(document, Document)]
    if runs and benchmarks:
        raise RecordError(f"{path}: records of loadgen and of pytest-benchmark cannot be mixed")
    if redact:
        runs = list(map(redacted_record, runs))
    rounds = of_records(label, runs) if runs else of_benchmarks(label, benchmarks)
    for began, times in Counter(rounds.taken_at).items():
        if times > 1:
            raise RecordError(
                f"{path}: the round that began at {began} is in it {times} times; remove the "
                "copies, which would make the comparison look more certain"
            )
    left_out = (f"left out: {each}" for each in complaints)
    return replace(rounds, remarks=(*rounds.remarks, *left_out))


def of_each(
    path: Path, read_file: Callable[[Path], Found]
) -> tuple[list[tuple[Path, Found]], list[str]]:
    """Return what ``read_file`` returns for each file that `files` finds at ``path``.

    And the error messages for those files of a folder for which it raises an error. Raises
    LoadgenError if those are all, or ``path`` is not a folder.
    """
    found: list[tuple[Path, Found]] = []
    complaints: list[LoadgenError] = []
    for file in files(path):
        try:
            found.append((file, read_file(file)))
        except LoadgenError as error:
            complaints.append(error)
    if found:
        return found, list(map(str, complaints))
    if len(complaints) > 1:
        count = len(complaints)
        raise RecordError(f"{path}: none of its {count} files can be read; {complaints[0]}")
    raise complaints[0]


def records(file: Path) -> list[RunRecord]:
    """Return the RunRecords in ``file``, one after the other; ``-`` is standard input.

    Their packed intervals are not checked. Raises UsageError if the file cannot be read,
    RecordError if it contains anything else.
    """
    found = []
    for document in _rounds(file):
        if not isinstance(document, RunRecord):
            raise RecordError(
                f"{file}: this is a file of pytest-benchmark; it contains no run to show"
            )
        found.append(document)
    return found


def whole_records(file: Path) -> list[RunRecord]:
    """Return the RunRecords in ``file``, with their packed intervals checked.

    That takes as long as drawing them. Raises UsageError, and RecordError also for damaged
    intervals.
    """
    found = records(file)
    with naming(file):
        for record in found:
            intervals.check(record.intervals)
    return found


def _rounds(file: Path) -> list[RunRecord | Document]:
    """Return the documents in ``file``, one at least. Raises UsageError and RecordError."""
    content = _content(file)
    with contextlib.suppress(RecordError):
        return [from_json(content)]  # in one step: it may be very long
    found = [
        _record(text, file) if _is_record(document, file) else _benchmarks(text, file)
        for document, text in _documents(_text(content, file), file)
    ]
    if not found:
        raise RecordError(f"{file}: it is empty; {_FORM}")
    return found


def files(path: Path) -> list[Path]:
    """Return the ``.json`` files in the folder ``path``, or ``path`` itself if it is no folder.

    Raises UsageError if there are none.
    """
    try:
        is_folder = path.is_dir()
        # Regular files only: reading a pipe might wait for ever.
        found = sorted(filter(Path.is_file, path.glob("*.json"))) if is_folder else [path]
    except OSError as error:
        raise UsageError(f"{path}: {reason(error)}; {_FORM}") from None
    if not found:
        raise UsageError(f"{path}: there is no .json file in this folder; {_FORM}")
    return found


def _content(file: Path) -> bytes:
    try:
        return read_written(file)
    except OSError as error:
        raise UsageError(f"{file}: {reason(error)}; {_FORM}") from None


def _text(content: bytes, file: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RecordError(f"{file}: this is no text; {_FORM}") from None


def _documents(text: str, file: Path) -> Iterator[tuple[Any, str]]:
    """Yield each JSON document in ``text``, one after the other, with its own text."""
    decoder = json.JSONDecoder()
    text = text.strip()
    position = 0
    while position < len(text):
        try:
            document, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:  # such as integers of thousands of digits
            raise RecordError(f"{file}: this is no JSON: {error_line(error)}; {_FORM}") from None
        yield document, text[position:end]
        while end < len(text) and text[end].isspace():
            end += 1
        position = end


def _is_record(document: Any, file: Path) -> bool:
    if isinstance(document, dict):
        schema = document.get("schema")
        if schema == SCHEMA:
            return True
        if schema is None and "benchmarks" in document:
            return False
        if schema is not None:
            raise RecordError(f"{file}: {_mismatch(escaped(str(schema))[:_LONGEST_SCHEMA])}")
    raise RecordError(f"{file}: it holds no round of either kind; {_FORM}")


def _mismatch(schema: str) -> str:
    """Return why a document of another ``schema`` cannot be read."""
    name, _, version = schema.rpartition("/")
    own_name, _, own_version = SCHEMA.rpartition("/")
    if name == own_name and version.isdecimal():
        is_newer = len(version) > 9 or int(version) > int(own_version)
        age = "a newer" if is_newer else "an older"
        return f"{age} loadgen has written this {schema}; this one reads {SCHEMA}"
    return f"this is a {schema}, not a {SCHEMA}; {_FORM}"


def _record(text: str, file: Path) -> RunRecord:
    with naming(file):
        return from_json(text.encode())


def _benchmarks(text: str, file: Path) -> Document:
    with naming(file):
        return benchmark_rounds.from_json(text.encode())


@contextlib.contextmanager
def naming(file: Path) -> Iterator[None]:
    """Put the name of ``file`` in front of a RecordError about its content."""
    try:
        yield
    except RecordError as error:
        raise RecordError(f"{file}: {error}") from None
