"""The reports that the README shows: a healthy run, and a server that stalls.

    python -m bench samples            # writes docs/images/*.png; some forty seconds

Each is a real run against the embedded server; its page is rendered by Chromium (Debian's package;
playwright drives it) down to the latency over time. What a picture shows must be what its name
says, so a run whose verdict is not the one wanted is made again, a few times.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from playwright.sync_api import sync_playwright

import loadgen
from loadgen.server.embedded import EmbeddedServer
from reports.page import Run
from reports.write import Folder, write_report

FOLDER: Final = Path(__file__).parent.parent / "docs" / "images"
TRIES: Final = 5
WIDTH_PX: Final = 960
DURATION_S: Final = 12.0
RATE_PER_S: Final = 2000.0
CONNECTIONS: Final = 50
_CHROMIUM: Final = "/usr/bin/chromium"


class Sample(NamedTuple):
    """A report: its name, how its server behaves, and the verdicts that fit it."""

    name: str
    server: tuple[str, ...]
    verdicts: tuple[str, ...]


SAMPLES: Final = (
    Sample("report-healthy", ("--delay", "2ms"), ("valid",)),
    Sample("report-stall", ("--delay", "2ms", "--stall", "700ms@4s"), ("valid", "server-bound")),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the runs and their pictures; return the exit code, 1 if no run fits."""
    parser = argparse.ArgumentParser(prog="python -m bench samples", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where they go (docs/images)")
    folder: Path = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    for sample in SAMPLES:
        record = _record(sample)
        if record is None:
            print(f"{sample.name}: none of {TRIES} runs was {sample.verdicts}", file=sys.stderr)
            return 1
        picture = folder / f"{sample.name}.png"
        _draw(record, sample.name, picture)
        print(f"{picture}: {record.health.verdict if record.health else ''}")
    return 0


def _record(sample: Sample) -> loadgen.RunRecord | None:
    for _ in range(TRIES):
        with EmbeddedServer(sample.server) as server:
            plan = loadgen.Plan(
                target=server.address,
                connections=CONNECTIONS,
                rate=RATE_PER_S,
                duration_s=DURATION_S,
                watch=server.pid,
            )
            record = loadgen.run(plan)
        if record.health is not None and record.health.verdict in sample.verdicts:
            return record
    return None


def _draw(record: loadgen.RunRecord, name: str, picture: Path) -> None:
    """Render the page of ``record`` down to the end of its latency over time."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = write_report([Run(name.removeprefix("report-"), record)], Folder(Path(folder)))
        browser = playwright.chromium.launch(
            executable_path=_CHROMIUM, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": WIDTH_PX, "height": 900})
        page.goto(page_file.as_uri())
        shown = page.locator("section", has_text="Latency over time").first.bounding_box()
        assert shown is not None
        height = shown["y"] + shown["height"] + 24
        page.screenshot(
            path=picture,
            full_page=True,
            clip={"x": 0, "y": 0, "width": WIDTH_PX, "height": height},
        )
        browser.close()
