"""The table of options: a field of a Plan says once what it is, and all else is made of that."""

import math
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from longer_plan import LongerPlan, LongestPlan

from bench import option_tables
from loadgen.cli.run_options import fields_of_run, new_parser, plan_of
from loadgen.errors import LoadgenBug, UsageError
from loadgen.net import backends
from loadgen.plan import Plan
from loadgen.plan.kinds import YES, count, text
from loadgen.plan.load import LOAD
from loadgen.plan.options import COMMAND, Choices, Field, Group, Option, Range, fields_of
from loadgen.units import parse_duration_s, parse_escapes, write_duration_s, write_escapes
from reports.repeat_command import command_of

ROOT = Path(__file__).parents[2]


def parsed(plan_class: type[Plan], *words: str) -> Any:
    return plan_of(new_parser(plan_class).parse_args(list(words)), plan_class)


def refusal_of(plan_class: type[Plan], **values: Any) -> str:
    with pytest.raises(UsageError) as refusal:
        plan_class(**values)
    return str(refusal.value)


class TestOneMoreField:
    def test_is_in_the_help_with_its_default(self) -> None:
        text = " ".join(new_parser(LongerPlan).format_help().split())
        assert "--probe-rate RATE probes per second (default 3)" in text
        assert "--probe-rate" not in new_parser().format_help()

    def test_reaches_the_plan(self) -> None:
        assert parsed(LongerPlan, "--probe-rate", "2.5k").probe_rate_per_s == 2500
        assert parsed(LongerPlan).probe_rate_per_s == 3

    def test_is_read_as_its_kind_is(self) -> None:
        with pytest.raises(UsageError, match="--probe-rate: 'fast' is not accepted; write a"):
            parsed(LongerPlan, "--probe-rate", "fast")

    def test_is_checked_with_the_name_of_its_option(self) -> None:
        refusal = refusal_of(LongerPlan, probe_rate_per_s=0.0)
        assert refusal.startswith("--probe-rate: 0.0 is not accepted; it must be more than 0")
        assert refusal_of(LongerPlan, probe_rate_per_s="3").startswith("--probe-rate: Expected")

    def test_is_in_the_command_that_repeats_a_run(self) -> None:
        words = command_of(LongerPlan(target="localhost:1", probe_rate_per_s=0.000002))
        assert words is not None
        assert words[-2:] == ["--probe-rate", "0.000002"]
        assert "--probe-rate" not in (command_of(LongerPlan(target="localhost:1")) or ())

    def test_is_in_the_documents(self) -> None:
        assert "`--probe-rate RATE` (3)" in option_tables.options_of_run(LongerPlan)
        assert "| `--probe-rate RATE` | probes per second |" in option_tables.options_in_locust(
            LongerPlan
        )
        assert "`probe_rate_per_s`" in option_tables.attributes(LongerPlan)


class TestEveryShapeOfField:
    @pytest.mark.parametrize(
        ("line", "fields"),
        [
            ("-N a:1 --note 'b: 2'", {"notes": ("a:1", "b: 2")}),
            ("--note=--x", {"notes": ("--x",)}),
            ("--way PUT", {"way": "PUT"}),
            (r"--rest 'a\r\n'", {"rest": b"a\r\n"}),
            (r"--raw --rest 'a\r' --payload-lines f", {"rest": rb"a\r"}),
            ("--notes-file notes.txt", {"notes_file": "notes.txt"}),
            ("--no-trusting", {"is_trusting": False}),
            ("", {"is_trusting": True, "notes": (), "rest": None}),
        ],
    )
    def test_is_read_and_written_again(self, line: str, fields: dict[str, Any]) -> None:
        plan = parsed(LongestPlan, *shlex.split(line))
        assert {name: getattr(plan, name) for name in fields} == fields
        words = command_of(plan)
        assert words is not None
        assert parsed(LongestPlan, *words[1:]) == plan

    def test_is_refused_with_its_option(self) -> None:
        assert refusal_of(LongestPlan, way="POST") == (
            "--way: 'POST' is not accepted; choose one of GET, PUT"
        )
        assert refusal_of(LongestPlan, notes=("a", 5)).startswith("--note: Expected `str`")

    def test_excludes_its_other_flag(self) -> None:
        with pytest.raises(UsageError, match="--no-trusting: not allowed with argument --trusting"):
            parsed(LongestPlan, "--trusting", "--no-trusting")

    def test_says_in_the_help_what_may_be_repeated_and_chosen(self) -> None:
        text = " ".join(new_parser(LongestPlan).format_help().split())
        assert "-N LINE, --note LINE a note (repeatable)" in text
        assert "--way NAME the way: GET, PUT (default GET)" in text


