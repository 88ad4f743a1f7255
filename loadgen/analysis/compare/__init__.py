"""Two sets of rounds compared: is the second slower, and is that more than noise?

`reading` reads files with rounds, `run_rounds` and `benchmark_rounds` make `rounds` of them,
`comparison` compares two sides with the intervals of `bootstrap`, `gates` fail a comparison, and
`text` shows it.
"""

from loadgen.analysis.compare.comparison import Comparison, Terms, compare
from loadgen.analysis.compare.gates import Change, Gate, GateResult
from loadgen.analysis.compare.reading import read
from loadgen.analysis.compare.rounds import Rounds

__all__ = [
    "Change",
    "Comparison",
    "Gate",
    "GateResult",
    "Rounds",
    "Terms",
    "compare",
    "read",
]
