"""What is made of the tree of loadgen to hand it on: a source distribution, wheels, installs.

All of it is made of a copy of the tree, for an editable install leaves its modules in C there.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest
from command import ROOT, environment

BUILDING_S: Final = 120.0

NEEDED_BY_MAKE: Final = ("make", "sh", "ls", "rm", "touch")
"""The programs with which `make` installs, Python aside; a compiler is none of them."""


def skip_without_builders() -> None:
    """Skip the test where this Python has not what `requirements/all.txt` locks to build with."""
    missing = [name for name in ("pip", "setuptools") if find_spec(name) is None]
    missing += [name for name in ("git", "make") if shutil.which(name) is None]
    if missing or not (ROOT / ".git").exists():
        pytest.skip(f"needs {', '.join(missing) or 'a checkout'}, which is not there")


def tree() -> set[str]:
    """Return the files of the repository: those that git has, and new ones that it would take."""
    asked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in done.stdout.split("\0") if (ROOT / name).is_file()}


def copy_tree(into: Path) -> None:
    """Copy the files of the repository into the directory ``into``, which is made."""
    for name in tree():
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, into / name)


def files_in(root: Path, package: str) -> set[Path]:
    """Return the files of a ``package`` below ``root``, without what Python keeps there."""
    return {
        path.relative_to(root)
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def installed_files(root: Path, package: str) -> set[Path]:
    """Return which files an install has of a ``package`` of the tree at ``root``."""
    every = files_in(root, package)
    modules = {path.with_suffix(".abi3.so") for path in every if path.name == "_native.c"}
    kept = {path for path in every if path.suffix not in {".c", ".h", ".so"}}
    return kept | modules


def new_environment(directory: Path) -> Path:
    """Make a virtual environment with all that this Python has, but loadgen; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
    python = directory / "bin" / "python"
    (packages,) = directory.glob("lib/python3.*/site-packages")
    # Of what is named in a .pth file, the .pth files are not read: an editable loadgen stays out.
    (packages / "locked.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return python


def plain_environment(**extra: str) -> dict[str, str]:
    """Return an environment in which nothing leads Python to this tree, or names a compiler."""
    kept = environment(**extra)
    for name in ("PYTHONPATH", "CC", "MAKEFLAGS", "MAKELEVEL"):
        kept.pop(name, None)
    return kept


def without_compiler(directory: Path) -> dict[str, str]:
    """Return an environment with ``directory`` for its PATH, which gets what `make` needs alone."""
    directory.mkdir()
    for name in NEEDED_BY_MAKE:
        found = shutil.which(name)
        assert found is not None, name
        (directory / name).symlink_to(found)
    return plain_environment(PATH=str(directory))


def run(command: Sequence[str | Path], cwd: Path, variables: dict[str, str]) -> str:
    """Run ``command`` to its end, which must be a good one; return what it wrote."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILDING_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def build(kind: str, root: Path, into: Path, variables: dict[str, str]) -> Path:
    """Build an ``sdist`` or a ``wheel`` of the tree at ``root``, as pip has it done (PEP 517)."""
    into.mkdir()
    program = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    run([sys.executable, "-c", program, into], root, variables)
    (found,) = into.iterdir()
    return found


def leave_former(module: str, root: Path) -> None:
    """Leave a file of ``module`` where a former build of the tree at ``root`` has put it."""
    build_lib = f"lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
    former = root.joinpath("build", build_lib, *module.split(".")).with_suffix(".abi3.so")
    former.parent.mkdir(parents=True, exist_ok=True)
    former.touch()
    os.utime(former, (0, 0))  # its sources have changed since


def unpacked(source: Path, into: Path) -> Path:
    """Unpack a source distribution in the directory ``into``, and return the tree."""
    shutil.unpack_archive(source, into, filter="data")
    (root,) = into.iterdir()
    return root


def other_pythons() -> list[str]:
    """Return those of this machine beside the one that runs, of versions that loadgen supports."""
    found = []
    for minor in set(range(11, 20)) - {sys.version_info.minor}:
        name = f"python3.{minor}"
        beside = Path(sys.base_prefix).parent.glob(f"*/bin/{name}")  # where pyenv has them
        every = filter(None, (shutil.which(name), *map(str, beside)))
        found += [path for path in every if _runs(path)][:1]
    return found


def _runs(python: str) -> bool:
    """Return whether ``python`` is one, with a GIL: without it, there is no limited API."""
    asked = "import sysconfig, sys; sys.exit(bool(sysconfig.get_config_var('Py_GIL_DISABLED')))"
    return subprocess.run([python, "-c", asked], capture_output=True, check=False).returncode == 0
