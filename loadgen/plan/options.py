"""One table of options: what each field of a Plan says of itself, once, where it stands.

The annotation of a field holds its `Group`, and an `Option` for each way to give it; the default of
the field is its only default. All else is made of that: the parser of ``loadgen run`` and its help
(`loadgen.cli.parser`), the checks of values (`check_values`), the options and attributes inside
Locust (`loadgen.locust.arguments`, `loadgen.locust.user_attributes`), the command that repeats a
run (`reports.repeat_command`), the tables of the documents (`bench.option_tables`). A new option is
one more field, such as

    probe_rate_per_s: Annotated[float, LOAD, Option("--probe-rate", RATE, "probes a second")] = 3.0
"""

import enum
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from types import UnionType
from typing import Any, Final, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from loadgen.errors import LoadgenBug, UsageError


class Group(NamedTuple):
    """Options that belong together; all that are given there say ``what``, such as what to send."""

    title: str
    what: str

    def check_one(self, given: Sequence[str]) -> None:
        """Raise UsageError if more than one of the options ``given`` says it."""
        if len(given) > 1:
            raise UsageError(f"{given[0]} and {given[1]} both say {self.what}; give one")


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from ``least`` to ``most``, both included; the texts say what is accepted."""

    least: float
    most: float
    accepted: str
    accepted_at_most: str = ""
    """For a number above ``most``; the same text if empty."""

    def why_not(self, value: Any) -> str:
        """Return what is accepted; empty if ``value`` is. NaN is not."""
        if self.least <= value <= self.most:
            return ""
        return (self.accepted_at_most if value > self.most else "") or self.accepted


@dataclass(frozen=True, slots=True)
class Choices:
    """Texts of which one is to be chosen; ``otherwise`` is what may be given instead."""

    names: tuple[str, ...]
    otherwise: str = ""

    def why_not(self, value: Any) -> str:
        """Return what is accepted; empty if ``value`` is."""
        if value in self.names:
            return ""
        return f"choose one of {', '.join(self.names)}{self.otherwise}"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of values: how text is read as one, how one is written as text, what is accepted."""

    metavar: str
    """Empty: there is no text; the option itself stands for ``constant``."""
    read: Callable[[str], Any] = str
    """Raises ValueError, with the accepted forms as its text."""
    write: Callable[[Any], str] | None = str
    """The inverse of ``read``. None: a value means nothing to a later run."""
    _: KW_ONLY
    accepts: Range | Choices | None = None
    makes: type | UnionType = object
    """The values of a field that are of this kind, where a field has several."""
    constant: bool | None = None
    raw: "Kind | None" = None
    """How backslashes are taken literally, where there may be escapes."""

    def holds(self, value: object) -> bool:
        """Return whether ``value`` is of this kind."""
        return isinstance(value, self.makes) and (self.constant is None or value is self.constant)


class Place(enum.Flag):
    """Where an option is to be given."""

    COMMAND = enum.auto()
    """``loadgen run``."""
    LOCUST = enum.auto()
    """Locust's command line and start form."""


COMMAND: Final = Place.COMMAND
LOCUST: Final = Place.LOCUST
EVERYWHERE: Final = COMMAND | LOCUST


@dataclass(frozen=True, slots=True)
class Option:
    """One way to give a field.

    spelling: ``-c/--connections/--conns``, or the metavar of what is given by its position.
    default_note: why the default is what it is, or what it means where it is None.
    """

    spelling: str
    kind: Kind
    help: str
    _: KW_ONLY
    default_note: str = ""
    place: Place = COMMAND

    @property
    def spellings(self) -> list[str]:
        """All its spellings, the one that is used in commands first."""
        return self.spelling.split("/")

    @property
    def name(self) -> str:
        """The spelling that stands in messages, and is a word: ``--connections``."""
        return next((each for each in self.spellings if each.startswith("--")), self.spelling)

    @property
    def is_positional(self) -> bool:
        """Whether it is given by its position."""
        return not self.spelling.startswith("-")

    @property
    def is_flag(self) -> bool:
        """Whether it is given without a value."""
        return self.kind.constant is not None

    @property
    def choices(self) -> tuple[str, ...]:
        """The texts of which one is to be chosen, if so."""
        return self.kind.accepts.names if isinstance(self.kind.accepts, Choices) else ()

    @property
    def about(self) -> str:
        """Its help, with the choices if there are any."""
        return f"{self.help}: {', '.join(self.choices)}" if self.choices else self.help

    def words(self, value: Any, raw: bool = False) -> tuple[str, ...]:
        """Return the words that give ``value``; none where it means nothing to a later run."""
        kind = self.kind.raw if raw and self.kind.raw else self.kind
        if self.is_flag:
            return (self.spellings[0],)
        if kind.write is None:
            return ()
        text = kind.write(value)
        # One word, where the value would be taken for an option.
        return (f"{self.name}={text}",) if text.startswith("-") else (self.spellings[0], text)


