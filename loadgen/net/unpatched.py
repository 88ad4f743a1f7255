"""The standard library's own functions and classes, also where gevent has replaced them.

``gevent.monkey.patch_all`` replaces `socket.socket` and `select.select`, and removes `select.epoll`
and `selectors.EpollSelector`: what is left switches to another greenlet where it would block. The
engine's loop never blocks, and needs the originals, under gevent's loop too. They are looked up by
name when they are needed, since a look-up at import would depend on the order of imports. gevent is
not imported here: without it nothing is patched.
"""

import importlib
import sys
from typing import Any


def original(module: str, name: str) -> Any:
    """Return ``name`` of the standard library's ``module``, unpatched.

    Raises AttributeError where the platform has none. (gevent.monkey.get_original,
    https://www.gevent.org/api/gevent.monkey.html)
    """
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None:
        return monkey.get_original(module, name)
    return getattr(importlib.import_module(module), name)


def has_original(module: str, name: str) -> bool:
    """Return whether the platform's ``module`` has ``name``, patched away or not."""
    try:
        original(module, name)
    except AttributeError:
        return False
    return True
