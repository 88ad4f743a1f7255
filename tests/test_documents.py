"""What the documents point at is there."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
DOCUMENTS: Final = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "bench").glob("*.md")]
)


def test_links_and_paths_lead_to_files() -> None:
    missing = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
        missing += [link for link in links if not (document.parent / link).exists()]
        paths = re.findall(r"`((?:loadgen|reports|bench|tests|docs)/[\w./]*\w)`", text)
        if document.name != "CHANGELOG.md":  # what it tells of may be gone
            missing += [path for path in paths if not list(ROOT.glob(f"{path}*"))]
    assert missing == []
