"""The standard library as it was before gevent put its own things in place of it.

Facts. ``gevent.monkey.patch_all`` replaces `socket.socket` and `select.select`, and takes
`select.epoll` and `selectors.EpollSelector` away: what is left switches to another greenlet where
it would block. The loop of ours never blocks; it needs the real ones, under gevent's loop too.

Decision. They are asked for by name, when they are needed: what was looked up at import would
depend on who was imported first. gevent is not imported here; who has not imported it has not
patched anything.
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
