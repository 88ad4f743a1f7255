"""The fields of a Plan that say what is sent, and when its replies are whole."""

from typing import Annotated, Final

import msgspec

from loadgen.errors import UsageError
from loadgen.net import protocols
from loadgen.net.protocols.base import NO_LIMIT_BYTES
from loadgen.plan.kinds import (
    BYTES,
    DURATION,
    PAYLOAD_FILE,
    PAYLOAD_LINES,
    PAYLOAD_SIZE,
    SIZE,
    YES,
    text,
)
from loadgen.plan.load import Load
from loadgen.plan.options import DECLARED, EVERYWHERE, Group, Option
from loadgen.plan.payloads import PayloadSource, RedactedPayload, SizePayload, first_message
from loadgen.quantities import MOST_PAYLOADS, Text

PayloadSources = Annotated[tuple[PayloadSource, ...], msgspec.Meta(max_length=MOST_PAYLOADS)]

MESSAGE: Final = Group("message", "what to send")
REPLY: Final = Group("reply", "when a reply is whole")


class Messages(Load, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is sent, and what comes back; `Plan` checks it.

    Each of the payloads is bytes, or a `loadgen.plan.payloads` source.
    """

    payloads: Annotated[
        PayloadSources,
        MESSAGE,
        Option(
            "--payload", BYTES, r"a payload, with the escapes \r \n \t \0 \\ \xHH", place=EVERYWHERE
        ),
        Option(
            "--payload-file",
            PAYLOAD_FILE,
            "a payload: the content of the file; - is standard input",
        ),
        Option(
            "--payload-lines",
            PAYLOAD_LINES,
            "payloads: the lines of the file, without line ends, with escapes",
        ),
        Option(
            "--size",
            PAYLOAD_SIZE,
            "a payload of that many bytes, such as 64, 64k or 1m",
            place=EVERYWHERE,
        ),
        DECLARED,
    ] = (SizePayload(64),)
    first_message: Annotated[
        bytes | RedactedPayload,
        MESSAGE,
        Option(
            "--first-message",
            BYTES,
            "send this once after connecting, and wait for its reply; neither is counted",
        ),
    ] = b""
    first_reply: Annotated[
        Text | None,
        MESSAGE,
        Option(
            "--first-reply",
            text("FORM"),
            "when the reply to --first-message is whole; without one, what to wait for after "
            r"connecting, such as a banner: 'delimiter:\n'",
            default_note="as --reply",
        ),
    ] = None

    # ---- reply
    reply: Annotated[
        Text,
        REPLY,
        Option(
            "--reply",
            text("FORM"),
            f"when a reply is whole: {protocols.FORMS}",
            default_note="as many bytes as were sent",
            place=EVERYWHERE,
        ),
    ] = "echo"
    max_reply_bytes: Annotated[
        int | None,
        REPLY,
        Option(
            "--max-reply",
            SIZE,
            "the longest reply that is accepted with --reply delimiter, length or eof; a "
            "longer one is a failure of its connection",
            default_note="no limit",
            place=EVERYWHERE,
        ),
    ] = None
    reply_timeout_s: Annotated[
        float | None,
        REPLY,
        Option(
            "--reply-timeout",
            DURATION,
            "longest time from sending a message until its reply is whole; then the "
            "connection fails, even if there is progress",
            default_note="no limit",
            place=EVERYWHERE,
        ),
    ] = None
    verify: Annotated[
        bool, REPLY, Option("--verify", YES, "compare echoed bytes with what was sent"), DECLARED
    ] = False

    @property
    def is_one_way(self) -> bool:
        """Whether messages are sent and no reply is awaited."""
        return self.reply == "none"

    def framing(self) -> protocols.Framing:
        """Return the value that says when a reply is whole."""
        return self._framing(self.reply, "--reply")

    def greeting(self) -> tuple[tuple[bytes, protocols.Framing], ...]:
        """Return what each connection sends before the load, each with the framing of its reply.

        It sends no bytes where it waits for what the server says first. Raises UsageError if the
        first message is redacted.
        """
        if self.first_reply is not None:
            reply = self._framing(self.first_reply, "--first-reply")
        elif self.first_message:
            reply = self.framing()
        else:
            return ()
        return ((first_message(self.first_message), reply),)

    def _framing(self, form: str, option: str) -> protocols.Framing:
        if self.verify and form == "echo":
            return protocols.Echo(verify=True)
        limit = NO_LIMIT_BYTES if self.max_reply_bytes is None else self.max_reply_bytes
        return protocols.parse(form, limit, option)

    def _check_messages(self) -> None:
        if not self.payloads or b"" in self.payloads:
            raise UsageError("--payload: there must be one, and each has one byte or more")
        reply = self.framing()
        if self.verify and not isinstance(reply, protocols.Echo):
            raise UsageError(
                f"--verify compares an echo with what was sent; it does not go with "
                f"--reply {self.reply}"
            )
        if isinstance(reply, protocols.UntilEof):
            unfit = {
                f"--pipeline {self.pipeline}": self.pipeline > 1,
                "--first-message": self.first_message,
                "--first-reply": self.first_reply,
            }
            for option, is_given in unfit.items():
                if is_given:
                    raise UsageError(
                        "--reply eof ends the connection with each reply; it does not go with "
                        f"{option}"
                    )
        self._check_first_reply()

    def _check_first_reply(self) -> None:
        if self.first_reply is None:
            return
        option = "--first-reply"
        reply = self._framing(self.first_reply, option)
        if isinstance(reply, protocols.NoReply | protocols.UntilEof):
            accepted = "the load begins after it, on the same connection; write another form"
            raise UsageError.of(option, self.first_reply, accepted)
        if isinstance(reply, protocols.Echo) and not self.first_message:
            raise UsageError.of(option, self.first_reply, "there is no --first-message to echo")
