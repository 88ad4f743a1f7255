"""Attributes of a user class: which are accepted, which refused, and the options that override."""

import logging
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, TypeVar

import pytest
from local_run import LocalRun
from locust import User, between, constant, tag, task
from locust.argument_parser import LocustArgumentParser, get_parser, ui_extra_args_dict
from longer_plan import LongerPlan, LongestPlan

from loadgen.errors import UsageError
from loadgen.locust import ScriptedSocketUser, SocketUser, arguments, user_attributes
from loadgen.locust.arguments import CommandLine
from loadgen.locust.user_attributes import ATTRIBUTES, SCRIPTED_ATTRIBUTES, attributes_of
from loadgen.plan import Plan
from loadgen.plan.payloads import MadePayload, SizePayload

NO_OPTIONS: Final = get_parser().parse_args([])
BOTH: Final = pytest.mark.parametrize("base", [SocketUser, ScriptedSocketUser])


def options(*given: str) -> Any:
    """Return Locust's parsed options of a command line."""
    return get_parser().parse_args(given)


def user_class(base: type[User] = SocketUser, **attributes: Any) -> Any:
    """Return a class as a Locust file defines it."""
    return type("Shop", (base,), {"__module__": "locustfile", **attributes})


def plan_of(made: Any, *given: str) -> Plan:
    plan: Plan = made.check(options(*given))[0]
    return plan


def refusal_of(made: Any, *given: str) -> str:
    with pytest.raises(UsageError) as caught:
        made.check(options(*given))
    return str(caught.value)


class TestAttributes:
    @pytest.mark.parametrize(
        ("attribute", "value"),
        [
            ("payloads", (b"PING\r\n", SizePayload(100))),
            ("reply", "fixed:9"),
            ("verify", True),
            ("first_message", b"hello"),
            ("greeting", r"delimiter:\n"),
            ("expect", ("+PONG", "/OK/")),
            ("pipeline", 4),
            ("connections", 10),
            ("rate", 50.0),
            ("rate", "2k"),
            ("seed", 7),
            ("backend", "epoll"),
            ("timestamps", "user"),
            ("timestamp_sample", 10),
            ("connect_timeout_s", 1.5),
            ("io_timeout_s", 2.0),
            ("drain_s", 0.0),
            ("reconnect", False),
            ("nagle", True),
            ("send_buffer_bytes", 4096),
            ("receive_buffer_bytes", 8192),
        ],
    )
    def test_mean_what_they_mean_in_a_plan(self, attribute: str, value: Any) -> None:
        assert getattr(plan_of(user_class(**{attribute: value})), attribute) == value
        if attribute in SCRIPTED_ATTRIBUTES:
            assert (
                getattr(plan_of(user_class(ScriptedSocketUser, **{attribute: value})), attribute)
                == value
            )

    def test_are_attributes_of_a_plan(self) -> None:
        assert set(SCRIPTED_ATTRIBUTES) < set(ATTRIBUTES) < set(Plan.__struct_fields__)

    def test_default_to_one_connection_that_is_opened_again(self) -> None:
        plan = plan_of(user_class())
        assert (plan.connections, plan.reconnect, plan.rate) == (1, True, None)
        assert plan_of(user_class(ScriptedSocketUser)).reconnect

    def test_are_inherited(self) -> None:
        base = user_class(reply="fixed:9", connections=3, abstract=True)
        plan = plan_of(user_class(base, connections=4))
        assert (plan.reply, plan.connections) == ("fixed:9", 4)

    def test_take_a_list_of_payloads(self) -> None:
        assert plan_of(user_class(payloads=[b"a", b"b"])).payloads == (b"a", b"b")

    def test_of_arrivals_go_with_a_rate(self) -> None:
        plan = plan_of(user_class(rate=5, arrivals="poisson", unlimited=True))
        assert (plan.arrivals, plan.unlimited) == ("poisson", True)

    @pytest.mark.parametrize(
        ("attributes", "message"),
        [
            ({"pipeline": 0}, "Shop: --pipeline: 0 is not accepted; it must be 1 or more"),
            ({"connections": -1}, "Shop: --connections: -1 is not accepted"),
            ({"connections": "3"}, "Shop: --connections: Expected `int`, got `str`"),
            ({"io_timeout_s": 0}, "Shop: --io-timeout: 0 is not accepted; it must be more than 0"),
            ({"io_timeout_s": "2s"}, "Shop: --io-timeout: Expected `float`, got `str`"),
            ({"reply": "lines"}, "Shop: --reply: 'lines' is not accepted; write echo, fixed:N"),
            ({"verify": True, "reply": "fixed:4"}, "Shop: --verify compares an echo"),
            ({"payloads": ()}, "Shop: --payload: there must be one"),
            ({"payloads": (b"",)}, "Shop: --payload: there must be one"),
            ({"payloads": ("text",)}, "Shop: --payload"),
            ({"rate": "fast"}, "Shop: --rate: 'fast' is not accepted"),
            ({"rate": -1.0}, "Shop: --rate"),
            ({"rate": 5, "arrivals": "bursty"}, "Shop: --arrivals: 'bursty' is not accepted"),
            ({"arrivals": "poisson"}, "Shop: --arrivals spreads the times of a schedule"),
            ({"unlimited": True}, "Shop: --open sends at the times of a schedule"),
            ({"timestamps": "mine"}, "Shop: --timestamps: 'mine' is not accepted; choose one of"),
            ({"seed": -1}, "Shop: --seed: -1 is not accepted"),
            ({"backend": "iocp"}, "Shop: --backend: 'iocp' is not accepted; choose one of"),
            ({"engine": "fast"}, "Shop: --engine: 'fast' is not accepted; choose one of"),
            ({"reply": "eof", "pipeline": 2}, "Shop: --reply eof ends the connection"),
        ],
    )
    def test_are_checked_as_a_plan_checks_them(
        self, attributes: dict[str, Any], message: str
    ) -> None:
        assert refusal_of(user_class(**attributes)).startswith(message)

    @pytest.mark.parametrize("backend", ["poll", "select"])
    @BOTH
    def test_refuse_a_backend_without_a_descriptor(self, base: type[User], backend: str) -> None:
        message = refusal_of(user_class(base, backend=backend))
        assert message.startswith(f"Shop: --backend: {backend!r} is not accepted; inside Locust")
        assert message.endswith("choose one of auto, epoll, kqueue, devpoll")

    def test_refuse_a_rate_that_changes(self) -> None:
        message = refusal_of(user_class(rate="0..50/10s"))
        assert (
            message
            == "Shop: --rate: '0..50/10s' is not accepted; a user has one rate; ramp with users"
        )

    @pytest.mark.parametrize("wait_time", [between(1, 2), constant(0)])
    def test_of_a_rate_do_not_go_with_a_wait_time(self, wait_time: Callable[[User], float]) -> None:
        message = refusal_of(user_class(rate=5, wait_time=wait_time))
        assert message == "Shop: wait_time paces a closed loop; it does not go with rate"
        assert "wait_time" in refusal_of(user_class(wait_time=wait_time), "--rate-per-user", "5")


