"""The fields of a Plan that say which commands are sent to Redis."""

from loadgen.plan.http import HttpRequests


class RedisCommands(HttpRequests, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Commands of Redis."""
