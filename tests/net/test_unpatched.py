"""The standard library's own objects, patched by gevent or not; each test in a new process."""

import json
import select
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from optional import NEEDS_LOCUST

from loadgen.net import backends
from loadgen.net.unpatched import has_original, original

ROOT: Final = Path(__file__).parents[2]

PATCHED_BEFORE: Final = "import gevent.monkey; gevent.monkey.patch_all()"
PATCHED_AFTER: Final = """
import loadgen, loadgen.net.backends, loadgen.runner.assembly, loadgen.runner.run
import gevent.monkey; gevent.monkey.patch_all()
"""
BY_LOCUST: Final = "import loadgen.locust"

in_every_order = pytest.mark.parametrize("first", [PATCHED_BEFORE, PATCHED_AFTER, BY_LOCUST])

LOOK: Final = """
import json, select, selectors, socket
from loadgen.net import backends
from loadgen.net.unpatched import has_original, original
with backends.open_selector("auto") as selector:
    default = type(selector._selector)
print(json.dumps({
    "patched": [socket.socket.__module__, selectors.DefaultSelector.__name__],
    "is_gone": not hasattr(select, "epoll") and not hasattr(selectors, "EpollSelector"),
    "available": backends.available(),
    "auto": backends.resolve("auto"),
    "selector": [default.__module__, default.__name__],
    "socket": original("socket", "socket").__module__,
    "poll": original("select", "poll").__module__,
    "has": [has_original("select", "epoll"), has_original("select", "teleport")],
}))
"""

LOAD: Final = """
import json
from loadgen import Plan, run
record = run(Plan(connections=20, messages=5, payloads=(b"ping",)))
print(json.dumps([record.actual.messages, record.backend, len(record.failures)]))
"""


def python(program: str, *arguments: str) -> Any:
    """Return what ``program`` prints, which is JSON, in a process of its own."""
    return json.loads(output_of(program, *arguments).stdout)


def output_of(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.skipif(not has_original("select", "epoll"), reason="there is no epoll here")
@NEEDS_LOCUST
@in_every_order
def test_under_gevent_everything_is_there_and_real(first: str) -> None:
    seen = python(first + LOOK)
    assert seen["patched"][0].startswith("gevent.")
    assert seen["patched"][1] == "GeventSelector"
    assert seen["is_gone"]
    assert tuple(seen["available"]) == backends.available()
    assert seen["auto"] == backends.resolve("auto")
    assert seen["selector"] == ["select", "epoll"]
    assert (seen["socket"], seen["poll"]) == ("socket", "select")
    assert seen["has"] == [True, False]


@NEEDS_LOCUST
@pytest.mark.parametrize("first", [PATCHED_BEFORE, PATCHED_AFTER])
def test_under_gevent_a_run_is_an_ordinary_run(first: str) -> None:
    messages, backend, failures = python(first + LOAD)
    assert (messages, backend, failures) == (100, backends.resolve("auto"), 0)


def test_without_gevent_they_are_what_stands_there() -> None:
    assert original("socket", "socket") is socket.socket
    assert original("select", "select") is select.select
    assert not has_original("select", "teleport")
    with pytest.raises(AttributeError):
        original("select", "teleport")


IMPORT_ALL: Final = """
import importlib, json, sys
import loadgen
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
for name in loadgen.__all__:
    getattr(loadgen, name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_no_module_but_those_for_locust_imports_gevent_or_locust() -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / "loadgen").rglob("*.py")
        if (ROOT / "loadgen" / "locust") not in path.parents and path.stem != "__main__"
    ]
    assert "loadgen.engine.engine" in names
    loaded = python(IMPORT_ALL, json.dumps(names))
    assert "numpy" in loaded
    assert {"gevent", "locust", "greenlet"} & set(loaded) == set()


WITHOUT: Final = """
import importlib.abc, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
try:
    import loadgen.locust
except ModuleNotFoundError as error:
    print(error)
import loadgen.engine.engine  # the rest works
"""


def test_without_locust_the_package_for_it_says_what_to_install() -> None:
    said = output_of(WITHOUT, "locust").stdout
    assert said == ("loadgen.locust needs Locust; install it with: pip install 'loadgen[locust]'\n")


@NEEDS_LOCUST
def test_a_locust_that_is_broken_is_not_taken_for_a_missing_one() -> None:
    assert output_of(WITHOUT, "gevent").stdout == "No module named 'gevent'\n"
