"""The commands of ``loadgen compare --run``: run in turn, each with its own supervisor process."""
