"""What a run is to do: the Plan, its payloads, and when messages are sent."""

from loadgen.plan.plan import Plan

__all__ = ["Plan"]
