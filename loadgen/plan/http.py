"""The fields of a Plan that say what is requested by HTTP."""

from typing import Annotated, Final

import msgspec

from loadgen.net.connect_to import ConnectTo
from loadgen.net.target import Target
from loadgen.plan.kinds import BYTES, NO, PAYLOAD_FILE, text
from loadgen.plan.messages import Messages
from loadgen.plan.options import EVERYWHERE, Group, Option
from loadgen.plan.payloads import FilePayload, RedactedPayload
from loadgen.quantities import MOST_PAYLOADS, Text

Urls = Annotated[
    tuple[Text | FilePayload | RedactedPayload, ...], msgspec.Meta(max_length=MOST_PAYLOADS)
]

HTTP: Final = Group("HTTP", "what to request")


class HttpRequests(Messages, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requests of HTTP/1.1; their headers are those of a WebSocket's opening, too."""

    method: Annotated[
        Text | None,
        HTTP,
        Option(
            "-X/--method",
            text("NAME"),
            "the method of the requests",
            default_note="GET, and POST where there is a body",
            place=EVERYWHERE,
        ),
    ] = None
    headers: Annotated[
        tuple[Text, ...],
        HTTP,
        Option(
            "-H/--header",
            text("LINE"),
            "a header, 'Name: value', also of the opening of a WebSocket; 'Name:' leaves out one "
            "that loadgen would send",
            place=EVERYWHERE,
        ),
    ] = ()
    body: Annotated[
        bytes | FilePayload | RedactedPayload | None,
        HTTP,
        Option("--body", BYTES, r"the body, with the escapes \r \n \t \0 \\ \xHH"),
        Option("--body-file", PAYLOAD_FILE, "the body: the content of the file"),
    ] = None
    urls: Annotated[
        Urls,
        HTTP,
        Option("--url", text("URL"), "a path, or a URL of the target, to request in turn"),
        Option(
            "--urls",
            PAYLOAD_FILE,
            "such paths and URLs: the lines of the file; those that are empty or begin with # are "
            "skipped",
        ),
    ] = ()
    fail_status: Annotated[
        Text,
        HTTP,
        Option(
            "--fail-status",
            text("STATUSES"),
            "the responses that count as rejected: 4xx,5xx or 404,410,5xx, or none",
            place=EVERYWHERE,
        ),
    ] = "4xx,5xx"
    keepalive: Annotated[
        bool,
        HTTP,
        Option("--no-keepalive", NO, "one request a connection: 'Connection: close' is sent"),
    ] = True
    connect_to: Annotated[
        Text | None,
        HTTP,
        Option(
            "--connect-to",
            text("H1:P1:H2:P2"),
            "for a target at host H1, port P1, connect to host H2, port P2, and name H1 in the "
            "requests and in TLS; each of them may be empty: any, or the same",
            place=EVERYWHERE,
        ),
    ] = None

    def connected_to(self, target: Target) -> Target:
        """Return where connections to ``target`` are to go."""
        rule = self.connect_to
        return target if rule is None else ConnectTo.parse(rule).applied_to(target)
