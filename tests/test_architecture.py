"""The rules of the house, read off the sources: floors, doors, sizes and manners."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

import loadgen

PACKAGE = Path(loadgen.__file__).parent
TESTS = Path(__file__).parent

# The modules of each floor, the lowest first.
FLOORS = [
    ["names"],
    [
        *("errors", "units", "failure", "_version", "files", "encoded", "originals", "quantities"),
        *("signals", "logs"),
        *("core", "commands"),
    ],
    ["streams", "decoded"],
    ["reading", "cgroup"],
    [
        *("target", "payload", "schedule", "descriptors"),
        *("framing", "framing.base", "framing.counted", "framing.marked", "framing.ended"),
        *("core.lifecycle", "core.histogram", "core.clock", "core.timers", "core.backends"),
        *("packing", "columns"),
    ],
    [
        *("core.pacing", "core.stamps", "core.wall_clock", "core.tally", "core.connection_tables"),
        *("core.pauses", "core.availability", "arrivals", "processor"),
    ],
    ["crowd"],
    ["plan"],
    ["core.dialer", "core.laps", "core.pulse", "redaction"],
    ["core.conversation", "core.recorder"],
    ["core.exchange"],
    ["core.connection"],
    [
        *("core.opener", "core.policy", "core.watch", "core.totals"),
        *("core.stamped", "core.load_models"),
    ],
    ["core.roster"],
    ["core.engine"],
    ["environment"],
    ["distribution"],
    ["evidence", "packed_times"],
    ["intervals"],
    ["interval_packer"],
    ["record"],
    ["connection_ledger", "shortfall", "timeline", "record_schema", "usage", "hdr_log"],
    ["doubts"],
    ["keeping_up", "absences"],
    ["health"],
    ["figures", "merge", "findings"],
    ["time_figure"],
    ["checks"],
    ["find_max", "backends_compared"],
    ["surroundings"],
    [
        *("assembly", "timestamping", "probe", "monitor", "listeners"),
        *("freeze", "server", "server.program", "server.embedded", "server.processes"),
        *("server.echo", "server.listener", "server.held", "server.prompt", "server.options"),
        *("server.peers", "server.waiting", "server.arrivals", "server.ledger"),
        *("server.stalls", "server.delays"),
    ],
    ["runner"],
    ["summary_times", "progress", "dump"],
    ["summary", "curve", "terminal", "backend_table"],
    [
        *("compare", "compare.bootstrap", "compare.gates", "compare.alternating"),
        *("compare.supervised", "compare.supervisor", "compare.tail"),
        *(
            "compare.rounds",
            "compare.load_rounds",
            "compare.benchmark_rounds",
            "compare.files",
            "compare.comparison",
            "compare.text",
        ),
    ],
    [
        *("locust", "locust.plugin", "locust.users", "locust.attached", "locust.session"),
        *("locust.client", "locust.seat", "locust.load", "locust.driver", "locust.words"),
        *("locust.tally", "locust.statistics", "locust.request_events", "locust.part"),
        *("locust.recent", "locust.report", "locust.gathered", "locust.overview", "locust.page"),
        *("locust.attendance", "locust.hangup", "locust.forms"),
        "locust.inspection",
        *("locust.arguments", "locust.roles", "locust.worker", "locust.master", "locust.alone"),
    ],
    [
        *("cli", "__init__"),
        *("commands.options", "commands.load_options", "commands.run_options"),
        *("commands.find_max", "commands.run", "commands.server", "commands.backends"),
        *("commands.compare", "commands.compare_runs", "commands.report"),
        *("commands.outputs", "commands.places", "commands.output_options"),
        "commands.stopping",
    ],
    ["__main__", "pytest_plugin"],
]

# Modules of one floor that may import each other, each only those of the steps before its own.
FAMILIES = [
    ["listeners", "monitor"],
    ["framing.base", "framing.counted framing.marked framing.ended", "framing"],
    [
        "server.delays server.stalls server.ledger server.arrivals server.waiting server.peers",
        *("server.options server.prompt server.held", "server.listener", "server.echo"),
        *("server server.processes", "server.program server.embedded"),
    ],
    [
        "locust.driver locust.words locust.tally locust.report locust.arguments locust.page",
        "locust.attendance locust.hangup locust.recent locust.forms",
        "locust.statistics locust.part locust.gathered locust.inspection",
        "locust.load locust.request_events locust.overview",
        *("locust.client locust.seat locust.session", "locust.roles"),
        *("locust.worker locust.alone", "locust.master", "locust.attached", "locust.users"),
        *("locust.plugin", "locust"),
    ],
    [
        *(
            "compare.supervisor compare.tail",
            "compare.supervised",
            "compare.bootstrap compare.gates compare.alternating",
        ),
        *("compare.rounds", "compare.load_rounds compare.benchmark_rounds"),
        *("compare.files compare.comparison", "compare compare.text"),
    ],
    [
        "commands.options commands.outputs commands.report commands.compare_runs",
        "commands.places commands.stopping",
        *("commands.load_options commands.output_options", "commands.run_options"),
        "commands.find_max commands.server commands.backends commands.compare",
        "commands.run",
    ],
]

# Who may import what; whatever else needs it takes it as an argument.
DOORS = {
    "socket": [
        *("core.dialer", "core.connection", "core.stamps", "timestamping", "assembly"),
        *("probe", "server*", "commands.run"),
    ],
    "selectors": [
        *("core.backends", "core.laps", "core.pacing", "core.watch", "core.roster"),
        *("probe", "server*"),
    ],
    "time": ["core.clock", "dump", "probe", "server*", "compare.supervisor"],
}


def module_name(path: Path) -> str:
    """Return the name without ``loadgen.``; ``__init__`` for loadgen itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "__init__"


