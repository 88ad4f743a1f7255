"""What a run is to do."""

from loadgen.plan.plan import Plan

__all__ = ["Plan"]
