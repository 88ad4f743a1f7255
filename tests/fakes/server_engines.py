"""The engines of the echo server, as parameters of a test."""

from importlib.util import find_spec
from typing import Final

import pytest

_IS_BUILT: Final = find_spec("loadgen.server._native") is not None

needs_native = pytest.mark.skipif(
    not _IS_BUILT, reason="the native module of the server is not built: no C compiler?"
)

NATIVE: Final = pytest.param("native", marks=needs_native)

ENGINES: Final = (NATIVE, "python")
