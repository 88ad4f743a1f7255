"""What the fields of a Plan mean together: messages, framing and greeting, by its protocol."""

import msgspec

from loadgen.errors import UsageError
from loadgen.net import protocols
from loadgen.net.protocols.base import NO_LIMIT_BYTES
from loadgen.net.protocols.datagrams import EchoedDatagram
from loadgen.net.target import Target
from loadgen.plan.applications import APPLICATIONS
from loadgen.plan.applications.base import Application, Greeting
from loadgen.plan.fields import Fields
from loadgen.plan.payloads import PayloadQueue, first_message


class Exchange(Fields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is exchanged with the target; nothing but what its fields and its protocol say."""

    @property
    def application(self) -> Application:
        """The application protocol, which the scheme of the target names."""
        target = Target() if self.target is None else Target.parse(self.target)
        return APPLICATIONS[target.scheme.application]

    def queue(self) -> PayloadQueue:
        """Return what each connection sends, with all files read.

        Raises UsageError for what cannot be read or sent.
        """
        return self.application.queue(self)

    def message(self, content: bytes) -> bytes:
        """Return the bytes to send for ``content``, a message that user code has made.

        Raises UsageError if there are none.
        """
        return self.application.message(self, content)

    def framing(self) -> protocols.Framing:
        """Return the value that says when a reply is whole."""
        return self._framing(self.reply, "--reply")

    def greeting(self) -> Greeting:
        """Return what each connection exchanges before the load.

        That is what the protocol asks for, and then the first message; no bytes where it waits for
        what the server says first. Raises UsageError if the first message is redacted.
        """
        steps = self.application.greeting(self)
        if self.first_reply is not None:
            reply = self._framing(self.first_reply, "--first-reply")
        elif self.first_message:
            reply = self.framing()
        else:
            return steps
        return (*steps, (first_message(self.first_message), reply))

    def _framing(self, form: str, option: str) -> protocols.Framing:
        for application in APPLICATIONS.values():
            if form in application.forms:
                return application.framing(self, form)
        if self.is_datagram and form == "echo":
            return EchoedDatagram(verify=self.verify)
        if self.verify and form == "echo":
            return protocols.Echo(verify=True)
        limit = NO_LIMIT_BYTES if self.max_reply_bytes is None else self.max_reply_bytes
        return protocols.parse(form, limit, option)

    def _settle_reply(self) -> None:
        if not self.reply:
            msgspec.structs.force_setattr(self, "reply", self.application.reply)

    def _check_messages(self) -> None:
        if not self.payloads or b"" in self.payloads:
            raise UsageError("--payload: there must be one, and each has one byte or more")
        self.application.check(self)
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
