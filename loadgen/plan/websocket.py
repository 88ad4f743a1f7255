"""The fields of a Plan that say how a WebSocket is opened, and what its frames are."""

from loadgen.plan.redis import RedisCommands


class WebSocketFrames(RedisCommands, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frames of WebSocket."""
