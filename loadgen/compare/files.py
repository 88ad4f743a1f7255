"""Files with runs: RunRecords or files of pytest-benchmark, one or many."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from loadgen.compare.benchmark_rounds import of_benchmarks
from loadgen.compare.load_rounds import of_records
from loadgen.compare.rounds import Rounds
from loadgen.errors import RecordError, UsageError, reason
from loadgen.reading import read_whole
from loadgen.record import SCHEMA, RunRecord, from_json, redacted_record

_FORM: Final = (
    "name a file that `loadgen --json` or pytest-benchmark has written, several of them one after "
    "the other in one file, or a folder with a file for each round"
)


def read(label: str, path: Path, *, redact: bool = False) -> Rounds:
    """Return the rounds in ``path``: a file, a folder of ``.json`` files, ``-`` for standard input.

    redact: of what records say that was sent, only lengths and digests are told.
    Raises UsageError for what cannot be read, RecordError for what holds no rounds.
    """
    documents = [
        (file, document)
        for file in files(path)
        for document in _documents(_text(_content(file), file), file)
    ]
    if not documents:
        raise RecordError(f"{path}: it is empty; {_FORM}")
    are_records = {_is_record(document, file) for file, (document, _) in documents}
    if len(are_records) > 1:
        raise RecordError(f"{path}: records of loadgen's and of pytest-benchmark's do not mix")
    if are_records == {True}:
        found = [_record(text, file) for file, (_, text) in documents]
        rounds = of_records(label, list(map(redacted_record, found)) if redact else found)
    else:
        try:
            rounds = of_benchmarks(label, [document for _, (document, _) in documents])
        except RecordError as error:
            raise RecordError(f"{path}: {error}") from None
    for began, times in Counter(rounds.taken_at).items():
        if times > 1:
            raise RecordError(
                f"{path}: the round that began at {began} is in it {times} times; once is enough, "
                "and more would look like certainty"
            )
    return rounds


def records(file: Path) -> list[RunRecord]:
    """Return the RunRecords in ``file``, one after the other; ``-`` is standard input.

    Raises UsageError if it cannot be read, RecordError if it holds anything else.
    """
    content = _content(file)
    try:
        return [from_json(content)]  # in one go: it may be very long
    except RecordError:
        documents = list(_documents(_text(content, file), file))
    if not documents:
        raise RecordError(f"{file}: it is empty; {_FORM}")
    if not all(_is_record(document, file) for document, _ in documents):
        raise RecordError(f"{file}: this is of pytest-benchmark; it holds no run that can be shown")
    return [_record(part, file) for _, part in documents]


def files(path: Path) -> list[Path]:
    """Return the ``.json`` files in the folder ``path``, or ``path`` itself if it is none.

    Raises UsageError if there are none.
    """
    try:
        is_folder = path.is_dir()
        # Of a folder, files: a pipe among them would be waited for, for ever.
        found = sorted(filter(Path.is_file, path.glob("*.json"))) if is_folder else [path]
    except OSError as error:
        raise UsageError(f"{path}: {reason(error)}; {_FORM}") from None
    if not found:
        raise UsageError(f"{path}: there is no .json file in this folder; {_FORM}")
    return found


def _content(file: Path) -> bytes:
    try:
        return read_whole(file)
    except OSError as error:
        raise UsageError(f"{file}: {reason(error)}; {_FORM}") from None


def _text(content: bytes, file: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RecordError(f"{file}: this is no text; {_FORM}") from None


def _documents(text: str, file: Path) -> Iterator[tuple[Any, str]]:
    """Yield each JSON document in ``text``, and its part of the text; they follow one another."""
    decoder = json.JSONDecoder()
    text = text.strip()
    position = 0
    while position < len(text):
        try:
            document, end = decoder.raw_decode(text, position)
        except (json.JSONDecodeError, RecursionError) as error:
            raise RecordError(f"{file}: this is no JSON: {error}; {_FORM}") from None
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
            raise RecordError(f"{file}: {_mismatch(str(schema))}")
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
    try:
        return from_json(text.encode())
    except RecordError as error:
        raise RecordError(f"{file}: {error}") from None
