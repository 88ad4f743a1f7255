"""The JSON schema of a RunRecord, as in ``record.schema.json``."""

import json
import sys
from typing import Any

import msgspec

from loadgen.results.record import RunRecord


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a RunRecord."""
    schema = msgspec.json.schema(RunRecord)
    for definition in schema["$defs"].values():
        if "description" in definition:
            # Python 3.13 removes the indentation of docstrings, earlier versions do not.
            lines = definition["description"].splitlines()
            definition["description"] = "\n".join(line.strip() for line in lines)
    return schema


if __name__ == "__main__":  # renews loadgen/results/record.schema.json
    sys.stdout.write(json.dumps(json_schema(), indent=1) + "\n")
