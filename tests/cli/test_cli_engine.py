"""Which engine carries out a run, by the option, the machine, and what was installed."""

import importlib.metadata
import re
import selectors
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import ROOT, Ended, check_refused, loadgen_here, redirected
from native_build import MODULES, build, with_plain
from optional import NEEDS_NATIVE, without_native
from servers import ScriptedServer, echoes

from loadgen.cli import versions
from loadgen.engine import native
from loadgen.net import backends
from loadgen.server.embedded import EmbeddedServer

Capture = pytest.CaptureFixture[str]

MISSING = "the native module was not compiled when loadgen was installed"
NAMES = {"native": "native engine", "python": "Python engine"}
RUN = ("-c", "2", "-n", "5", "--json", "-")


@pytest.fixture
def target() -> Iterator[str]:
    with ScriptedServer(echoes) as server:
        yield server.address


def in_one_line(text: str) -> str:
    return " ".join(text.split())


def check_engine(done: Ended, engine: str, why_python: str = "") -> None:
    """Check that the run is right, and that record and summary name its engine, and why."""
    assert done.code == 0, done.stderr
    record = done.record
    assert record.actual.messages == 10
    assert (record.engine, record.why_python) == (engine, why_python)
    why = f" ({why_python})" if why_python else ""
    heading = in_one_line(done.stderr.partition("\n\n")[0])
    assert heading.endswith(f", on {record.backend}, {NAMES[engine]}{why}")


# ---- where the native engine is there -----------------------------------------------------


@NEEDS_NATIVE
@pytest.mark.parametrize("engine", ["auto", "native"])
@pytest.mark.parametrize("backend", native.BACKENDS)
def test_is_native_on_each_backend(backend: str, engine: str, target: str, capfd: Capture) -> None:
    done = loadgen_here(capfd, target, *RUN, "--backend", backend, "--engine", engine)
    check_engine(done, "native")


@NEEDS_NATIVE
def test_nothing_else_is_needed_to_get_it(target: str, capfd: Capture) -> None:
    check_engine(loadgen_here(capfd, target, *RUN), "native")


def test_is_python_where_that_is_asked_for_and_no_reason_is_given(
    target: str, capfd: Capture
) -> None:
    check_engine(loadgen_here(capfd, target, *RUN, "--engine", "python"), "python")


@pytest.mark.parametrize("engine", ["python", pytest.param("native", marks=NEEDS_NATIVE)])
def test_a_table_of_backends_says_in_its_title_which_engine_they_have(
    engine: str, target: str, capfd: Capture
) -> None:
    grid = ("--backend", "poll,select", "-c", "1", "-n", "5", "--rounds", "1", "--engine", engine)
    said = loadgen_here(capfd, target, *grid).stdout
    assert f"1 in flight per connection, {NAMES[engine]}\n" in said
    assert said.count("engine") == 1


# ---- where it cannot be had ---------------------------------------------------------------


def test_without_the_module_a_run_says_once_that_it_is_in_python(
    target: str, tmp_path: Path
) -> None:
    done = redirected("", target, *RUN, **without_native(tmp_path))
    check_engine(done, "python", MISSING)
    assert in_one_line(done.stderr).count(MISSING) == 1


def test_without_the_module_a_run_in_python_is_nothing_to_talk_about(
    target: str, tmp_path: Path
) -> None:
    done = redirected("", target, *RUN, "--engine", "python", **without_native(tmp_path))
    check_engine(done, "python")


def test_without_the_module_a_native_run_is_refused_before_it_begins(tmp_path: Path) -> None:
    with ScriptedServer(echoes) as server:
        hidden = without_native(tmp_path)
        done = redirected("", server.address, *RUN, "--engine", "native", **hidden)
    assert server.accepted == 0
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == (
        f"loadgen: --engine native: {MISSING}; install a C compiler and the headers of Python "
        "(python3-dev), then loadgen again, or choose auto or python\n"
    )


def test_without_the_module_a_table_of_backends_says_once_why(target: str, tmp_path: Path) -> None:
    grid = (target, "--backend", "poll,select", "-c", "2", "-d", "100ms", "--rounds", "1")
    done = redirected("", *grid, **without_native(tmp_path))
    assert done.code == 0, done.stderr
    assert in_one_line(done.stdout).count(f"(Python engine: {MISSING})") == 1


def test_modules_of_another_version_are_not_used_and_loadgen_says_so(
    target: str, tmp_path: Path
) -> None:
    """As after an update of a checkout in which they were not built anew."""
    why = "the native module belongs to another version of loadgen"
    for module in MODULES:
        build(module, tmp_path, "-DLOADGEN_INTERFACE=-1")
    former = with_plain(tmp_path)
    check_engine(redirected("", target, *RUN, **former), "python", why)
    said = details(redirected("", "--version", "-v", **former))
    assert said["engine"] == f"python: {why}"
    assert "server" not in said
    for words in ((target, *RUN), ("server", "--port", "0")):
        refused = redirected("", *words, "--engine", "native", **former)
        assert (refused.code, refused.stdout) == (2, "")
        assert f"--engine native: {why}; install loadgen again (in a checkout: make)" in (
            refused.stderr
        )
        assert len(refused.stderr.splitlines()) == 1


