"""To connect elsewhere than the target says, as ``curl --connect-to`` does."""

import re
from typing import Final, NamedTuple

from loadgen.errors import UsageError
from loadgen.net.target import Target

_HOST: Final = r"(?:\[(?P<ipv6_{0}>[^\[\]\s]+)\]|(?P<host_{0}>[^\[\]:/@?#\s]*))"
_RULE: Final = re.compile(
    rf"{_HOST.format('from')}:(?P<port_from>\d{{0,5}}):{_HOST.format('to')}:(?P<port_to>\d{{0,5}})"
)


class ConnectTo(NamedTuple):
    """A target at ``from_host`` and ``from_port`` is connected to at ``host`` and ``port``.

    Empty or 0 is any host or port before, and the same one afterwards.
    """

    from_host: str
    from_port: int
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "ConnectTo":
        """Return the rule that ``text`` names. Raises UsageError."""
        match = _RULE.fullmatch(text)
        ports = [int(match[name] or 0) for name in ("port_from", "port_to")] if match else []
        if match is None or max(ports) > 65535:
            accepted = "write HOST1:PORT1:HOST2:PORT2, of which each may be empty"
            raise UsageError.of("--connect-to", text, f"{accepted}, and IPv6 as [::1]")
        hosts = [match[f"ipv6_{side}"] or match[f"host_{side}"] or "" for side in ("from", "to")]
        return cls(hosts[0], ports[0], hosts[1], ports[1])

    def applied_to(self, target: Target) -> Target:
        """Return where to connect for ``target``, which may be ``target`` itself."""
        is_meant = (
            not target.is_unix
            and self.from_host.lower() in ("", target.host.lower())
            and self.from_port in (0, target.port)
        )
        if not is_meant:
            return target
        return target._replace(host=self.host or target.host, port=self.port or target.port)
