"""Two sets of rounds compared: is the second slower, and is that more than noise?

`files` reads the rounds, `alternating` makes them, `rounds` says what one side is, `comparison`
sets two against each other with the intervals of `bootstrap`, `gates` says what may not happen, and
`text` shows it all.
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
