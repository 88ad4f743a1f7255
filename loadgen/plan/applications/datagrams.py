"""UDP: what of a plan makes its messages, each of them a datagram."""

from typing import ClassVar, Final

from loadgen.errors import UsageError
from loadgen.net.protocols import Framing
from loadgen.net.protocols.datagrams import NUMBER_BYTES, Datagram
from loadgen.net.udp import LARGEST_BYTES
from loadgen.plan.applications.base import BaseApplication
from loadgen.plan.fields import Fields
from loadgen.plan.payloads import PayloadQueue, SizePayload

SEQUENCE: Final = "sequence"
"""The ``--reply`` where a number in message and reply says which belong together."""


_REPLIES: Final = ("datagram", SEQUENCE, "echo", "none")
_REPLIES_IN_WORDS: Final = "datagram, sequence, echo or none"


class Datagrams(BaseApplication):
    """UDP."""

    name: ClassVar[str] = "datagrams"
    reply: ClassVar[str] = "datagram"
    forms: ClassVar[tuple[str, ...]] = ("datagram", SEQUENCE)

    def check(self, plan: Fields) -> None:
        """Refuse what needs a stream, and datagrams that are too long or too short."""
        unfit = {
            "--first-message": bool(plan.first_message),
            "--first-reply": plan.first_reply is not None,
        }
        for option, is_given in unfit.items():
            if is_given:
                raise UsageError(f"{option} needs a connection; it does not go with udp://")
        if plan.reply not in _REPLIES:
            raise UsageError.of("--reply", plan.reply, f"udp:// has {_REPLIES_IN_WORDS}")
        for payload in plan.payloads:
            if isinstance(payload, SizePayload):
                _check_size(plan, payload.size_bytes)
            elif isinstance(payload, bytes):
                _check_size(plan, len(payload))

    def queue(self, plan: Fields) -> PayloadQueue:
        """Return the payloads of the plan. Raises UsageError for one that is no datagram."""
        queue = super().queue(plan)
        for item in queue.items:
            _check_size(plan, len(item))
        return queue

    def message(self, plan: Fields, content: bytes) -> bytes:
        """Return ``content``. Raises UsageError if it is no datagram."""
        _check_size(plan, len(content))
        return content

    def framing(self, plan: Fields, form: str) -> Framing:
        """Return that each datagram is a reply. Raises UsageError for a target of streams."""
        if not plan.is_datagram:
            raise UsageError.of("--reply", form, "only udp:// has datagrams; write udp://host:port")
        return Datagram()


def _check_size(plan: Fields, size_bytes: int) -> None:
    if size_bytes > LARGEST_BYTES:
        raise UsageError(
            f"a payload has {size_bytes} bytes; a datagram has {LARGEST_BYTES} at most"
        )
    if plan.reply == SEQUENCE and size_bytes < NUMBER_BYTES:
        raise UsageError(
            f"a payload has {size_bytes} bytes; with --reply {SEQUENCE} it has {NUMBER_BYTES} at "
            "least, which its number takes"
        )
