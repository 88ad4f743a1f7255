"""The fields of a Plan that say what is sent, and when its replies are whole."""

from typing import Annotated, Final

import msgspec

from loadgen.net import protocols
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
            f"when a reply is whole: {protocols.FORMS}; of udp:// datagram, sequence, echo or none",
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
