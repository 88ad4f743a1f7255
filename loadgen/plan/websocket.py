"""The fields of a Plan that say how a WebSocket is opened, and what its frames are."""

from typing import Annotated, Final, Literal

import msgspec

from loadgen.plan.kinds import SIZE, one_of, text
from loadgen.plan.options import DECLARED, EVERYWHERE, Group, Option
from loadgen.plan.redis import RedisCommands
from loadgen.quantities import MOST_KINDS, Text

WEBSOCKET: Final = Group("WebSocket", "how ws:// and wss:// are spoken")


class WebSocketFrames(RedisCommands, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frames of WebSocket."""

    subprotocols: Annotated[
        tuple[Text, ...],
        msgspec.Meta(max_length=MOST_KINDS),
        WEBSOCKET,
        Option(
            "--subprotocol",
            text("NAME"),
            "a sub-protocol to offer; the server must choose one of those that are offered",
            place=EVERYWHERE,
        ),
    ] = ()
    ws_frames: Annotated[
        Literal["auto", "text", "binary"],
        WEBSOCKET,
        Option(
            "--ws-frames",
            one_of("TYPE", "auto", "text", "binary"),
            "the type of messages; auto: text, or binary where a payload is not UTF-8",
            place=EVERYWHERE,
        ),
    ] = "auto"
    ws_frame_bytes: Annotated[
        int | None,
        WEBSOCKET,
        Option(
            "--ws-frame-size",
            SIZE,
            "send a message in fragments, frames of at most that much payload",
            default_note="a message is one frame",
            place=EVERYWHERE,
        ),
    ] = None
    ws_mask: Annotated[
        Literal["fresh", "once"],
        WEBSOCKET,
        Option(
            "--ws-mask",
            one_of("WHEN", "fresh", "once"),
            "the masks of frames: fresh, chosen anew for each frame that is sent, as RFC 6455 "
            "wants it, or chosen once for each payload, which costs less",
            place=EVERYWHERE,
        ),
        DECLARED,
    ] = "fresh"
