"""``python -m bench WORD`` runs one of loadgen's measurements; without a word, lists them."""

import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from loadgen.signals import asking_to_end

MEASUREMENTS: Final = {
    "limit": "bench.limit",
    "open_loop": "bench.open_loop",
    "turn": "bench.turn",
    "sends": "bench.sends",
    "server": "bench.server",
    "footprint": "bench.footprint",
    "tls": "bench.tls",
    "monitor": "bench.monitor",
    "soak": "bench.soak",
    "long_records": "bench.long_records",
    "fuzz_records": "bench.fuzz_records",
    "fuzz_protocols": "bench.fuzz_protocols",
    "fidelity": "bench.fidelity",
    "verdicts": "bench.verdicts",
    "locust_compare": "bench.locust_compare",
    "peers": "bench.peers.__main__",
    "samples": "bench.samples",
    "option_tables": "bench.option_tables",
    "house": "bench.house",
    "coverage": "bench.coverage",
}
"""The module of each word: its ``main`` takes the arguments and returns the exit code, and the
first line of its docstring says what it is for.
"""

_USAGE_ERROR: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the first argument says with the others; return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print("\n".join(_listed()))
        return 0
    word, *others = words
    if word not in MEASUREMENTS:
        known = ", ".join(MEASUREMENTS)
        print(f"python -m bench: {word!r} is no measurement; there are {known}", file=sys.stderr)
        return _USAGE_ERROR
    code: int = import_module(MEASUREMENTS[word]).main(others)
    return code


def _listed() -> list[str]:
    lines = ["python -m bench WORD [OPTION...]; each WORD explains itself with --help", ""]
    for word, module in MEASUREMENTS.items():
        about = (import_module(module).__doc__ or "").splitlines()[0]
        lines.append(f"  {word:15} {about}")
    return lines


if __name__ == "__main__":
    for number in asking_to_end():
        signal.signal(number, signal.default_int_handler)  # what was started is ended
    sys.exit(main())
