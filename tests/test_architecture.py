"""The rules of the house, read off the sources: layers, doors, sizes and manners.

Each test lists what breaks its rule.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

import pytest

from bench import house
from bench.house import imports, trees

TESTS: Final = Path(__file__).parent
REPORTS: Final = house.ROOT / "reports"

# Which packages may import which modules; others take them as arguments.
DOORS: Final = {
    "socket": [
        *("net.address", "net.dialer", "net.timestamps", "net.transport", "net.udp"),
        *("server*", "cli.run"),
    ],
    "selectors": [
        *("net.backends", "net.pacing", "net.transport", "engine.selector"),
        "engine.native_selector",
        *("runner.probe", "server*"),
    ],
    "time": ["net.clock", "net.dump", "runner.probe", "server*", "runner.commands.supervisor"],
}

# What reports read: what was found, what follows from it, and the words for it; no run.
REPORTS_READ: Final = ("results", "analysis", "plan", "errors", "units", "text", "files")
COMMAND_READS: Final = ("cli", "cli.parser", "cli.terminal")
"""What the command reads, too, by which people reach the reports."""


class TestLayers:
    def test_hold_every_package_and_nothing_else(self) -> None:
        assert house.LAYER_OF.keys() == set(map(house.package_of, trees()))
        assert sum(map(len, house.LAYERS)) == len(house.LAYER_OF), "one stands on two layers"

    def test_are_only_left_downwards(self) -> None:
        assert house.upward() == []

    def test_forbid_the_way_up_and_the_way_sideways(self) -> None:
        assert not house.is_downward("plan", "results")
        assert not house.is_downward("plan", "server")
        assert house.is_downward("results", "plan")
        assert house.is_downward("files", "text")

    def test_see_every_import(self) -> None:
        """Modules by name are the public interface (PEP 562), and the standard library's."""
        by_name = [name for name in trees() if "importlib.import_module" in imports(trees()[name])]
        assert by_name == ["__init__"]

    def test_have_no_circle_among_packages_or_modules(self) -> None:
        assert house.circles() == []

    def test_a_circle_would_be_found(self) -> None:
        assert set(house.circle({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]})) == {*"abc"}
        assert house.circle({"a": ["b"], "b": ["c"]}) == []


class TestDoors:
    @pytest.mark.parametrize("library", DOORS)
    def test_are_used_only_by_those_who_need_them(self, library: str) -> None:
        users = {
            module
            for module, tree in trees().items()
            if library in {name.partition(".")[0] for name in imports(tree)}
        }
        may = {module for module in users for form in DOORS[library] if fnmatch(module, form)}
        assert users == may

    def test_only_the_command_line_prints(self) -> None:
        printing = {
            house.package_of(module)
            for module, tree in trees().items()
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and node.id == "print"
        }
        assert printing == {"cli"}

    def test_lines_of_the_log_are_made_readable(self) -> None:
        """What asks for a logger of another's, or for all of ours, only sets it up."""
        asking = {
            module
            for module, tree in trees().items()
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node.attr == "getLogger"
        }
        assert asking == {"logs", "locust.roles", "cli.run", "cli.report", "locust.plugin"}

    def test_nothing_but_their_command_reads_reports_or_draws(self) -> None:
        above = {"reports", "matplotlib", "jinja2"}
        users = {
            module
            for module, tree in trees().items()
            if above & {name.partition(".")[0] for name in imports(tree)}
        }
        assert users == {"cli.report"}

    def test_reports_read_results_and_no_run(self) -> None:
        wrong = []
        for path in sorted(REPORTS.rglob("*.py")):
            of_command = COMMAND_READS if path.name in ("cli.py", "__main__.py") else ()
            for name in imports(ast.parse(path.read_text(encoding="utf-8"))):
                package, _, inner = name.partition(".")
                allowed = house.package_of(inner) in REPORTS_READ or any(
                    inner == form or inner.startswith(f"{form}.") for form in of_command
                )
                if package == "loadgen" and not allowed:
                    wrong.append(f"{path.relative_to(REPORTS)} -> {inner}")
        assert wrong == []


Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[str, Function]]:
    """Yield each function of loadgen with its module and its name."""
    for module, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield f"{module}: {node.name}", node


def parameters(function: Function) -> list[str]:
    """Return the names of the parameters, without the first one of a method."""
    every = function.args
    known = [arg.arg for arg in (*every.posonlyargs, *every.args)]
    if known[:1] in (["self"], ["cls"]):
        del known[0]
    more = (*every.kwonlyargs, every.vararg, every.kwarg)
    return known + [arg.arg for arg in more if arg is not None]


class TestSizes:
    def test_of_files_are_under_400_lines(self) -> None:
        paths = [*(house.ROOT / "loadgen").rglob("*.py"), *REPORTS.rglob("*.py")]
        lines = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
        assert {path: count for path, count in lines.items() if count >= 400} == {}

    def test_of_functions_are_50_lines_and_6_parameters_at_most(self) -> None:
        sizes = {
            name: ((function.end_lineno or 0) - function.lineno + 1, len(parameters(function)))
            for name, function in functions()
        }
        wrong = {
            name: (lines, count)
            for name, (lines, count) in sizes.items()
            if lines > 50 or count > 6
        }
        assert wrong == {}


LOOK = """
import json, selectors, signal, socket, sys, threading

events = []
sys.addaudithook(lambda event, arguments: events.append(event))
numbers = sorted(signal.valid_signals())
before = [[signal.getsignal(number) for number in numbers], socket.socket,
    selectors.DefaultSelector, threading.excepthook, sys.excepthook]
import loadgen
at_first = sorted(sys.modules)
for name in loadgen.__all__:
    getattr(loadgen, name)
after = [[signal.getsignal(number) for number in numbers], socket.socket,
    selectors.DefaultSelector, threading.excepthook, sys.excepthook]
print(json.dumps({
    "events": sorted(set(events)),
    "threads": threading.active_count(),
    "is_unpatched": before == after,
    "at_first": at_first,
    "modules": sorted(sys.modules),
}))
"""


@pytest.fixture(scope="module")
def after_import() -> Any:
    """What a fresh interpreter looks like after it has imported all of the public interface."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK], cwd=house.ROOT, capture_output=True, check=True
    )
    return json.loads(done.stdout)


class TestImporting:
    def test_starts_nothing(self, after_import: Any) -> None:
        started = {"socket.__new__", "_thread.start_new_thread", "subprocess.Popen", "os.fork"}
        assert started & set(after_import["events"]) == set()
        assert after_import["threads"] == 1

    def test_installs_no_handler_and_patches_nothing(self, after_import: Any) -> None:
        assert after_import["is_unpatched"]

    def test_the_public_interface_loads_nothing_that_only_a_run_or_a_terminal_needs(
        self, after_import: Any
    ) -> None:
        assert {"rich", "psutil", "argparse"} & set(after_import["modules"]) == set()

    def test_the_package_alone_loads_no_library(self, after_import: Any) -> None:
        assert {"numpy", "msgspec", "psutil", "rich"} & set(after_import["at_first"]) == set()
        assert [name for name in after_import["at_first"] if name.startswith("loadgen.")] == [
            "loadgen._version"
        ]


def test_tests_neither_sleep_nor_mock() -> None:
    forbidden = {"time.sleep", "asyncio.sleep", "unittest", "unittest.mock", "mock"}
    wrong = []
    for path in sorted(TESTS.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        wrong += [f"{path.name}: {name}" for name in forbidden & (named | set(imports(tree)))]
    assert wrong == []
