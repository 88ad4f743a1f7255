"""The folder of a report: the page, and the figures as files."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from loadgen.analysis.compare.comparison import Comparison
from loadgen.errors import UsageError, reason
from loadgen.files import output_places
from loadgen.files.writing import write_within
from loadgen.results.record import RunRecord
from loadgen.text import escaped, utf_8
from reports import page
from reports.figures.style import Format
from reports.page import Picture, Run

PAGE = "index.html"
_LONGEST_NAME: Final = 60  # characters, of which each takes four bytes at most


class Folder(NamedTuple):
    """Where a report goes, and the files that it must leave as they are: those it is made of.

    ``-`` among those is standard input.
    """

    path: Path
    kept: tuple[Path, ...] = ()


def write_report(runs: Sequence[Run], out: Folder, forms: Sequence[Format] = ()) -> Path:
    """Write the page of ``runs``, one at least, into the folder ``out``, and their figures.

    Figures are ``NAME.FORM``, those of several runs in a folder for each. Return the page's path.
    Raises UsageError for what cannot be written.
    """
    chapters = [page.chapter(run, page.pictures_of(run.record, forms)) for run in runs]
    compared: list[Picture] = []
    if len(runs) > 1:
        compared = page.side_by_side({run.label: [run.record] for run in runs}, forms)
    files = [*_files(compared)]
    folders = [f"{name}/" for name in labelled([_name(run.label) for run in runs])]
    for chapter, folder in zip(chapters, folders if len(runs) > 1 else [""], strict=True):
        files += [(folder + name, content) for name, content in _files(chapter.pictures)]
    return _write(out, page.of_runs(chapters, compared), files)


def write_comparison(
    comparison: Comparison,
    sides: tuple[Sequence[RunRecord], Sequence[RunRecord]],
    out: Folder,
    forms: Sequence[Format] = (),
) -> Path:
    """Write the page that sets two ``sides``, all rounds of each, against each other.

    Return the page's path. Raises UsageError for what cannot be written.
    """
    labels = labelled([comparison.base, comparison.head])
    compared = page.side_by_side(dict(zip(labels, sides, strict=True)), forms)
    return _write(out, page.of_comparison(comparison, sides, compared), list(_files(compared)))


def labelled(names: Sequence[str]) -> list[str]:
    """Return ``names``, with a number where one occurs more than once, so that none does."""
    total = Counter(names)
    taken = {name for name in names if total[name] == 1}
    labels = []
    for name in names:
        label = name
        if total[name] > 1:
            numbered = (f"{name} ({number})" for number in count(1))
            label = next(each for each in numbered if each not in taken)
            taken.add(label)
        labels.append(label)
    return labels


def _files(pictures: Iterable[Picture]) -> Iterable[tuple[str, bytes]]:
    for picture in pictures:
        for form, content in picture.files.items():
            yield f"{picture.name}.{form}", content


def _name(label: str) -> str:
    """Return ``label`` as the name of a folder: without dots, so that no file has it.

    It has 255 bytes at most, as names of files do (ext4, APFS), with room for a number.
    """
    letters = (each if each.isalnum() or each in "-_() " else "-" for each in label)
    return "".join(letters)[:_LONGEST_NAME].strip("- ") or "run"


def _write(out: Folder, text: str, files: Sequence[tuple[str, bytes]]) -> Path:
    contents = {PAGE: utf_8(text)} | dict(files)
    output_places.check_apart(
        [("-o", output_places.within(out.path, name)) for name in contents],
        [("", file) for file in out.kept],
    )
    complaints = []
    for name, content in contents.items():
        try:
            write_within(out.path, name, content)
        except OSError as error:
            complaints.append(f"{escaped(str(out.path / name))}: {reason(error)}")
    if complaints:
        raise UsageError("; ".join(complaints))
    return out.path / PAGE


def relative(file: Path, out: Path) -> str:
    """Return the way from the page in ``out`` to ``file``."""
    return Path(os.path.relpath(file.absolute(), out.absolute())).as_posix()