@dataclass(frozen=True, slots=True)
class InLocust:
    """What a field is in Locust, where a plan describes one user: an attribute of its class.

    instead: what Locust has instead. in_scripts: whether it applies where a script decides what is
    sent, and when.
    """

    instead: str = ""
    in_scripts: bool = True


_ATTRIBUTE: Final = InLocust()
DECLARED: Final = InLocust(in_scripts=False)
"""Of a field that a SocketUser declares, and a script decides by itself."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a plan, or a choice of a command: its options, and its default.

    is_repeated: each of its options may be given several times, and adds a value; so it is where
    the field is a tuple.
    """

    name: str
    group: Group
    options: tuple[Option, ...]
    default: Any = None
    is_repeated: bool = False
    in_locust: InLocust = _ATTRIBUTE

    @property
    def option(self) -> str:
        """The name of its first option, which stands in messages."""
        return self.options[0].name

    @property
    def is_attribute(self) -> bool:
        """Whether it is an attribute of a SocketUser."""
        return not self.in_locust.instead

    @property
    def is_attribute_of_scripts(self) -> bool:
        """Whether it is an attribute of a ScriptedSocketUser, too."""
        return self.is_attribute and self.in_locust.in_scripts

    def options_of(self, place: Place) -> tuple[Option, ...]:
        """Return its options that are to be given at ``place``."""
        return tuple(option for option in self.options if place in option.place)

    def each(self, value: Any) -> Iterator[tuple[Option, Any]]:
        """Yield the values that ``value`` of the field consists of, each with its option."""
        for each in value if self.is_repeated else (value,):
            fitting = [option for option in self.options if option.kind.holds(each)]
            if fitting and each is not None:
                yield fitting[0], each

    def words(self, value: Any, raw: bool = False) -> Iterator[str]:
        """Yield the words of a command that give ``value``."""
        for option, each in self.each(value):
            yield from option.words(each, raw)

    def default_text(self, option: Option) -> str:
        """Return the default as ``option`` would give it; empty if it does not."""
        write = option.kind.write
        if option.is_flag or write is None:
            return ""
        texts = [write(value) for each, value in self.each(self.default) if each == option]
        return ", ".join(filter(None, texts))

    def help(self, option: Option) -> str:
        """Return what ``option`` is about, with the default."""
        default = f"default {self.default_text(option)}".strip()
        facts = [f"{default}: {option.default_note}" if option.default_note else default]
        if facts == ["default"]:
            facts.clear()
        if self.is_repeated:
            facts.append("repeatable")
        return f"{option.about} ({'; '.join(facts)})" if facts else option.about


def fields_in(group: Group, *options: Option) -> tuple[Field, ...]:
    """Return choices of a command, each with one of ``options``, whose name it has."""
    return tuple(
        Field(
            name=option.name.removeprefix("--").replace("-", "_"),
            group=group,
            options=(option,),
            default=False if option.is_flag else None,
        )
        for option in options
    )


@functools.cache
def fields_of(owner: type[msgspec.Struct]) -> tuple[Field, ...]:
    """Return the table of ``owner``: the fields whose annotations hold an `Option`, in order."""
    defaults = {each.name: each.default for each in msgspec.structs.fields(owner)}
    found = []
    for name, hint in _types(owner).items():
        notes = getattr(hint, "__metadata__", ())
        options = tuple(note for note in notes if isinstance(note, Option))
        if options:
            is_repeated = get_origin(hint.__origin__) is tuple
            group = next(note for note in notes if isinstance(note, Group))
            in_locust = next((note for note in notes if isinstance(note, InLocust)), _ATTRIBUTE)
            field = Field(name, group, options, defaults[name], is_repeated, in_locust)
            _check_shape(field, hint)
            found.append(field)
    return tuple(found)


def _check_shape(field: Field, hint: Any) -> None:
    """Raise LoadgenBug if not every value of ``field`` can be given by its options."""
    default, accepts_none = field.default, type(None) in get_args(hint.__origin__)
    if default is msgspec.NODEFAULT:
        raise LoadgenBug(f"{field.name}: an option has a default, and a tuple is one that repeats")
    if accepts_none and default is not None:
        raise LoadgenBug(f"{field.name}: only a default of None means that nothing was given")
    constants = {option.kind.constant for option in field.options}
    if default is True and False not in constants:
        raise LoadgenBug(f"{field.name}: no option says that it is off")


@functools.cache
def _types(owner: type[msgspec.Struct]) -> dict[str, Any]:
    return get_type_hints(owner, include_extras=True)


def check_values(plan: msgspec.Struct) -> None:
    """Raise UsageError for a value of a wrong type, or one that its option does not accept."""
    types, fields = _types(type(plan)), fields_of(type(plan))
    for field in fields:
        try:
            msgspec.convert(getattr(plan, field.name), types[field.name], builtin_types=(bytes,))
        except msgspec.ValidationError as error:
            raise UsageError(f"{field.option}: {error}") from None
    for field in fields:
        for option, value in field.each(getattr(plan, field.name)):
            accepted = option.kind.accepts.why_not(value) if option.kind.accepts else ""
            if accepted:
                raise UsageError.of(option.name, value, accepted)
