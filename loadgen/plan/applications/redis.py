"""Redis: what of a plan makes its messages."""

from typing import ClassVar, Final
from urllib.parse import unquote_to_bytes

from loadgen.errors import UsageError
from loadgen.net.protocols import Framing, FramingError
from loadgen.net.protocols.resp import Resp
from loadgen.net.target import Target
from loadgen.plan.applications.base import BaseApplication, Greeting
from loadgen.plan.commands import encoded, words_of
from loadgen.plan.fields import Fields
from loadgen.plan.payloads import IS_REDACTED, PayloadQueue, RedactedPayload, SizePayload, load
from loadgen.text import escaped

_MOST_DATABASE_DIGITS: Final = 9
_LONGEST_SHOWN: Final = 40


class Redis(BaseApplication):
    """Redis: a message is a command, as text, or as the bytes that are sent, which begin with *."""

    name: ClassVar[str] = "redis"
    reply: ClassVar[str] = "resp"
    forms: ClassVar[tuple[str, ...]] = ("resp",)
    options: ClassVar[tuple[str, ...]] = ("commands", "resp3")

    def settled(self, plan: Fields) -> dict[str, object]:
        """Return the command that is sent where nothing else is."""
        return {"commands": ("PING",)} if not plan.commands and plan.has_usual_payloads else {}

    def check(self, plan: Fields) -> None:
        """Raise UsageError if a command, the user or the database in the URL is not fit."""
        if plan.commands and not plan.has_usual_payloads:
            raise UsageError("--command and --payload both say what to send; give one")
        if any(isinstance(source, SizePayload) for source in plan.payloads) and not plan.commands:
            raise UsageError("--size says nothing to Redis; write --command 'SET key value'")
        for command in plan.commands:
            if isinstance(command, str):
                _bytes_of(command)
        if isinstance(plan.first_message, bytes) and plan.first_message:
            _encoded(plan.first_message, "--first-message")
        target = plan.peer
        if target.user and not target.password:
            raise UsageError("TARGET: a user has a password: write redis://user:password@host")
        _database(target)

    def describe(self, plan: Fields) -> str:
        """Return the command where there is a short one, or how many there are."""
        if len(plan.commands) != 1:
            return f"{len(plan.commands)} commands in turn" if plan.commands else ""
        (command,) = plan.commands
        if isinstance(command, RedactedPayload):
            return "one command (redacted)"
        return command if len(command) <= _LONGEST_SHOWN else "one long command"

    def queue(self, plan: Fields) -> PayloadQueue:
        """Return the commands. Raises UsageError."""
        if not plan.commands:
            return PayloadQueue(
                tuple(_encoded(each, "--payload") for each in load(plan.payloads).items)
            )
        items = []
        for command in plan.commands:
            if isinstance(command, RedactedPayload):
                raise UsageError(f"--command: {IS_REDACTED}")
            items.append(_bytes_of(command))
        return PayloadQueue(tuple(items))

    def message(self, plan: Fields, content: bytes) -> bytes:
        """Return what is sent for the command ``content``. Raises UsageError if it is none."""
        return _encoded(content, "a message")

    def framing(self, plan: Fields, form: str) -> Framing:
        """Return that of RESP."""
        first = plan.first_message
        return Resp(
            max_reply_bytes=plan.most_reply_bytes,
            has_subscribed=isinstance(first, bytes) and b"SUBSCRIBE" in first.upper(),
        )

    def greeting(self, plan: Fields) -> Greeting:
        """Return the login, the choice of RESP3 and that of the database, as far as needed."""
        target = plan.peer
        user, password = unquote_to_bytes(target.user), unquote_to_bytes(target.password)
        steps = []
        if plan.resp3:
            login = [b"AUTH", user or b"default", password] if password else []
            steps.append([b"HELLO", b"3", *login])
        elif password:
            steps.append([b"AUTH", *([user] if user else []), password])
        if database := _database(target):
            steps.append([b"SELECT", database])
        reply = self.framing(plan, self.reply)
        return tuple((encoded(words), reply) for words in steps)


def _bytes_of(command: str) -> bytes:
    """Return what is sent for ``command``. Raises UsageError if it is none."""
    try:
        content = command.encode()
    except UnicodeEncodeError:
        accepted = r"write bytes that are not UTF-8 as \xHH, in double quotes"
        raise UsageError.of("--command", escaped(command), accepted) from None
    return _encoded(content, "--command")


def _encoded(content: bytes, option: str) -> bytes:
    """Return what is sent for the command ``content``. Raises UsageError if it is none."""
    if content.startswith(b"*"):
        if _is_one(content):
            return content
        raise UsageError(f"{option}: bytes that begin with * are one command in RESP, and no more")
    try:
        return encoded(words_of(content))
    except ValueError as error:
        shown = content.decode(errors="backslashreplace")
        raise UsageError.of(option, shown, str(error)) from None


def _is_one(content: bytes) -> bool:
    decoder = Resp().decoder()
    try:
        return decoder.feed(memoryview(content)) == 1 and not decoder.partial
    except FramingError:
        return False


def _database(target: Target) -> bytes:
    """Return the number of the database; empty for that which is chosen anyway."""
    number = target.resource.removeprefix("/")
    if not number:
        return b""
    if not (number.isascii() and number.isdecimal() and len(number) <= _MOST_DATABASE_DIGITS):
        raise UsageError.of(
            "TARGET", str(target), "behind the port stands the number of a database, such as /2"
        )
    return b"" if int(number) == 0 else number.encode()
