"""The interface of application protocols: what of a plan makes messages, framing and greeting."""

from typing import ClassVar, Protocol

from loadgen.errors import LoadgenBug
from loadgen.net.protocols import Framing
from loadgen.plan.fields import Fields
from loadgen.plan.payloads import PayloadQueue, load

Greeting = tuple[tuple[bytes, Framing], ...]
"""Messages of which each waits for its reply, with the framing of that; empty bytes wait for what
the server says by itself."""


class Application(Protocol):
    """An application protocol. It holds nothing: all that it says follows from a plan.

    name: as `loadgen.net.target.Scheme` has it. reply: the ``--reply`` where none is given. forms:
    the values of ``--reply`` of which it makes the framing, whatever the target is. options: the
    fields of a plan that mean something only with its targets; form_options: with its forms. alpn:
    the protocols that TLS offers below it, unless others are asked for (RFC 7301, 6).
    """

    name: ClassVar[str]
    reply: ClassVar[str]
    forms: ClassVar[tuple[str, ...]]
    options: ClassVar[tuple[str, ...]]
    form_options: ClassVar[tuple[str, ...]]
    alpn: ClassVar[tuple[str, ...]]

    def settled(self, plan: Fields) -> dict[str, object]:
        """Return fields of ``plan`` that were not given, and what they are then."""
        ...

    def check(self, plan: Fields) -> None:
        """Raise UsageError if the options of ``plan`` do not go with this protocol."""
        ...

    def queue(self, plan: Fields) -> PayloadQueue:
        """Return what each connection sends, with all files read.

        Raises UsageError for what cannot be read or sent.
        """
        ...

    def message(self, plan: Fields, content: bytes) -> bytes:
        """Return the bytes to send for ``content``, a message that user code has made.

        Raises UsageError if there are none.
        """
        ...

    def framing(self, plan: Fields, form: str) -> Framing:
        """Return the framing of ``form``, which is one of its own."""
        ...

    def greeting(self, plan: Fields) -> Greeting:
        """Return what each connection exchanges before the load, and before ``--first-message``."""
        ...

    def describe(self, plan: Fields) -> str:
        """Return what each connection sends, in words; empty where the payloads say it."""
        ...


class BaseApplication:
    """What most application protocols have in common: payloads are sent as they are."""

    forms: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[str, ...]] = ()
    form_options: ClassVar[tuple[str, ...]] = ()
    alpn: ClassVar[tuple[str, ...]] = ()

    def settled(self, plan: Fields) -> dict[str, object]:
        """Return none."""
        return {}

    def check(self, plan: Fields) -> None:
        """Accept any options."""

    def queue(self, plan: Fields) -> PayloadQueue:
        """Return the payloads of the plan. Raises UsageError."""
        return load(plan.payloads)

    def message(self, plan: Fields, content: bytes) -> bytes:
        """Return ``content``."""
        return content

    def framing(self, plan: Fields, form: str) -> Framing:
        """Raise LoadgenBug: it has no form of its own."""
        raise LoadgenBug(f"there is no reply of the form {form}")

    def greeting(self, plan: Fields) -> Greeting:
        """Return none."""
        return ()

    def describe(self, plan: Fields) -> str:
        """Return nothing: the payloads say it."""
        return ""