@NEEDS_NATIVE
def test_a_backend_without_native_code_is_served_in_python(
    target: str, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A platform that has devpoll(7d), as far as loadgen can see."""
    monkeypatch.setattr(selectors, "DevpollSelector", selectors.SelectSelector, raising=False)
    why = "there is no native code for devpoll"
    there = ("--backend", "devpoll")
    check_engine(loadgen_here(capfd, target, *RUN, *there), "python", why)
    refused = loadgen_here(capfd, target, *RUN, *there, "--engine", "native")
    assert (refused.code, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"loadgen: --engine native: {why}; choose --backend ")
    assert len(refused.stderr.splitlines()) == 1


@NEEDS_NATIVE
def test_a_table_of_backends_with_unlike_engines_has_none_in_its_title(
    target: str, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors, "DevpollSelector", selectors.SelectSelector, raising=False)
    grid = ("--backend", "poll,devpoll", "-c", "1", "-n", "5", "--rounds", "1")
    said = loadgen_here(capfd, target, *grid).stdout
    assert "1 in flight per connection\n" in said
    assert said.count("engine") == 1
    assert "(Python engine: there is no native code for devpoll)" in said


def test_sockets_that_are_looked_into_are_served_in_python(target: str, capfd: Capture) -> None:
    done = loadgen_here(capfd, target, *RUN, "--dump-one")
    assert done.code == 0
    assert done.record.engine == "python"
    assert "--dump-one" in done.record.why_python


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--engine", "fast"), ("--engine: 'fast'", "choose one of auto, native, python")),
        (("--engine", "native", "--dump-one"), ("--engine native: ", "--dump-one", "auto")),
    ],
    ids=["no-such-engine", "sockets-looked-into"],
)
def test_what_cannot_be_is_refused(
    options: tuple[str, ...], parts: tuple[str, ...], capfd: Capture
) -> None:
    check_refused(capfd, options, parts)


# ---- loadgen --version --verbose ----------------------------------------------------------


def details(done: Ended) -> dict[str, str]:
    """Return what stands beside each label, below the version."""
    version, *rows = done.stdout.splitlines()
    assert (done.code, done.stderr) == (0, "")
    assert re.fullmatch(r"loadgen \d+\.\d+\.\d+\S*", version)
    return dict(re.split(r" {2,}", row.strip(), maxsplit=1) for row in rows)


@pytest.mark.parametrize("words", [("--version", "-v"), ("--verbose", "--version")], ids=str)
def test_the_version_with_all_that_it_stands_on(words: tuple[str, ...], capfd: Capture) -> None:
    said = details(loadgen_here(capfd, *words))
    numpy = importlib.metadata.version("numpy")
    assert f"numpy {numpy}" in said["libraries"].split(", ")
    assert said["backends"].replace(" (auto)", "").split(", ") == list(backends.available())
    assert said["timestamps"].partition(": ")[0] in ("kernel", "user")
    assert {"Python", "system", "processor", "engine", "extras"} <= said.keys()


@NEEDS_NATIVE
def test_the_version_names_the_native_engine(capfd: Capture) -> None:
    assert details(loadgen_here(capfd, "--version", "-v"))["engine"] == "native"


def test_the_version_says_why_the_engine_is_python(tmp_path: Path) -> None:
    said = details(redirected("", "--version", "-v", **without_native(tmp_path)))
    assert said["engine"] == f"python: {MISSING}"
    assert "server" not in said


@NEEDS_NATIVE
def test_the_version_names_the_server_where_its_module_has_fared_otherwise(tmp_path: Path) -> None:
    hidden = without_native(tmp_path, ["loadgen.server._native"])
    said = details(redirected("", "--version", "-v", **hidden))
    assert (said["engine"], said["server"]) == ("native", f"python: {MISSING}")


def test_the_version_tells_an_extra_that_is_not_there(
    capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(versions.EXTRAS, "odd", ("no-such-distribution", "numpy"))
    said = details(loadgen_here(capfd, "--version", "-v"))
    numpy = importlib.metadata.version("numpy")
    assert said["extras"].endswith(f"; odd: numpy {numpy}, no no-such-distribution")


def test_the_extras_are_those_that_can_be_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for_work_on_it = {"all", "bench", "dev"}
    assert {
        name: tuple(sorted(re.match(r"[\w.-]+", each)[0].lower() for each in requirements))  # type: ignore[index]
        for name, requirements in project["optional-dependencies"].items()
        if name not in for_work_on_it
    } == versions.EXTRAS


@NEEDS_NATIVE
def test_tls_has_no_native_path_and_a_run_says_so(capfd: Capture) -> None:
    why = "messages go through TLS, which has no native path"
    with EmbeddedServer(("--tls",)) as server:
        check_engine(loadgen_here(capfd, server.address, "--insecure", *RUN), "python", why)
    check_refused(capfd, ("--tls", "--engine", "native"), ("--engine native", why))
