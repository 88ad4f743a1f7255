"""The fields of a Plan that say what is requested by HTTP."""

from loadgen.plan.messages import Messages


class HttpRequests(Messages, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requests of HTTP/1.1."""
