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

    def feed(self, view: memoryview) -> int:
        """Return how many lines are whole now."""
        replies = 0
        for line in bytes(view).splitlines(keepends=True):
            if not self.partial and line.startswith(b"-"):
                self.reject(Cause.REJECTED)
            self.partial = not line.endswith(b"\n")
            replies += not self.partial
        return replies
