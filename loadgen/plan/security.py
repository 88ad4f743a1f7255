"""The fields of a Plan that say how connections are secured with TLS."""

from loadgen.plan.connections import Connections


class Security(Connections, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS, and whom to trust."""
