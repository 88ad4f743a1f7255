"""Writes the tables of options and attributes in the documents, made of the table of the Plan.

``python -m bench option_tables`` renews them. Each stands between a comment that names it and the
next one.
"""

import argparse
import re
import textwrap
from pathlib import Path
from typing import Final

from loadgen.cli.run_options import fields_of_run
from loadgen.plan import Plan
from loadgen.plan.options import COMMAND, LOCUST, Field, Option, fields_of

ROOT: Final = Path(__file__).parent.parent
DOCUMENTS: Final = ("README.md", "docs/locust.md")

_PLACE: Final = re.compile(
    r"(<!-- made by bench\.option_tables: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL
)
_WIDTH: Final = 110


def options_of_run(plan_class: type[Plan] = Plan) -> str:
    """Return the options of ``loadgen run``, a row for each group."""
    groups: dict[str, list[str]] = {}
    for field in fields_of_run(plan_class):
        for option in field.options_of(COMMAND):
            groups.setdefault(field.group.title, []).append(_in_short(field, option))
    rows = (f"| {title} | {', '.join(entries)} |" for title, entries in groups.items())
    return "\n".join(["| group | options |", "|---|---|", *rows])


def options_in_locust(plan_class: type[Plan] = Plan) -> str:
    """Return the options of a plan that are Locust's options too, with what they are for."""
    rows = (
        f"| `{_spelt(option)}` | {_escaped(option.about)} |"
        for field in fields_of(plan_class)
        for option in field.options_of(LOCUST)
    )
    return "\n".join(["| option | |", "|---|---|", *rows])


def attributes(plan_class: type[Plan] = Plan) -> str:
    """Return the attributes of a SocketUser."""
    names = ", ".join(f"`{each.name}`" for each in fields_of(plan_class) if each.is_attribute)
    return textwrap.fill(names, _WIDTH)


_TABLES: Final = {
    "options": options_of_run,
    "options-in-locust": options_in_locust,
    "attributes": attributes,
}


def renewed(document: str) -> str:
    """Return the text of a document with its tables as they should be."""
    return _PLACE.sub(lambda found: f"{found[1]}\n{_TABLES[found[2]]()}\n\n{found[4]}", document)


def _in_short(field: Field, option: Option) -> str:
    default = field.default_text(option)
    facts = [f"**{each}**" if each == default else each for each in option.choices] or [default]
    facts = [", ".join(facts)] if facts[0] else []
    facts += ["repeatable"] if field.is_repeated else []
    return f"`{_spelt(option)}`" + (f" ({'; '.join(facts)})" if facts else "")


def _spelt(option: Option) -> str:
    has_value = not option.is_positional and not option.is_flag
    return f"{option.spelling} {option.kind.metavar}" if has_value else option.spelling


def _escaped(text: str) -> str:
    """Return ``text`` as a cell of a table shows it."""
    return text.replace("\\", r"\\").replace("|", r"\|")


def main(arguments: list[str]) -> int:
    """Renew the tables; return 0."""
    parser = argparse.ArgumentParser(prog="python -m bench option_tables", description=__doc__)
    parser.parse_args(arguments)
    for name in DOCUMENTS:
        path = ROOT / name
        path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0
