"""What the fields of a Plan mean together: messages, framing and greeting, by its protocol."""

import msgspec

from loadgen.errors import UsageError
from loadgen.net import protocols
from loadgen.net.connect_to import ConnectTo
from loadgen.net.protocols.datagrams import EchoedDatagram
from loadgen.net.target import SCHEMES
from loadgen.plan.applications import APPLICATIONS
from loadgen.plan.applications.base import Application, Greeting
from loadgen.plan.fields import Fields
from loadgen.plan.options import fields_of
from loadgen.plan.payloads import (
    PayloadQueue,
    RedactedPayload,
    expectations,
    first_message,
)


class Exchange(Fields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is exchanged with the target; nothing but what its fields and its protocol say."""

    @property
    def application(self) -> Application:
        """The application protocol, which the scheme of the target names."""
        return APPLICATIONS[self.peer.scheme.application]

    @property
    def protocols_offered(self) -> tuple[str, ...]:
        """What ALPN offers, where TLS is spoken."""
        return self.alpn or self.application.alpn

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
        """Return the value that says when a reply is whole, and whether it is a good one.

        Raises UsageError if what is expected is redacted.
        """
        framing = self._framing(self.reply, "--reply")
        if self.expect:
            framing = protocols.Expecting(framing, self._expectation())
        return protocols.Once(framing) if self.half_close else framing

    def greeting_steps(self) -> Greeting:
        """Return what each connection exchanges before the load.

        That is what the protocol asks for, then what the server says first, and the first message.
        Raises UsageError if that is redacted.
        """
        steps = self.application.greeting(self)
        if self.greeting is not None:
            steps = (*steps, (b"", self._framing(self.greeting, "--greeting")))
        if self.first_message:
            option = "--reply" if self.first_reply is None else "--first-reply"
            reply = self._framing(self.first_reply or self.reply, option)
            message = self.message(first_message(self.first_message))
            steps = (*steps, (message, reply))
        return steps

    def _framing(self, form: str, option: str) -> protocols.Framing:
        for application in APPLICATIONS.values():
            if form in application.forms:
                return application.framing(self, form)
        if self.is_datagram and form == "echo":
            return EchoedDatagram(verify=self.verify)
        if self.verify and form == "echo":
            return protocols.Echo(verify=True)
        return protocols.parse(form, self.most_reply_bytes, option)

    def _expectation(self) -> protocols.Expectation:
        texts = expectations(self.expect)
        try:
            return protocols.Expectation.of(texts, self.most_reply_bytes)
        except ValueError as error:
            raise UsageError.of("--expect", ", ".join(texts), str(error)) from None

    def _check_form(self, form: str, option: str) -> None:
        """Raise UsageError if ``form`` is none; a framing of a user's own is not imported yet."""
        if not protocols.is_own(form) or any(form in each.forms for each in APPLICATIONS.values()):
            self._framing(form, option)

    def _settle_greeting(self) -> None:
        """Take a first reply to no first message, as older records have it, for the greeting."""
        if self.first_reply is not None and not self.first_message and self.greeting is None:
            msgspec.structs.force_setattr(self, "greeting", self.first_reply)
            msgspec.structs.force_setattr(self, "first_reply", None)

    def _settle_reply(self) -> None:
        if not self.reply:
            msgspec.structs.force_setattr(self, "reply", self.application.reply)
        for name, value in self.application.settled(self).items():
            msgspec.structs.force_setattr(self, name, value)

    def _check_messages(self) -> None:
        if not self.payloads or b"" in self.payloads:
            raise UsageError("--payload: there must be one, and each has one byte or more")
        self._check_options()
        self.application.check(self)
        self._check_form(self.reply, "--reply")
        if self.verify and self.reply not in ("echo", "websocket"):
            raise UsageError(
                f"--verify compares an echo with what was sent; it does not go with "
                f"--reply {self.reply}"
            )
        if self.is_until_eof:
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
        self._check_greeting()
        self._check_expect()
        self._check_half_close()

    def _check_options(self) -> None:
        """Raise UsageError for an option of a protocol that is not spoken."""
        if self.connect_to is not None:
            ConnectTo.parse(self.connect_to)
        own = self.application.options
        for field in fields_of(type(self)):
            if field.name in own or getattr(self, field.name) == field.default:
                continue
            if self.target is not None and _of_targets(field.name):
                schemes = [f"{name}://" for name in _of_targets(field.name)]
                listed = f"{', '.join(schemes[:-1])} or {schemes[-1]}"
                raise UsageError(f"{field.option} goes with a target of {listed}")
            forms = _of_forms(field.name)
            if forms and self.reply not in forms:
                raise UsageError(f"{field.option} goes with --reply {' or '.join(forms)}")

    def _check_expect(self) -> None:
        if self.expect and self.is_one_way:
            raise UsageError("--reply none awaits no reply; it does not go with --expect")
        if not any(isinstance(each, RedactedPayload) for each in self.expect):
            self._expectation()

    def _check_half_close(self) -> None:
        unfit = {
            f"--pipeline {self.pipeline}": self.pipeline > 1,
            "--open": self.unlimited,
            "--reply none": self.is_one_way,
            "udp://": self.is_datagram,
        }
        for option, is_given in unfit.items():
            if self.half_close and is_given:
                raise UsageError(
                    "--half-close ends our side after one message, and awaits its reply; it does "
                    f"not go with {option}"
                )

    def _check_greeting(self) -> None:
        for option, form in (("--greeting", self.greeting), ("--first-reply", self.first_reply)):
            if form is None:
                continue
            self._check_form(form, option)
            if form in ("none", "eof"):
                accepted = "the load begins after it, on the same connection; write another form"
                raise UsageError.of(option, form, accepted)
        if self.greeting == "echo":
            accepted = "nothing was sent that the server could echo; write another form"
            raise UsageError.of("--greeting", self.greeting, accepted)
        if self.first_reply is not None and not self.first_message:
            accepted = "it is the form of the reply to --first-message, and there is none"
            raise UsageError.of("--first-reply", self.first_reply, accepted)


def _of_targets(field: str) -> list[str]:
    """Return the schemes of the targets with which alone ``field`` means something."""
    return [
        scheme.name
        for scheme in SCHEMES.values()
        if field in APPLICATIONS[scheme.application].options
    ]


def _of_forms(field: str) -> list[str]:
    """Return the forms of reply with which alone ``field`` means something."""
    return [
        form
        for application in APPLICATIONS.values()
        if field in application.form_options
        for form in application.forms
    ]
