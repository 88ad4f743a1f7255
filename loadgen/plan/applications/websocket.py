"""WebSocket: what of a plan makes its opening handshake, and the frames of its messages."""

from typing import ClassVar, Final
from urllib.parse import quote

from loadgen.errors import UsageError
from loadgen.net.protocols import Framing
from loadgen.net.protocols.websocket import WebSocketEchoes, WebSocketReplies
from loadgen.net.protocols.websocket_frames import (
    BINARY,
    TEXT,
    Maskable,
    message_frames,
    new_keys,
)
from loadgen.net.protocols.websocket_upgrade import Upgrade, upgrade_request
from loadgen.net.target import Target
from loadgen.plan.applications.base import BaseApplication, Greeting
from loadgen.plan.applications.request_head import TOKEN, field_of, host_of
from loadgen.plan.fields import Fields
from loadgen.plan.payloads import PayloadQueue, load

_OF_THE_HANDSHAKE: Final = frozenset({"upgrade", "connection"})


class WebSocket(BaseApplication):
    """Each payload is a message, and each reply is one."""

    name: ClassVar[str] = "websocket"
    reply: ClassVar[str] = "websocket"
    forms: ClassVar[tuple[str, ...]] = ("websocket",)
    alpn: ClassVar[tuple[str, ...]] = ("http/1.1",)
    options: ClassVar[tuple[str, ...]] = (
        "headers",
        "subprotocols",
        "ws_frames",
        "ws_frame_bytes",
        "ws_mask",
    )

    def check(self, plan: Fields) -> None:
        """Raise UsageError for sub-protocols, headers and replies that no WebSocket has."""
        for name in plan.subprotocols:
            if not TOKEN.fullmatch(name) or plan.subprotocols.count(name) > 1:
                accepted = "write each name once, in letters, digits and !#$%&'*+-.^_`|~"
                raise UsageError.of("--subprotocol", name, accepted)
        for line in plan.headers:
            _check_header(line)
        if plan.reply == "echo":
            accepted = "a frame comes back without its mask; leave --reply out, or add --verify"
            raise UsageError.of("--reply", plan.reply, accepted)

    def queue(self, plan: Fields) -> PayloadQueue:
        """Return the payloads of the plan as frames. Raises UsageError."""
        messages = tuple(_frames(plan, payload) for payload in load(plan.payloads).items)
        if plan.ws_mask == "once":
            return PayloadQueue(tuple(map(_masked, messages)))
        return MaskedQueue(messages)

    def message(self, plan: Fields, content: bytes) -> bytes:
        """Return ``content`` in frames, each with a mask of its own. Raises UsageError."""
        return _masked(_frames(plan, content))

    def framing(self, plan: Fields, form: str) -> Framing:
        """Return that of messages; with ``--verify``, of echoes of what was sent."""
        limit = plan.most_reply_bytes
        return WebSocketEchoes(limit) if plan.verify else WebSocketReplies(limit)

    def greeting(self, plan: Fields) -> Greeting:
        """Return the opening handshake, with a key of its own each time."""
        target = plan.peer
        request = upgrade_request(
            resource=_resource(target),
            host=host_of(target),
            subprotocols=plan.subprotocols,
            headers=plan.headers,
        )
        return ((request, Upgrade(plan.subprotocols)),)


class MaskedQueue(PayloadQueue):
    """Messages in order, each frame of which gets a new mask whenever it is sent."""

    repeats_bytes = False

    def __init__(self, messages: tuple[tuple[Maskable, ...], ...]) -> None:
        super().__init__(tuple(map(_masked, messages)))
        self._messages = messages
        self._keys = new_keys()

    def batch(self, position: int, count: int) -> tuple[bytes, tuple[int, ...]]:
        """Return ``count`` messages from ``position`` on, as `PayloadQueue.batch` does."""
        messages, keys = self._messages, self._keys
        if count == 1 and len(messages[position]) == 1:
            return messages[position][0].masked(next(keys)), self._lengths[position : position + 1]
        chosen = [(position + number) % len(messages) for number in range(count)]
        frames = [each.masked(next(keys)) for number in chosen for each in messages[number]]
        return b"".join(frames), tuple(self._lengths[number] for number in chosen)


def _frames(plan: Fields, payload: bytes) -> tuple[Maskable, ...]:
    return message_frames(_opcode(plan, payload), payload, plan.ws_frame_bytes)


def _masked(frames: tuple[Maskable, ...]) -> bytes:
    return b"".join(each.masked(key) for each, key in zip(frames, new_keys(), strict=False))


def _opcode(plan: Fields, payload: bytes) -> int:
    if plan.ws_frames == "binary":
        return BINARY
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        if plan.ws_frames == "auto":
            return BINARY
        raise UsageError(
            f"--ws-frames text: a payload of {len(payload)} bytes is not UTF-8 from byte "
            f"{error.start} on; choose binary, or auto"
        ) from None
    return TEXT


def _resource(target: Target) -> str:
    """Return the path and the query that are requested, in ASCII."""
    path = target.resource if target.resource.startswith("/") else f"/{target.resource}"
    return quote(path, safe="!#$%&'()*+,/:;=?@[]~\"<>\\^`{|}")


def _check_header(line: str) -> None:
    name = field_of(line)[0].lower()
    if name in _OF_THE_HANDSHAKE or name.startswith("sec-websocket-"):
        accepted = "the opening of a WebSocket has its own; --subprotocol gives sub-protocols"
        raise UsageError.of("--header", line, accepted)
