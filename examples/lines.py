r"""Replies that are lines, as Redis gives them to inline commands; ``-…`` rejects the message.

loadgen localhost:6379 --payload 'PING\r\n' --reply examples.lines:Lines --expect +PONG
"""

from loadgen import BaseDecoder, BaseFraming, Cause


class Lines(BaseFraming):
    """Each reply is a line."""

    def decoder(self) -> "LinesDecoder":
        """Return a decoder for one connection."""
        return LinesDecoder()


class LinesDecoder(BaseDecoder):
    """Counts the ends of lines; a line begins with what it means."""

    begun = b""  # the first byte of a line that is not whole

    def feed(self, view: memoryview) -> int:
        """Return how many lines are whole now."""
        *lines, rest = (self.begun + bytes(view)).split(b"\n")
        self.begun, self.partial = rest[:1], bool(rest)
        for line in lines:
            if line.startswith(b"-"):
                self.reject(Cause.REJECTED)
        return len(lines)
