import math
from typing import Any

import msgspec
import pytest

from loadgen.errors import UsageError
from loadgen.net import backends, protocols
from loadgen.plan.load import DEFAULT_DURATION_S
from loadgen.plan.payloads import (
    FilePayload,
    LinesPayload,
    MadePayload,
    SizePayload,
)
from loadgen.plan.plan import Plan
from loadgen.plan.redaction import redacted_plan


def refusal_of(**values: Any) -> str:
    with pytest.raises(UsageError) as refusal:
        Plan(**values)
    return str(refusal.value)


class TestDuration:
    def test_has_a_default_where_nothing_else_ends_the_run(self) -> None:
        assert Plan().duration_s == DEFAULT_DURATION_S

    def test_has_no_default_where_a_number_of_messages_ends_the_run(self) -> None:
        assert Plan(messages=10).duration_s is None

    def test_goes_with_a_number_of_messages(self) -> None:
        plan = Plan(messages=10, duration_s=2.0)
        assert (plan.messages, plan.duration_s) == (10, 2.0)


@pytest.mark.parametrize(
    ("field", "option"),
    [
        ("connections", "--connections"),
        ("messages", "--messages"),
        ("pipeline", "--pipeline"),
        ("send_buffer_bytes", "--sndbuf"),
        ("receive_buffer_bytes", "--rcvbuf"),
        ("max_reply_bytes", "--max-reply"),
    ],
)
@pytest.mark.parametrize("value", [0, -1])
def test_a_number_below_one_is_refused_with_its_option(field: str, option: str, value: int) -> None:
    refusal = refusal_of(**{field: value})
    assert refusal == f"{option}: {value} is not accepted; it must be 1 or more"


@pytest.mark.parametrize(
    ("field", "option"),
    [
        ("duration_s", "--duration"),
        ("connect_timeout_s", "--connect-timeout"),
        ("io_timeout_s", "--io-timeout"),
        ("reply_timeout_s", "--reply-timeout"),
        ("drain_s", "--drain"),
        ("connect_rate_per_s", "--connect-rate"),
    ],
)
@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan])
def test_a_time_or_rate_that_makes_no_sense_is_refused_with_its_option(
    field: str, option: str, value: float
) -> None:
    assert refusal_of(**{field: value}).startswith(f"{option}: {value!r} is not accepted; ")


@pytest.mark.parametrize(
    "field",
    ["duration_s", "connect_timeout_s", "io_timeout_s", "reply_timeout_s", "connect_rate_per_s"],
)
def test_no_time_or_rate_may_be_zero(field: str) -> None:
    assert "it must be more than 0" in refusal_of(**{field: 0.0})


@pytest.mark.parametrize(("field", "option"), [("drain_s", "--drain"), ("warmup_s", "--warmup")])
def test_a_run_may_do_without_a_drain_or_a_warm_up(field: str, option: str) -> None:
    plan = Plan(**{field: 0.0})  # type: ignore[arg-type]
    assert getattr(plan, field) == 0
    assert refusal_of(**{field: -1.0}) == (
        f"{option}: -1.0 is not accepted; it must be 0 or more, and at most 8760h"
    )


def test_every_backend_may_be_planned() -> None:
    assert [Plan(backend=name).backend for name in backends.NAMES] == list(backends.NAMES)


def test_an_unknown_backend_is_refused_with_the_known_ones() -> None:
    refusal = refusal_of(backend="iocp")
    assert refusal.startswith("--backend: 'iocp' is not accepted; ")
    assert all(name in refusal for name in backends.NAMES)


def test_a_target_that_cannot_be_read_is_refused() -> None:
    assert refusal_of(target="nowhere").startswith("TARGET: 'nowhere' ")


class TestReply:
    def test_is_an_echo_by_default(self) -> None:
        assert Plan().framing() == protocols.Echo(verify=False)

    def test_may_be_verified_where_it_is_an_echo(self) -> None:
        assert Plan(verify=True).framing() == protocols.Echo(verify=True)

    def test_is_what_its_form_says(self) -> None:
        assert Plan(reply="fixed:64").framing() == protocols.Fixed(64)

    def test_may_be_as_long_as_the_plan_says(self) -> None:
        assert Plan(reply="eof").framing() == protocols.UntilEof(16 * 2**20)
        assert Plan(reply="eof", max_reply_bytes=5).framing() == protocols.UntilEof(5)

    def test_of_an_unknown_form_is_refused(self) -> None:
        assert refusal_of(reply="js on").startswith("--reply: 'js on' ")
        assert refusal_of(reply="fixed").startswith("--reply: 'fixed' is not accepted; write echo")

    @pytest.mark.parametrize("reply", ["fixed:64", "none", "eof", r"delimiter:\n"])
    def test_that_is_no_echo_cannot_be_verified(self, reply: str) -> None:
        refusal = refusal_of(reply=reply, verify=True)
        assert refusal.startswith("--verify ")
        assert f"--reply {reply}" in refusal

    @pytest.mark.parametrize(
        ("values", "option"),
        [({"pipeline": 2}, "--pipeline 2"), ({"first_message": b"hello"}, "--first-message")],
    )
    def test_that_ends_the_connection_leaves_nothing_to_come_after_it(
        self, values: dict[str, Any], option: str
    ) -> None:
        assert refusal_of(reply="eof", **values).endswith(f"it does not go with {option}")