class TestSpelling:
    @pytest.mark.parametrize(
        ("wrong", "right"),
        [
            ("io_timeout", "io_timeout_s"),
            ("connect_timeout", "connect_timeout_s"),
            ("drain", "drain_s"),
            ("conections", "connections"),
            ("connection", "connections"),
            ("send_buffer", "send_buffer_bytes"),
            ("recieve_buffer_bytes", "receive_buffer_bytes"),
            ("paylods", "payloads"),
            ("first_mesage", "first_message"),
            ("time_stamps", "timestamps"),
            ("reconect", "reconnect"),
            ("pipelines", "pipeline"),
        ],
    )
    def test_is_corrected(self, wrong: str, right: str) -> None:
        message = refusal_of(user_class(SocketUser, **{wrong: 1}))
        assert message == f"Shop.{wrong} is not a plan's attribute; did you mean {right}?"

    def test_is_corrected_in_a_base_class_of_the_users_own(self) -> None:
        base = user_class(io_timeout=2.0, abstract=True)
        assert "Shop.io_timeout is not a plan's attribute" in refusal_of(user_class(base))

    @pytest.mark.parametrize(
        ("attribute", "value", "instead"),
        [
            ("target", "localhost:9999", "host"),
            ("duration_s", 10.0, "Locust's --run-time"),
            ("stages", "10s:5k", "a LoadTestShape"),
            ("think", "10ms", "wait_time"),
            ("think", constant(1), "wait_time"),
            ("warmup_s", 1.0, "Locust's --reset-stats"),
            ("rate_per_connection", 5, "rate, which is that of one user"),
            ("connect_rate_per_s", 5.0, "Locust's --spawn-rate"),
            ("pacing", "precise", "nothing"),
            ("probe", True, "a user class of fixed_count 1"),
            ("messages", 10, "Locust's --run-time"),
            ("checks", ("p99<5ms",), "Locust's own ways"),
        ],
    )
    @BOTH
    def test_of_an_attribute_without_effect_is_refused(
        self, base: type[User], attribute: str, value: Any, instead: str
    ) -> None:
        message = refusal_of(user_class(base, **{attribute: value}))
        assert message.startswith(
            f"Shop.{attribute} is a plan's attribute that has no effect here; use "
        )
        assert f"use {instead}" in message

    @pytest.mark.parametrize(
        ("attribute", "value"),
        [
            ("payloads", (b"ping",)),
            ("pipeline", 2),
            ("connections", 2),
            ("rate", 5.0),
            ("verify", True),
        ],
    )
    def test_of_an_attribute_without_effect_for_scripts_is_refused(
        self, attribute: str, value: Any
    ) -> None:
        message = refusal_of(user_class(ScriptedSocketUser, **{attribute: value}))
        assert message == (
            f"Shop.{attribute} is a plan's attribute that has no effect here; use a SocketUser"
        )


