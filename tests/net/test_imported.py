"""Framings of a user's own: found when they are used, from where `python -m` would find them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from accounts import check, failures
from servers import ScriptedServer, answers_each

import loadgen
from loadgen.errors import UsageError
from loadgen.net import protocols
from loadgen.results.record import from_json

THREES = """
from loadgen import BaseDecoder, BaseFraming


class Threes(BaseFraming):
    def __init__(self, max_reply_bytes=0):
        self.max_reply_bytes = max_reply_bytes

    def decoder(self):
        return Decoder()


class Decoder(BaseDecoder):
    have_bytes = 0

    def feed(self, view):
        replies, self.have_bytes = divmod(self.have_bytes + len(view), 3)
        self.partial = self.have_bytes > 0
        return replies


threes = Threes(5)


class Parts:
    one_way = False


class NeedsMore:
    def __init__(self, much):
        pass
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, with a module of framings, and one that is broken."""
    (tmp_path / "of_threes.py").write_text(THREES, encoding="utf-8")
    (tmp_path / "broken_module.py").write_text("1 / 0\n", encoding="utf-8")
    (tmp_path / "needs_another.py").write_text("import no_such_module\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    yield tmp_path
    for name in ("of_threes", "broken_module", "needs_another"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("folder")
def test_a_class_is_called_with_the_limit_if_it_takes_one_and_a_framing_is_taken_as_it_is() -> None:
    made = protocols.parse("of_threes:Threes", 99)
    assert made.max_reply_bytes == 99  # type: ignore[attr-defined]
    assert protocols.parse("of_threes:threes", 99).max_reply_bytes == 5  # type: ignore[attr-defined]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("form", "what"),
    [
        ("no_such_thing:Threes", "there is no module no_such_thing in the working directory, or"),
        ("of_threes:Fours", "there is no Fours in of_threes"),
        ("of_threes:Threes.four", "there is no four in of_threes"),
        ("of_threes:Parts", "it has no needs_messages, as a framing has; derive it from loadgen"),
        ("of_threes:NeedsMore", "it cannot be made: .TypeError"),
        (
            "broken_module:Threes",
            "module broken_module cannot be imported: .ZeroDivisionError",
        ),
        ("needs_another:Threes", "module needs_another needs another one: .ModuleNotFoundError"),
        ("threes", r"write echo, fixed:N, .* or module:Class of your own"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(form: str, what: str) -> None:
    plan = loadgen.Plan(target="localhost:1", reply=form)
    with pytest.raises(UsageError, match=f"--reply: '{form}' is not accepted; {what}") as error:
        plan.framing()
    assert "\n" not in str(error.value)


def test_a_record_of_another_machine_is_read_without_it() -> None:
    plan = loadgen.Plan(target="localhost:1", reply="elsewhere.only:Framing", greeting="elsewhere")
    assert msgspec.json.decode(msgspec.json.encode(plan), type=loadgen.Plan) == plan
    assert "elsewhere" not in sys.modules


def test_the_command_finds_it_in_the_working_directory(folder: Path) -> None:
    with ScriptedServer(answers_each(2, b"abc")) as server:
        command = ["-c", "from loadgen.cli import main; raise SystemExit(main())"]
        options = [
            "--payload",
            "hi",
            "--reply",
            "of_threes:Threes",
            "-n",
            "5",
            "-c",
            "2",
            "--probe",
        ]
        child = subprocess.run(
            [sys.executable, "-P", *command, server.address, *options, "--json", "r.json"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert child.returncode == 0, child.stderr
    record = from_json((folder / "r.json").read_bytes())
    check(record)
    assert failures(record) == {}
    assert record.actual.messages == 10


def test_an_entry_point_gives_it_a_name(folder: Path) -> None:
    installed = folder / "threes-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Name: threes\nVersion: 1.0\n", encoding="utf-8")
    (installed / "entry_points.txt").write_text(
        "[loadgen.protocols]\nin-threes = of_threes:Threes\n", encoding="utf-8"
    )
    sys.path.insert(0, str(folder))
    assert protocols.parse("in-threes", 7).max_reply_bytes == 7  # type: ignore[attr-defined]
