"""What a run is to do."""

from loadgen.plan import Plan

__all__ = ["Plan"]