Item = TypeVar("Item")


class Catalogue(Generic[Item]):
    """A mixin of a Locust file's users."""

    items: ClassVar[list[Any]] = []
    currency: str = "EUR"

    def pick(self) -> Item:
        raise NotImplementedError


class Ordinary:
    """What user classes have beside the attributes of a plan."""

    weight = 3
    fixed_count = 2
    host = "tcp://127.0.0.1:9999"
    name = "shop"
    request_events = False
    wait_time = between(1, 2)
    timeout = 5
    counter = 0
    token: bytes | None = None
    Item = dict
    annotated: int

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)  # type: ignore[call-arg]
        self.basket: list[str] = []

    def on_start(self) -> None:
        self.connect()

    def on_stop(self) -> None:
        pass

    def connect(self) -> None:
        """Similar to reconnect, and a method."""

    def connection(self) -> None:
        """Similar to connections."""

    def timestamp(self) -> float:
        return 0.0

    @property
    def seeds(self) -> int:
        return 1

    @staticmethod
    def replies(text: str) -> str:
        return text

    @classmethod
    def rates(cls) -> None:
        pass

    @tag("slow")
    @task(3)
    def buy(self) -> None:
        pass


class TestOrdinaryClasses:
    @BOTH
    def test_are_accepted(self, base: type[User]) -> None:
        ordinary = {name: value for name, value in vars(Ordinary).items() if name[:7] != "__dict_"}
        ordinary.pop("__weakref__", None)
        if base is SocketUser:
            ordinary = {
                name: value
                for name, value in ordinary.items()
                if name != "tasks" and not hasattr(value, "locust_task_weight")
            }
        assert plan_of(user_class(base, **ordinary)).reconnect

    def test_that_are_declarative_have_no_tasks_of_their_own(self) -> None:
        @task
        def buy(self: Any) -> None: ...

        with pytest.raises(UsageError, match="use a ScriptedSocketUser"):
            plan_of(user_class(buy=buy))

    @BOTH
    def test_may_be_mixed_with_others(self, base: type[User]) -> None:
        made = types.new_class(
            "Shop", (Catalogue[bytes], base), exec_body=lambda body: body.update(tasks=[])
        )
        assert plan_of(made).reconnect

    def test_may_make_their_messages(self) -> None:
        def payload(self: Any) -> bytes:
            return b"ping"

        plan = plan_of(user_class(payload=payload))
        assert plan.payloads == (MadePayload("Shop.payload"),)

    def test_may_have_a_script_with_a_method_for_its_messages(self) -> None:
        def payload(self: Any) -> bytes:
            return b"ping"

        plan = plan_of(user_class(ScriptedSocketUser, payload=payload))
        assert plan.payloads == (MadePayload("Shop.tasks"),)

    def test_of_locust_alone_are_not_checked(self) -> None:
        class Plain(User):
            conections = 5

            @task
            def rest(self) -> None:
                pass

        assert LocalRun(Plain).environment.user_classes == [Plain]


