r"""The text protocol of memcached: lines, and the data that ``get`` brings.

loadgen localhost:11211 --payload 'set key 0 0 5\r\nhello\r\n' --reply examples.memcached:Text
loadgen localhost:11211 --payload 'get key\r\n' --reply examples.memcached:Text --expect VALUE

What a reply is: https://github.com/memcached/memcached/blob/master/doc/protocol.txt
"""

from typing import Final

from loadgen import BaseDecoder, BaseFraming, Cause, FramingError

LONGEST_LINE_BYTES: Final = 2048
"""Of what is no data: a key has 250 bytes at most."""

REJECTIONS: Final = (b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR", b"NOT_STORED", b"NOT_FOUND")


class Text(BaseFraming):
    """A line; or values, and then END. Errors, and what was not stored or not found, reject."""

    def __init__(self, max_reply_bytes: int) -> None:
        """All values of a reply together may have ``max_reply_bytes``."""
        self.max_reply_bytes = max_reply_bytes

    def decoder(self) -> "TextDecoder":
        """Return a decoder for one connection."""
        return TextDecoder(self.max_reply_bytes)


class TextDecoder(BaseDecoder):
    """Reads lines, and skips the data that they announce."""

    def __init__(self, max_reply_bytes: int) -> None:
        """Begin between replies."""
        super().__init__()
        self._max_reply_bytes = max_reply_bytes
        self._values_bytes = 0  # of the present reply
        self._to_skip_bytes = 0  # of its present value
        self._line = b""  # as much of it as has come

    def feed(self, view: memoryview) -> int:
        """Return how many replies are whole now."""
        replies, position, data = 0, 0, bytes(view)
        while position < len(data):
            if self._to_skip_bytes:
                skipped_bytes = min(self._to_skip_bytes, len(data) - position)
                self._to_skip_bytes -= skipped_bytes
                position += skipped_bytes
                continue
            end = data.find(b"\n", position) + 1 or len(data)
            self._line += data[position:end]
            position = end
            if len(self._line) > LONGEST_LINE_BYTES:
                raise FramingError(Cause.REPLY_TOO_LONG)
            self.partial = True
            if self._line.endswith(b"\n"):
                if self._is_last(self._line.split()):
                    replies += 1
                    self._values_bytes = 0
                    self.partial = False
                self._line = b""
        return replies

    def _is_last(self, words: list[bytes]) -> bool:
        match words:
            case [b"VALUE", _, _, size, *_]:
                if not size.isdigit():
                    raise FramingError(Cause.BAD_FRAME)
                self._to_skip_bytes = int(size) + len(b"\r\n")
                self._values_bytes += self._to_skip_bytes
                if self._values_bytes > self._max_reply_bytes:
                    raise FramingError(Cause.REPLY_TOO_LONG)
                return False
            case [word, *_] if word in REJECTIONS:
                self.reject(Cause.REJECTED)
        return True