class WithoutDefault(Plan, frozen=True, kw_only=True):
    words: Annotated[list[str], LOAD, Option("--word", text("W"), "a word")] = msgspec.field(
        default_factory=list
    )


class WithTwoNothings(Plan, frozen=True, kw_only=True):
    depth: Annotated[int | None, LOAD, Option("--depth", count(), "a depth")] = 5


class NeverOff(Plan, frozen=True, kw_only=True):
    trusting: Annotated[bool, LOAD, Option("--trusting", YES, "trust")] = True


@pytest.mark.parametrize("owner", [WithoutDefault, WithTwoNothings, NeverOff])
def test_a_field_whose_values_cannot_all_be_given_is_refused(owner: type[Plan]) -> None:
    with pytest.raises(LoadgenBug):
        fields_of(owner)


class TestTable:
    def test_holds_every_field_of_a_plan(self) -> None:
        assert [field.name for field in fields_of(Plan)] == list(Plan.__struct_fields__)

    def test_has_no_spelling_twice(self) -> None:
        spellings = [
            spelling
            for field in fields_of_run()
            for option in field.options_of(COMMAND)
            for spelling in option.spellings
        ]
        assert sorted(spellings) == sorted(set(spellings))

    def test_has_the_documents_made_of_it(self) -> None:
        """``python -m bench option_tables`` renews them."""
        for name in option_tables.DOCUMENTS:
            document = (ROOT / name).read_text(encoding="utf-8")
            assert option_tables.renewed(document) == document
            assert "made by bench.option_tables" in document

    def test_describes_the_plan(self) -> None:
        text = " ".join((Plan.__doc__ or "").split())
        assert (
            "connect_timeout_s = 3.5: longest time for one connection to come up (default 3.5s)"
            in text
        )

    @pytest.mark.parametrize("field", fields_of(Plan), ids=lambda field: field.name)
    def test_reads_what_it_writes(self, field: Field) -> None:
        """Of each default, and of each choice."""
        for option, value in [*field.each(field.default), *_choices(field)]:
            kind = option.kind
            if kind.write is not None and kind.constant is None:
                assert kind.read(kind.write(value)) == value


def _choices(field: Field) -> Iterator[tuple[Option, str]]:
    for option in field.options:
        yield from ((option, name) for name in option.choices)


class TestAccepted:
    @pytest.mark.parametrize(
        ("value", "why_not"), [(1, ""), (5, ""), (0, "low"), (6, "high"), (math.nan, "low")]
    )
    def test_are_numbers_within_a_range(self, value: float, why_not: str) -> None:
        assert Range(1, 5, "low", "high").why_not(value) == why_not

    def test_are_the_names_that_may_be_chosen(self) -> None:
        assert Choices(backends.NAMES).why_not("epoll") == ""
        assert Choices(("a", "b"), ", or 5").why_not("c") == "choose one of a, b, or 5"

    def test_is_one_option_of_those_that_say_the_same(self) -> None:
        Group("load", "how much to send").check_one(["--rate"])
        with pytest.raises(UsageError, match="--a and --b both say how much to send; give one"):
            Group("load", "how much to send").check_one(["--a", "--b", "--c"])


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 2.5e-7, 0.5, 1.0, 3.5, 1 / 3, 90.0, 31536000.0])
def test_a_duration_is_read_as_it_is_written(seconds: float) -> None:
    assert parse_duration_s(write_duration_s(seconds)) == seconds


def test_bytes_are_read_as_they_are_written() -> None:
    content = bytes(range(256)) + rb"\x00\n"
    assert parse_escapes(write_escapes(content)) == content
    assert write_escapes(content).isascii()
    assert write_escapes(content).isprintable()