class TestCommandLine:
    @pytest.mark.parametrize(
        ("given", "attribute", "value"),
        [
            (("--backend", "epoll"), "backend", "epoll"),
            (("--engine", "python"), "engine", "python"),
            (("--reply", r"delimiter:\n"), "reply", r"delimiter:\n"),
            (("--payload", r"PING\r\n"), "payloads", (b"PING\r\n",)),
            (("--size", "1k"), "payloads", (SizePayload(1024),)),
            (("--connections-per-user", "1k"), "connections", 1000),
            (("--pipeline", "4"), "pipeline", 4),
            (("--rate-per-user", "2.5k"), "rate", "2.5k"),
            (("--timestamps", "user"), "timestamps", "user"),
            (("--io-timeout", "250ms"), "io_timeout_s", 0.25),
            (("--reply-timeout", "2s"), "reply_timeout_s", 2.0),
            (("--max-reply", "1k"), "max_reply_bytes", 1024),
        ],
    )
    def test_overrides_the_class(self, given: tuple[str, ...], attribute: str, value: Any) -> None:
        made = user_class(
            connections=7, pipeline=2, io_timeout_s=9.0, payloads=(b"x",), reply="fixed:3"
        )
        unchanged = plan_of(made)
        plan = plan_of(made, *given)
        assert getattr(plan, attribute) == value
        for other in set(ATTRIBUTES) - {attribute}:
            assert getattr(plan, other) == getattr(unchanged, other)

    def test_without_options_changes_nothing(self) -> None:
        assert arguments.overrides(NO_OPTIONS) == {}
        assert arguments.overrides(None) == {}
        assert CommandLine.of(NO_OPTIONS) == CommandLine(expected_workers=1)
        assert CommandLine.of(None) == CommandLine()

    def test_ignores_for_scripts_what_does_not_apply(self) -> None:
        given = ("--payload", "x", "--pipeline", "3", "--rate-per-user", "5")
        plan = plan_of(user_class(ScriptedSocketUser), *given, "--io-timeout", "2s")
        assert (plan.pipeline, plan.rate, plan.io_timeout_s) == (1, None, 2.0)
        assert plan.payloads == (MadePayload("Shop.tasks"),)

    def test_scripts_have_a_reply_timeout_by_default(self) -> None:
        assert plan_of(user_class()).reply_timeout_s is None
        assert plan_of(user_class(ScriptedSocketUser)).reply_timeout_s == 30.0
        assert plan_of(user_class(ScriptedSocketUser, reply_timeout_s=None)).reply_timeout_s is None
        given = ("--reply-timeout", "2s")
        assert plan_of(user_class(ScriptedSocketUser), *given).reply_timeout_s == 2.0

    def test_cannot_give_both_payload_and_size(self) -> None:
        message = refusal_of(user_class(), "--payload", "x", "--size", "64")
        assert message == "--payload and --size both say what to send; give one"

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (("--size", "big"), "--size: 'big' is not accepted; write a number of bytes"),
            (("--payload", r"\q"), r"--payload: '\\q' is not accepted; "),
            (("--connections-per-user", "1.5"), "--connections-per-user: '1.5' is not accepted;"),
            (("--connections-per-user", "0"), "Shop: --connections: 0 is not accepted"),
            (("--pipeline", "x"), "--pipeline: 'x' is not accepted; write a whole number"),
            (("--io-timeout", "soon"), "--io-timeout: 'soon' is not accepted; write a duration"),
            (("--reply-timeout", "x"), "--reply-timeout: 'x' is not accepted; write a duration"),
            (("--reply-timeout", "0"), "Shop: --reply-timeout: 0.0 is not accepted"),
            (("--max-reply", "big"), "--max-reply: 'big' is not accepted; write a number of bytes"),
            (("--max-reply", "0"), "Shop: --max-reply: 0 is not accepted"),
            (("--io-timeout", "0"), "Shop: --io-timeout: 0.0 is not accepted"),
            (("--rate-per-user", "x"), "Shop: --rate: 'x' is not accepted; "),
            (("--rate-per-user", "0..9/5s"), "Shop: --rate: '0..9/5s' is not accepted; a user has"),
            (("--backend", "poll"), "Shop: --backend: 'poll' is not accepted; inside Locust"),
            (("--reply", "lines"), "Shop: --reply: 'lines' is not accepted; write"),
            (("--timestamps", "x"), "Shop: --timestamps: 'x' is not accepted; choose one of"),
        ],
    )
    def test_says_which_value_is_wrong_and_what_is_accepted(
        self, given: tuple[str, ...], message: str
    ) -> None:
        assert refusal_of(user_class(), *given).startswith(message)

    @pytest.mark.parametrize("where", ["nowhere/run.json", "."])
    def test_refuses_a_record_that_cannot_be_written(self, where: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / where)
            with pytest.raises(UsageError) as caught:
                CommandLine.of(options("--loadgen-json", path)).check()
            assert str(caught.value) == (
                f"--loadgen-json: {path!r} is not accepted; name a file in a folder that exists"
            )
            good = Path(folder) / "run.json"
            command_line = CommandLine.of(options("--loadgen-json", str(good)))
            command_line.check()
            assert list(Path(folder).iterdir()) == []
            assert command_line.record_file == good

    def test_decides_on_files_only_once(self) -> None:
        chosen = options("--loadgen-json", "/a/run.json", "--csv", "/a/run", "--headless")
        command_line = CommandLine.of(chosen)
        vars(chosen).update(loadgen_json="/etc/x", csv_prefix="/etc/x", headless=False)
        assert command_line == CommandLine(
            record_file=Path("/a/run.json"),
            csv_file=Path("/a/run_stats.csv"),
            is_headless=True,
            expected_workers=1,
        )

    def test_is_shown_in_the_web_form_too_but_for_the_file(self) -> None:
        shown = ui_extra_args_dict([])
        for _, option in arguments.options_of():
            assert option.name.removeprefix("--").replace("-", "_") in shown
        assert "loadgen_json" not in shown

    @pytest.mark.parametrize(
        ("attributes", "given"),
        [({"conections": 1}, ""), ({}, "--io-timeout soon"), ({"rate": -1}, "")],
    )
    def test_ends_locust_with_one_line_before_anything_starts(
        self, attributes: dict[str, Any], given: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.ERROR, "loadgen.locust")
        with pytest.raises(SystemExit) as caught:
            LocalRun(user_class(**attributes), arguments=given)
        assert caught.value.code == 2
        [record] = caplog.records
        assert record.levelname == "ERROR"
        assert "Shop" in record.getMessage() or "--io-timeout" in record.getMessage()


