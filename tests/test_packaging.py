"""What is handed on of loadgen: all of its files, and modules in C wherever there is a compiler."""

import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any, Final

import distributions
import native_build
import pytest
from distributions import plain_environment, run

pytestmark = pytest.mark.timeout(300)  # seconds; pip and a compiler run

IMPORTING: Final = f"import {', '.join(native_build.MODULES)}; print(loadgen.__file__)"
LOADING: Final = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location(*sys.argv[1:])
spec.loader.exec_module(module_from_spec(spec))
"""
MAKE: Final = ("make", ".venv/done")
LOAD: Final = ("-m", "loadgen", "--conns", "5", "--messages", "20")


class Tree:
    """A copy of the tree."""

    def __init__(self, root: Path) -> None:
        self.root = root
        distributions.copy_tree(root)

    @property
    def installed(self) -> set[Path]:
        """The files that an install has of it."""
        return distributions.installed_files(self.root, "loadgen") | (
            distributions.installed_files(self.root, "reports")
        )


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    distributions.skip_without_builders()
    return Tree(tmp_path_factory.mktemp("packaging") / "tree")


@pytest.fixture(scope="module")
def source(tree: Tree) -> Path:
    """The source distribution, made where an editable install has left its modules."""
    (tree.root / "loadgen" / "engine" / "_native.abi3.so").touch()
    return distributions.build("sdist", tree.root, tree.root.with_name("dist"), plain_environment())


def test_the_source_distribution_is_what_is_in_the_repository(source: Path, tmp_path: Path) -> None:
    root = distributions.unpacked(source, tmp_path)
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    made = {name for name in found if name.split("/")[0] in ("PKG-INFO", "loadgen.egg-info")}
    kept_back = {name for name in distributions.tree() if name.startswith((".ci/", ".github/"))}
    assert found - made - {"setup.cfg"} == distributions.tree() - kept_back
    assert "loadgen/engine/_native.c" in found


def test_one_wheel_serves_every_python_from_the_oldest_on(
    tree: Tree, source: Path, tmp_path: Path
) -> None:
    native_build.compiler()
    wheel = wheel_of(source, tmp_path, plain_environment())
    assert wheel.name.split("-")[2:4] == ["cp311", "abi3"]
    assert files_of(wheel) == tree.installed
    site = installed(wheel)
    run([sys.executable, "-c", IMPORTING], site, plain_environment())
    for python in distributions.other_pythons():
        for module in native_build.MODULES:  # alone: those Pythons have not what loadgen needs
            path = site.joinpath(*module.split(".")).with_suffix(".abi3.so")
            run([python, "-c", LOADING, module, path], site, plain_environment())


def test_a_wheel_that_was_built_without_a_compiler_works(
    tree: Tree, source: Path, tmp_path: Path
) -> None:
    variables = distributions.without_compiler(tmp_path / "bin")
    root = distributions.unpacked(source, tmp_path / "source")
    for module in native_build.MODULES:
        distributions.leave_former(module, root)
    wheel = distributions.build("wheel", root, tmp_path / "wheel", variables)
    assert files_of(wheel) == {path for path in tree.installed if path.suffix != ".so"}
    check_works_in_python_alone(Path(sys.executable), installed(wheel), variables)


@pytest.fixture
def prepared(tmp_path: Path) -> tuple[Tree, Path]:
    """A tree, and the Python of its environment, in which `make` has installed what is locked."""
    distributions.skip_without_builders()
    tree = Tree(tmp_path / "tree")
    python = distributions.new_environment(tree.root / ".venv")
    (tree.root / ".venv" / "locked").touch()
    return tree, python


def test_make_builds_the_modules_and_builds_them_anew_after_a_change(
    prepared: tuple[Tree, Path], tmp_path: Path
) -> None:
    native_build.compiler()
    tree, python = prepared
    run(MAKE, tree.root, plain_environment())
    said = run([python, "-c", IMPORTING], tmp_path, plain_environment())
    assert Path(said.strip()).is_relative_to(tree.root)
    assert record_of_run(python, tmp_path, plain_environment())["engine"] == "native"
    assert "is up to date" in run(MAKE, tree.root, plain_environment())
    os.utime(tree.root / "loadgen" / "net" / "native.h")
    assert "pip install" in run([*MAKE, "--dry-run"], tree.root, plain_environment())


def test_make_without_a_compiler_says_so_and_leaves_no_module_of_a_former_build(
    prepared: tuple[Tree, Path], tmp_path: Path
) -> None:
    tree, python = prepared
    for module in native_build.MODULES:
        tree.root.joinpath(*module.split(".")).with_suffix(".abi3.so").touch()
    variables = distributions.without_compiler(tmp_path / "bin")
    said = run(MAKE, tree.root, variables)
    assert [line for line in said.splitlines() if "not built" in line], said
    assert list(tree.root.rglob("*.so")) == []
    check_works_in_python_alone(python, tmp_path, variables)


def check_works_in_python_alone(python: Path, cwd: Path, variables: dict[str, str]) -> None:
    """Check that the loadgen of ``python`` carries out a run in Python, and says why."""
    record = record_of_run(python, cwd, variables)
    assert record["engine"] == "python"
    assert "not compiled" in record["why_python"]


def record_of_run(python: Path, cwd: Path, variables: dict[str, str]) -> dict[str, Any]:
    """Carry out a run, and return its record; what it prints names the same engine."""
    said = run([python, *LOAD, "--json", "run.json"], cwd, variables)
    record: dict[str, Any] = json.loads((cwd / "run.json").read_bytes())
    assert record["actual"]["messages"] == 100
    assert record["engine"] in said.lower()
    return record


def wheel_of(source: Path, directory: Path, variables: dict[str, str]) -> Path:
    """Build a wheel of a source distribution."""
    root = distributions.unpacked(source, directory / "source")
    return distributions.build("wheel", root, directory / "wheel", variables)


def files_of(wheel: Path) -> set[Path]:
    """Return the files of the packages in ``wheel``; the others are notes of what packed it."""
    with zipfile.ZipFile(wheel) as archive:
        return {Path(name) for name in archive.namelist() if ".dist-info/" not in name}


def installed(wheel: Path) -> Path:
    """Return a directory in which Python has what is in ``wheel``."""
    site = wheel.parent / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site
