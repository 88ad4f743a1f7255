"""The packages of loadgen on their layers, and their imports: none upward, none in a circle.

A module imports from the layers below its own, and within its package from any file, as long as no
two files import each other in a circle. A package that hands on names of its own (``__init__``)
stands above its files.
"""

import argparse
import ast
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent

LAYERS: Final = (
    ("_version", "text", "errors", "units", "quantities", "signals", "logs", "files"),
    ("net",),
    ("plan", "server"),
    ("results",),
    ("analysis", "engine"),
    ("runner",),
    ("cli", "locust"),
    ("__init__", "__main__", "pytest_plugin", "testing"),
)
"""The packages of loadgen, and the modules beside them, the lowest layer first.

Those of the ground, and of the doors on top, may import each other; those of a layer between may
not.
"""

_SHARED: Final = (0, len(LAYERS) - 1)

LAYER_OF: Final = {name: number for number, layer in enumerate(LAYERS) for name in layer}


def module_name(path: Path) -> str:
    """Return the name of the module at ``path`` within loadgen; ``__init__`` for loadgen itself."""
    parts = path.relative_to(ROOT / "loadgen").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "__init__"


@cache
def trees() -> Mapping[str, ast.Module]:
    """Return the syntax tree of each module of loadgen, or of its types, by its name."""
    return {module_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in _sources()}


def _sources() -> list[Path]:
    """Return the files of loadgen in Python; a module in C stands there by its types (.pyi)."""
    root = ROOT / "loadgen"
    return sorted([*root.rglob("*.py"), *root.rglob("*.pyi")])


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield all that is imported anywhere in ``tree``, by its full name."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(str(module), names, 0):
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.ImportFrom():
                raise ValueError("a relative import")


@cache
def own_imports(module: str) -> set[str]:
    """Return which modules of loadgen ``module`` imports."""
    found = set()
    for name in imports(trees()[module]):
        package, _, inner = name.partition(".")
        if package == "loadgen":
            # What is imported from a module is no module, unless it is one.
            candidates = (inner, inner.rpartition(".")[0], "__init__")
            found.add(next(candidate for candidate in candidates if candidate in trees()))
    return found


def package_of(module: str) -> str:
    """Return the package, or the module beside the packages, that ``module`` belongs to."""
    return module.partition(".")[0]


def arrows() -> Counter[tuple[str, str]]:
    """Return how many imports run from each package to each other one."""
    return Counter(
        (package_of(module), package_of(imported))
        for module in trees()
        for imported in own_imports(module)
        if package_of(module) != package_of(imported)
    )


def upward() -> list[str]:
    """Return the imports that do not lead to a lower layer, as ``importer -> imported``."""
    return [
        f"{module} -> {imported}"
        for module in trees()
        for imported in sorted(own_imports(module))
        if not is_downward(package_of(module), package_of(imported))
    ]


def is_downward(importer: str, imported: str) -> bool:
    """Return whether a package may import another."""
    own, other = LAYER_OF[importer], LAYER_OF[imported]
    return other < own or importer == imported or (other == own and own in _SHARED)


def circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the nodes of one circle in ``graph``, each imported by the next; empty without one."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def module_graph() -> dict[str, set[str]]:
    """Return what each module imports."""
    return {module: own_imports(module) for module in trees()}


def package_graph() -> dict[str, set[str]]:
    """Return what each package imports."""
    graph: dict[str, set[str]] = {}
    for importer, imported in arrows():
        graph.setdefault(importer, set()).add(imported)
    return graph


def circles() -> list[list[str]]:
    """Return a circle among the packages and one among the modules, where there are such."""
    return [found for found in map(circle, (package_graph(), module_graph())) if found]


def drawing() -> Iterator[str]:
    """Yield the layers, the highest first, and below each package what it imports."""
    counts = arrows()
    sizes: Counter[str] = Counter()
    modules: dict[str, int] = defaultdict(int)
    for path in (*_sources(), *(ROOT / "loadgen").rglob("*.[ch]")):
        package = package_of(module_name(path))
        sizes[package] += len(path.read_text(encoding="utf-8").splitlines())
        modules[package] += 1
    for number, layer in reversed(list(enumerate(LAYERS))):
        for package in sorted(layer):
            below = sorted(
                ((other, count) for (one, other), count in counts.items() if one == package),
                key=lambda found: (-LAYER_OF[found[0]], found[0]),
            )
            files = f"{modules[package]} file{'s' if modules[package] > 1 else ''}"
            yield f"{number + 1}  {package:<14} {files:>9} {sizes[package]:>6} lines"
            if below:
                yield "      -> " + ", ".join(f"{other} {count}" for other, count in below)
    yield ""
    yield f"{len(counts)} arrows between packages, {sum(counts.values())} imports"
    yield f"upward: {', '.join(upward()) or 'none'}"
    yield f"circles: {'; '.join(map(' <- '.join, circles())) or 'none'}"


def contents() -> Iterator[str]:
    """Yield each package, the highest first, and its modules with what they are for."""
    for layer in reversed(LAYERS):
        for package in layer:
            modules = [name for name in trees() if package_of(name) == package]
            width = max(map(len, modules))
            for module in modules:
                about = (ast.get_docstring(trees()[module]) or "").partition("\n\n")[0]
                yield f"{module:<{width}}  {' '.join(about.split())}"
            yield ""
    yield from _contents_of_reports()


def _contents_of_reports() -> Iterator[str]:
    paths = sorted((ROOT / "reports").rglob("*.py"))
    names = [str(path.relative_to(ROOT)) for path in paths]
    for path, name in zip(paths, names, strict=True):
        about = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        yield f"{name:<{max(map(len, names))}}  {' '.join(about.partition(chr(10) * 2)[0].split())}"


def main(arguments: list[str]) -> int:
    """Print the drawing; return 1 if something runs upward or in a circle."""
    parser = argparse.ArgumentParser(prog="python -m bench house", description=__doc__)
    parser.add_argument("--modules", action="store_true", help="list each module, and its job")
    chosen = parser.parse_args(arguments)
    print(*(contents() if chosen.modules else drawing()), sep="\n")
    return 1 if upward() or circles() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