class TestHost:
    def test_is_needed(self) -> None:
        with pytest.raises(UsageError, match="Shop has no host; give --host tcp://host:port"):
            user_class().work(NO_OPTIONS)

    @pytest.mark.parametrize(
        ("host", "target"),
        [
            ("tcp://127.0.0.1:9999", "127.0.0.1:9999"),
            ("localhost:80", "localhost:80"),
            ("tcp://[::1]:7", "[::1]:7"),
            ("unix:///run/x", "unix:///run/x"),
        ],
    )
    def test_is_a_target(self, host: str, target: str) -> None:
        work = user_class(host=host).work(NO_OPTIONS)
        assert str(work.target) == target
        assert (work.user_class, work.name) == ("Shop", "Shop")

    @pytest.mark.parametrize("host", ["ftp://localhost", "localhost", "tcp://", "unix://"])
    def test_that_is_invalid_is_refused(self, host: str) -> None:
        with pytest.raises(UsageError):
            user_class(host=host).work(NO_OPTIONS)

    def test_and_a_name_are_what_locust_lists(self) -> None:
        assert user_class(host="h:1", name="shop").work(NO_OPTIONS).name == "shop"


class TestOneMoreField:
    """Of a plan: it is declared once (tests/plan/test_options.py)."""

    def test_is_an_attribute_of_a_user_class(self) -> None:
        attributes = attributes_of(LongerPlan)
        made = user_class(probe_rate_per_s=5.0)
        plan: Any = user_attributes.plan_of(made, attributes, {}, LongerPlan)
        assert plan.probe_rate_per_s == 5
        wrong = user_class(prob_rate_per_s=5.0)
        with pytest.raises(UsageError, match=r"did you mean probe_rate_per_s\?"):
            user_attributes.plan_of(wrong, attributes, {}, LongerPlan)

    def test_is_no_attribute_where_something_is_used_instead(self) -> None:
        attributes = attributes_of(LongestPlan)
        with pytest.raises(UsageError, match="has no effect here; use trust"):
            user_attributes.plan_of(user_class(is_trusting=True), attributes, {}, LongestPlan)

    def test_is_an_option_of_locust_and_of_its_form(self) -> None:
        parser = LocustArgumentParser()
        arguments.add_to(parser, LongerPlan)
        assert "probe_rate" in parser.args_included_in_web_ui
        chosen = parser.parse_args(["--probe-rate", "2.5k"])
        assert arguments.overrides(chosen, LongerPlan) == {"probe_rate_per_s": 2500.0}
        chosen = parser.parse_args(["--probe-rate", "fast"])
        with pytest.raises(UsageError, match="--probe-rate: 'fast' is not accepted; write a numb"):
            arguments.overrides(chosen, LongerPlan)

    def test_may_be_a_flag_or_one_of_several_values(self) -> None:
        parser = LocustArgumentParser()
        arguments.add_to(parser, LongestPlan)
        assert {"header", "trusting"} < parser.args_included_in_web_ui.keys()
        assert arguments.overrides(parser.parse_args([]), LongestPlan) == {}
        chosen = parser.parse_args(["--header", "a: 1", "--trusting"])
        assert arguments.overrides(chosen, LongestPlan) == {
            "headers": ("a: 1",),
            "is_trusting": True,
        }
