"""The engines of the echo server, as parameters of a test."""

from types import ModuleType
from typing import Final

import pytest

from loadgen.server import native

_MODULE: Final = native.load()

needs_native = pytest.mark.skipif(
    not isinstance(_MODULE, ModuleType), reason=f"the server has no native module: {_MODULE}"
)

NATIVE: Final = pytest.param("native", marks=needs_native)

ENGINES: Final = (NATIVE, "python")
