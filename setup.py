"""The modules of loadgen that are written in C; all else that is packaged is in pyproject.toml.

Each ``_native.c`` is one, together with the files in C beside it whose names begin like its own.
They are optional: where they cannot be compiled, for want of a compiler or of the headers of
Python, an install succeeds without them, and loadgen runs in Python alone.
"""

import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# One build serves Python 3.11 and every later one: https://docs.python.org/3/c-api/stable.html
LIMITED_API = ("Py_LIMITED_API", "0x030b0000")
OLDEST_PYTHON = "cp311"

# Python without the GIL has no limited API, and takes the GIL back for modules that need it.
has_limited_api = not sysconfig.get_config_var("Py_GIL_DISABLED")


def extension(source: Path) -> Extension:
    """Return the module of which ``source`` is the first file."""
    package = source.parent
    return Extension(
        ".".join(source.with_suffix("").parts),
        sources=sorted(map(str, package.glob("_native*.c"))),
        depends=sorted(map(str, Path("loadgen").glob("*/*.h"))),
        define_macros=[LIMITED_API],
        py_limited_api=True,
        optional=True,
    )


class BuildOptional(build_ext):
    """Builds modules; of one that cannot be built, no file of a former build is left to be used."""

    def build_extension(self, ext: Extension) -> None:
        """Build one module. Raises what setuptools passes over, as the module is optional."""
        try:
            super().build_extension(ext)
        except Exception:
            Path(self.get_ext_fullpath(ext.name)).unlink(missing_ok=True)
            raise

    def copy_extensions_to_source(self) -> None:
        """Put what was built into the tree, as for an editable install, and nothing else there."""
        for ext in self.extensions:
            Path(self.get_ext_fullpath(ext.name)).unlink(missing_ok=True)
        super().copy_extensions_to_source()


sources = sorted(Path("loadgen").glob("*/_native.c")) if has_limited_api else []
setup(
    ext_modules=[extension(source) for source in sources],
    cmdclass={"build_ext": BuildOptional},
    options={"bdist_wheel": {"py_limited_api": OLDEST_PYTHON}} if sources else {},
)