class TestGreeting:
    def test_is_none_unless_it_is_asked_for(self) -> None:
        assert Plan().greeting_steps() == ()

    def test_is_the_first_message_whose_reply_is_whole_as_all_are(self) -> None:
        plan = Plan(first_message=b"HI\n", reply=r"delimiter:\n", max_reply_bytes=9)
        assert plan.greeting_steps() == ((b"HI\n", protocols.Delimiter(b"\n", 9)),)
        assert Plan(first_message=b"HI", verify=True).greeting_steps() == (
            (b"HI", protocols.Echo(True)),
        )

    def test_has_a_reply_of_its_own_form(self) -> None:
        plan = Plan(first_message=b"HI", first_reply="fixed:3", reply="length:u8")
        assert plan.greeting_steps() == ((b"HI", protocols.Fixed(3)),)
        limited = Plan(first_message=b"HI", first_reply="length:u8", max_reply_bytes=5)
        assert limited.greeting_steps() == ((b"HI", protocols.parse("length:u8", 5)),)

    def test_is_awaited_where_the_server_speaks_first(self) -> None:
        limited = Plan(greeting=r"delimiter:\n", max_reply_bytes=9)
        assert limited.greeting_steps() == ((b"", protocols.Delimiter(b"\n", 9)),)

    @pytest.mark.parametrize(
        ("values", "refusal"),
        [
            ({"greeting": "none"}, "--greeting: 'none' is not accepted; the load begins"),
            ({"greeting": "eof"}, "--greeting: 'eof' is not accepted; the load begins"),
            ({"greeting": "a line"}, "--greeting: 'a line' is not accepted; write echo, "),
            ({"greeting": "fixed:x"}, "--greeting: 'fixed:x' is not accepted; after fixed"),
            ({"greeting": "echo"}, "--greeting: 'echo' is not accepted; nothing was sent that"),
            ({"first_reply": "fixed:1", "greeting": "fixed:1"}, "--first-reply: 'fixed:1' is not"),
            ({"first_message": b"A", "reply": "eof"}, "--reply eof ends the connection with"),
        ],
        ids=str,
    )
    def test_is_refused_where_it_never_ends_or_is_not_followed(
        self, values: dict[str, Any], refusal: str
    ) -> None:
        assert refusal_of(**values).startswith(refusal)

    @pytest.mark.parametrize(
        ("values", "refusal"),
        [
            ({"expect": ("",)}, "--expect: '' is not accepted; write how a good reply begins"),
            ({"expect": (r"\q",)}, r"--expect: '\\q' is not accepted; \q is not an escape"),
            ({"expect": ("/(/",)}, "--expect: '/(/' is not accepted; it is no regular expression"),
            ({"expect": ("x",), "reply": "none"}, "--reply none awaits no reply; it does not"),
        ],
        ids=str,
    )
    def test_is_no_matter_of_expectations_which_are_refused_where_they_cannot_be_met(
        self, values: dict[str, Any], refusal: str
    ) -> None:
        assert refusal_of(**values).startswith(refusal)
        assert Plan(first_message=b"A", expect=("B",)).greeting_steps() == (
            (b"A", protocols.Echo()),
        )

    def test_is_what_the_server_says_first_and_then_the_first_message(self) -> None:
        plan = Plan(greeting="fixed:9", first_message=b"HI", first_reply="fixed:3")
        steps = ((b"", protocols.Fixed(9)), (b"HI", protocols.Fixed(3)))
        assert plan.greeting_steps() == steps

    def test_of_older_records_is_a_first_reply_to_no_message(self) -> None:
        plan = Plan(first_reply="fixed:9")
        assert plan == Plan(greeting="fixed:9")
        assert (plan.greeting, plan.first_reply) == ("fixed:9", None)

    def test_cannot_be_sent_where_it_is_redacted(self) -> None:
        plan = redacted_plan(Plan(first_message=b"secret"))
        with pytest.raises(UsageError, match="first message: it is redacted"):
            plan.greeting_steps()


class TestValue:
    def test_cannot_be_changed(self) -> None:
        with pytest.raises(AttributeError):
            Plan().connections = 5  # type: ignore[misc]

    def test_survives_json_with_every_kind_of_payload(self) -> None:
        plan = Plan(
            target="unix:///run/x",
            payloads=(
                *(b"\x00\xff", FilePayload("f"), LinesPayload("l", raw=True)),
                *(SizePayload(9), MadePayload("Ping.payload")),
            ),
            first_message=b"hello\n",
            duration_s=1.5,
        )
        assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan

    def test_has_no_field_that_it_does_not_know(self) -> None:
        with pytest.raises(msgspec.ValidationError, match="conections"):
            msgspec.json.decode(b'{"conections": 5}', type=Plan)

    def test_is_checked_when_it_is_read_from_a_file_too(self) -> None:
        with pytest.raises(UsageError, match="--connections: 0"):
            msgspec.json.decode(b'{"connections": 0}', type=Plan)


@pytest.mark.parametrize(
    ("field", "value", "option"),
    [
        ("connections", "5", "--connections"),
        ("connections", 1.5, "--connections"),
        ("messages", True, "--messages"),
        ("pipeline", None, "--pipeline"),
        ("duration_s", "5", "--duration"),
        ("reply", None, "--reply"),
        ("payloads", b"abc", "--payload"),
        ("payloads", ("text",), "--payload"),
        ("payloads", (), "--payload"),
        ("payloads", (b"",), "--payload"),
        ("first_message", "text", "--first-message"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_its_option(
    field: str, value: object, option: str
) -> None:
    with pytest.raises(UsageError, match=f"^{option}: "):
        Plan(**{field: value})  # type: ignore[arg-type]
