"""The fields of a Plan that say what is sent, and when its replies are whole."""

from typing import Annotated, Final

import msgspec

from loadgen.net import protocols
from loadgen.net.protocols.base import MOST_REPLY_BYTES
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
from loadgen.plan.payloads import PayloadSource, RedactedPayload, SizePayload
from loadgen.quantities import MOST_KINDS, MOST_PAYLOADS, Text

PayloadSources = Annotated[tuple[PayloadSource, ...], msgspec.Meta(max_length=MOST_PAYLOADS)]

Expectations = Annotated[tuple[Text | RedactedPayload, ...], msgspec.Meta(max_length=MOST_KINDS)]

MESSAGE: Final = Group("message", "what to send")
REPLY: Final = Group("reply", "when a reply is whole")


_USUAL_PAYLOADS: Final = (SizePayload(64),)


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
    ] = _USUAL_PAYLOADS
    first_message: Annotated[
        bytes | RedactedPayload,
        MESSAGE,
        Option(
            "--first-message",
            BYTES,
            "send this once after connecting, and wait for its reply; neither is counted",
        ),
    ] = b""
    greeting: Annotated[
        Text | None,
        MESSAGE,
        Option(
            "--greeting",
            text("FORM"),
            "after connecting, wait for what the server says first, such as a banner: "
            r"'delimiter:\r\n'; it is not counted",
        ),
    ] = None
    first_reply: Annotated[
        Text | None,
        MESSAGE,
        Option(
            "--first-reply",
            text("FORM"),
            "when the reply to --first-message is whole",
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
            f"when a reply is whole: {protocols.FORMS}; with udp:// datagram, sequence, echo or "
            "none",
            default_note="of tcp:// and tls://, as many bytes as were sent; otherwise as the "
            "protocol of the target has it",
            place=EVERYWHERE,
        ),
    ] = ""
    max_reply_bytes: Annotated[
        int | None,
        REPLY,
        Option(
            "--max-reply",
            SIZE,
            "the longest reply that is accepted with --reply delimiter, length or eof; a "
            "longer one is a failure of its connection",
            default_note="16m",
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
    expect: Annotated[
        Expectations,
        REPLY,
        Option(
            "--expect",
            text("PREFIX"),
            "how a good reply begins, with the escapes of --payload, or /a regular expression/ "
            "that is found in it; another reply is rejected: an error, but the connection goes on",
        ),
    ] = ()
    half_close: Annotated[
        bool,
        REPLY,
        Option(
            "--half-close",
            YES,
            "end our side of the connection after each message, for servers that answer then; "
            "the next message needs a new one",
        ),
        DECLARED,
    ] = False
    verify: Annotated[
        bool, REPLY, Option("--verify", YES, "compare echoed bytes with what was sent"), DECLARED
    ] = False

    @property
    def is_one_way(self) -> bool:
        """Whether messages are sent and no reply is awaited."""
        return self.reply == "none"

    @property
    def has_usual_payloads(self) -> bool:
        """Whether the payloads are those that are sent where nothing is given."""
        return self.payloads == _USUAL_PAYLOADS

    @property
    def most_reply_bytes(self) -> int:
        """The longest reply that is accepted where its peer decides how long it is."""
        return MOST_REPLY_BYTES if self.max_reply_bytes is None else self.max_reply_bytes

    @property
    def is_until_eof(self) -> bool:
        """Whether a reply is whole when the server closes the connection."""
        return self.reply == "eof"
