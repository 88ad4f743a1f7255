"""``loadgen report`` and ``--report``: loading the libraries that only reports need."""

import contextlib
import importlib.util
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from loadgen.errors import UsageError, in_words
from loadgen.results.record import RunRecord
from loadgen.text import escaped

PAGE: Final = "index.html"
"""What the page is called in its folder."""

_LIBRARIES: Final = ("matplotlib", "jinja2")


def main(arguments: list[str]) -> int:
    """Run ``loadgen report``; return the exit code. Raises UsageError."""
    with _drawing("loadgen report"):
        from reports.cli import main as draw
    return draw(arguments)


def require(option: str) -> None:
    """Raise UsageError, which names ``option``, if the libraries are missing or unusable.

    matplotlib needs a folder for its list of fonts, and looks for one when it is imported
    (https://matplotlib.org/stable/install/environment_variables_faq.html).
    """
    with _drawing(option):
        import reports.write  # noqa: F401


def write(record: RunRecord, file: Path | None, out: Path) -> None:
    """Write the page of a run into ``out``; the record is kept in ``file``, or within the page.

    Raises UsageError.
    """
    with _drawing("--report"):
        from reports.page import Run
        from reports.write import Folder, relative, write_report
    link = "" if file is None else relative(file, out)
    label = "run" if file is None else escaped(file.stem)
    write_report([Run(label, record, link)], Folder(out))


@contextlib.contextmanager
def _drawing(option: str) -> Iterator[None]:
    """Import within this for ``option``. Raises UsageError for what cannot be loaded."""
    for library in _LIBRARIES:
        if importlib.util.find_spec(library) is None:
            raise UsageError(f"{option} draws with {library}: pip install 'loadgen[report]'")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # its real errors are raised
    try:
        yield
    except ImportError as error:
        raise UsageError(
            f"{option} draws with what cannot be loaded: {error}; "
            "pip install --force-reinstall 'loadgen[report]'"
        ) from None
    except (OSError, RuntimeError) as error:  # RuntimeError: no home directory (pathlib.Path.home)
        why = " ".join((in_words(error) if isinstance(error, OSError) else str(error)).split())
        raise UsageError(
            f"{option} draws with matplotlib, which finds no folder for its list of fonts; name "
            f"one with the variable MPLCONFIGDIR, or one for temporary files with TMPDIR ({why})"
        ) from None
