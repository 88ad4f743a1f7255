"""One exchange on each connection: a framing around another one, whose decoders then close."""

from dataclasses import dataclass

from loadgen.net.protocols.seeing import Around, SeeingDecoder


@dataclass(frozen=True, slots=True)
class Once(Around):
    """Replies as ``framing`` frames them; after one, the connection is to be renewed."""

    def decoder(self) -> "OnceDecoder":
        """Return a decoder for one connection."""
        return OnceDecoder(self.framing)


class OnceDecoder(SeeingDecoder):
    """A decoder that closes with the first whole reply to a message."""

    def _tell(self, replies: int) -> None:
        self.closes |= 0 < replies <= self._awaited
        super()._tell(replies)
