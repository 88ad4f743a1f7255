"""The modules in C: whether one can be had, and if not, why, and what to do.

Facts. They are compiled when loadgen is installed, where there are a compiler and the headers of
Python; a Python without the GIL has no limited API, in which they are written. A file of a former
install may be found in their place: after an update of a checkout, or where a later build failed.
Python does not notice, and one with other columns or arguments keeps wrong books.

Decision. What the two halves must agree on has a number, `INTERFACE`, which stands in
``loadgen/net/native.h`` too, and is compiled into each module. One with another number, or with
none, is not used.
"""

import importlib
import sysconfig
from types import ModuleType
from typing import Final, NamedTuple

INTERFACE: Final = 1
"""To be raised, here and in C, with each change to what a module in C takes, returns or does."""


class Absence(NamedTuple):
    """Why a module cannot be had, and what to do about that: both in words for an error."""

    reason: str
    remedy: str


_NOT_COMPILED: Final = Absence(
    "the native module was not compiled when loadgen was installed",
    "install a C compiler and the headers of Python (python3-dev), then loadgen again",
)
_NO_LIMITED_API: Final = Absence(
    "this Python, which has no GIL, has no limited API, for which the native module is written",
    "use a Python that has the GIL",
)
_INSTALL_AGAIN: Final = "install loadgen again (in a checkout: make)"
_OTHER_VERSION: Final = Absence(
    "the native module belongs to another version of loadgen", _INSTALL_AGAIN
)


def load(name: str) -> ModuleType | Absence:
    """Return the module in C of that full name, or why it cannot be had."""
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError:
        return _NO_LIMITED_API if sysconfig.get_config_var("Py_GIL_DISABLED") else _NOT_COMPILED
    except ImportError as error:
        return Absence(f"the native module cannot be loaded: {error}", _INSTALL_AGAIN)
    return module if getattr(module, "INTERFACE", None) == INTERFACE else _OTHER_VERSION
