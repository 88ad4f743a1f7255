"""The native module of the engine, where there is one."""

import functools
import importlib


@functools.cache
def reason() -> str:
    """Return why there is no native module, in words; empty if there is one."""
    try:
        importlib.import_module("loadgen.engine._native")
    except ModuleNotFoundError:
        return "the native module was not compiled when loadgen was installed"
    except ImportError as error:
        return f"the native module cannot be loaded: {error}"
    return ""


def available() -> bool:
    """Return whether there is a native module."""
    return not reason()
