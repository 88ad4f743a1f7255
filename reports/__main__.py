"""``python -m reports`` is ``loadgen report``."""

import sys

from loadgen.cli import main

if __name__ == "__main__":
    sys.exit(main(["report", *sys.argv[1:]]))
