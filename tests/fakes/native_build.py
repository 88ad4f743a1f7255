"""The C modules of loadgen, compiled apart from those that are installed, and Python that has them.

    module = build("loadgen.engine._native", tmp_path, *SANITIZERS)
    subprocess.run([sys.executable, "-c", ...], env={**os.environ, **with_built(tmp_path)})

A process that is started in the environment `with_built`, and each that it starts, imports what was
built there in the place of the module of that name; AddressSanitizer and UndefinedBehaviorSanitizer
end it where they find something, and say on its standard error what.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

import pytest
from command import ROOT

MODULES: Final = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "loadgen").glob("*/_native.c"))
]
"""The modules of loadgen that are written in C; setup.py finds the same."""

WARNINGS: Final = (
    *("-std=c11", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-sign-conversion"),
    "-Werror",
)
SANITIZERS: Final = (
    *("-O1", "-g", "-fno-omit-frame-pointer"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)
COMPILING_S: Final = 50.0

_PREFERRED: Final = '''
import sys
from importlib.util import spec_from_file_location
from pathlib import Path


class Built:
    """Finds the modules that were built here."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        built = Path(__file__).with_name(f"{name}.abi3.so")
        return spec_from_file_location(name, built) if built.exists() else None


sys.meta_path.insert(0, Built)
'''


def compiler() -> str:
    """Return the path of the C compiler; skip the test where there is none."""
    found = shutil.which("cc")
    if found is None:
        pytest.skip("no C compiler: cc is not there")
    return found


def sources(module: str) -> list[Path]:
    """Return the files in C of one of the `MODULES`: their names begin with that of the module."""
    *package, name = module.split(".")
    return sorted(ROOT.joinpath(*package).glob(f"{name}*.c"))


def build(module: str, into: Path, *flags: str) -> Path:
    """Compile ``module`` in the directory ``into``, and return the path of what can be imported.

    A warning of the compiler is an error; ``flags`` come last: `SANITIZERS`, macros, a standard.
    """
    built = into / f"{module}.abi3.so"
    command = [compiler(), *WARNINGS, "-O2", "-fPIC", "-shared", "-DPy_LIMITED_API=0x030b0000"]
    command += [f"-I{sysconfig.get_path('include')}", *flags, *map(str, sources(module))]
    done = subprocess.run(
        [*command, "-o", str(built)],
        capture_output=True,
        text=True,
        timeout=COMPILING_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return built


def with_plain(directory: Path) -> dict[str, str]:
    """Return the variables with which Python imports what was built in ``directory``."""
    (directory / "sitecustomize.py").write_text(_PREFERRED, encoding="utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(directory), str(ROOT)])}


def with_built(directory: Path) -> dict[str, str]:
    """Return the variables with which Python imports what was built there with `SANITIZERS`.

    Their libraries must be loaded before everything else; the test is skipped where the compiler
    has none. Leaks are not looked for: Python never frees all.
    """
    # Without that of C++, what throws in a library such as Matplotlib's ends the process.
    libraries = [_library("libasan.so"), _library("libstdc++.so.6")]
    return {
        **with_plain(directory),
        "PYTHONMALLOC": "malloc",  # else AddressSanitizer does not see the ends of objects
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def _library(name: str) -> str:
    asked = [compiler(), f"-print-file-name={name}"]
    found = subprocess.run(asked, capture_output=True, text=True, timeout=COMPILING_S, check=True)
    path = found.stdout.strip()
    if not Path(path).is_absolute():  # the name alone is how cc says that it has none
        pytest.skip(f"the C compiler has no {name}")
    return path


def check_sanitized(
    environment: dict[str, str], basetemp: Path, patience_s: float, *tests: str
) -> str:
    """Run ``tests`` in a Python of that environment, finding nothing wrong; return its words."""
    options = ("-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:locust")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--basetemp={basetemp}", *tests],
        env={**environment, "PYTEST_ADDOPTS": ""},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patience_s,
        check=False,
    )
    said = done.stdout[-3000:] + done.stderr[-3000:]
    assert done.returncode == 0, said
    assert " passed" in said
    assert "runtime error" not in said
    assert "Sanitizer" not in said
    return said
