"""All fields of a Plan that say what is connected to, sent and awaited.

They stand by subject in the classes below this one, each of which adds to the one before.
"""

from loadgen.plan.websocket import WebSocketFrames


class Fields(WebSocketFrames, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What application protocols (`loadgen.plan.applications`) read of a plan."""