TREES = {
    module_name(path): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}
FLOOR_OF = {module: number for number, floor in enumerate(FLOORS) for module in floor}
STEP_OF = {
    module: (family, step)
    for family, steps in enumerate(FAMILIES)
    for step, modules in enumerate(steps)
    for module in modules.split()
}

every_module = pytest.mark.parametrize("module", TREES)


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield all that is imported anywhere in ``tree``, by its full name."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(str(module), names, 0):
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.ImportFrom():
                raise AssertionError("a relative import")
            case ast.Call(ast.Name("import_module"), [ast.Constant(str(name))]):
                yield name


def own_imports(module: str) -> set[str]:
    """Return which modules of loadgen ``module`` imports."""
    found = set()
    for name in imports(TREES[module]):
        package, _, inner = name.partition(".")
        if package == "loadgen":
            # What is imported from a module is no module, unless it is one.
            candidates = (inner, inner.rpartition(".")[0], "__init__")
            found.add(next(candidate for candidate in candidates if candidate in TREES))
    return found


def is_downward(importer: str, imported: str) -> bool:
    if FLOOR_OF[imported] != FLOOR_OF[importer]:
        return FLOOR_OF[imported] < FLOOR_OF[importer]
    family, step = STEP_OF.get(importer, (None, 0))
    imported_family, imported_step = STEP_OF.get(imported, (None, 0))
    return family is not None and family == imported_family and imported_step < step


class TestFloors:
    def test_hold_every_module_and_nothing_else(self) -> None:
        assert FLOOR_OF.keys() == TREES.keys()
        assert sum(map(len, FLOORS)) == len(FLOOR_OF), "a module stands on two floors"

    def test_are_shared_by_the_modules_of_a_family(self) -> None:
        for family in FAMILIES:
            assert len({FLOOR_OF[module] for module in " ".join(family).split()}) == 1

    def test_forbid_the_way_up_and_the_way_sideways(self) -> None:
        assert not is_downward("plan", "record")
        assert not is_downward("target", "payload")
        assert not is_downward("framing.base", "framing")
        assert is_downward("framing", "framing.base")
        assert is_downward("record", "plan")

    @every_module
    def test_are_only_left_downwards(self, module: str) -> None:
        wrong = [name for name in own_imports(module) if not is_downward(module, name)]
        assert not wrong, f"{module} imports {wrong}, which are not below it"


class TestDoors:
    @pytest.mark.parametrize("library", DOORS)
    def test_are_used_only_by_those_who_need_them(self, library: str) -> None:
        users = {
            module
            for module, tree in TREES.items()
            if library in {name.partition(".")[0] for name in imports(tree)}
        }
        may = {module for module in users for form in DOORS[library] if fnmatch(module, form)}
        assert users == may

    def test_only_the_command_line_prints(self) -> None:
        printing = {
            module
            for module, tree in TREES.items()
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and node.id == "print"
        }
        assert {name for name in printing if name.split(".")[0] not in {"cli", "commands"}} == set()

    def test_lines_of_the_log_are_made_readable(self) -> None:
        """Whoever asks for a logger of another's, or for all of ours, only sets it up."""
        asking = {
            module
            for module, tree in TREES.items()
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node.attr == "getLogger"
        }
        set_up = {"commands.run", "commands.report", "locust.plugin"}
        assert asking == {"logs", "locust.roles", *set_up}


Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(module: str) -> list[Function]:
    return [node for node in ast.walk(TREES[module]) if isinstance(node, Function)]


def parameters(function: Function) -> list[str]:
    """Return the names of the parameters, without the first one of a method."""
    every = function.args
    known = [arg.arg for arg in (*every.posonlyargs, *every.args)]
    if known[:1] in (["self"], ["cls"]):
        del known[0]
    more = (*every.kwonlyargs, every.vararg, every.kwarg)
    return known + [arg.arg for arg in more if arg is not None]


class TestSizes:
    @pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=module_name)
    def test_of_files_are_under_400_lines(self, path: Path) -> None:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines < 400

    @every_module
    def test_of_functions_are_50_lines_at_most(self, module: str) -> None:
        lengths = [
            (function.name, (function.end_lineno or 0) - function.lineno + 1)
            for function in functions(module)
        ]
        assert [(name, lines) for name, lines in lengths if lines > 50] == []

    @every_module
    def test_of_functions_are_6_parameters_at_most(self, module: str) -> None:
        counts = [(function.name, len(parameters(function))) for function in functions(module)]
        assert [(name, count) for name, count in counts if count > 6] == []


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
        [sys.executable, "-c", LOOK], cwd=PACKAGE.parent, capture_output=True, check=True
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


@pytest.mark.parametrize("path", sorted(TESTS.glob("*.py")), ids=lambda path: path.name)
def test_tests_neither_sleep_nor_mock(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    forbidden = {"time.sleep", "unittest.mock", "asyncio.sleep"}
    assert forbidden & (named | set(imports(tree))) == set()
    assert not any(name.split(".")[0] in {"unittest", "mock"} for name in imports(tree))
