"""Framings of a user's own, by import path or by name: ``memcached:Replies``, ``memcached``.

A name is that of an entry point of the group `GROUP`, which an installed package has:

    [project.entry-points."loadgen.protocols"]
    memcached = "my_package.memcached:Replies"

Nothing is imported before a framing is used. A plan may come from the record of another machine,
where there is what is not here.
"""

import importlib
import inspect
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

from loadgen.net.protocols.base import BaseFraming, Framing
from loadgen.text import quoted

GROUP: Final = "loadgen.protocols"

_FORM: Final = re.compile(r"[A-Za-z_][\w.-]*(:[A-Za-z_][\w.]*)?")
_NEEDED: Final = ("one_way", "needs_messages", "decoder", "content", "reply_bytes")


def is_form(text: str) -> bool:
    """Return whether ``text`` may be the import path, or the name, of a framing."""
    return _FORM.fullmatch(text) is not None


def imported(text: str, max_reply_bytes: int) -> Framing:
    """Return the framing that ``text`` names; a class is called, with the limit if it takes one.

    Raises LookupError if no entry point has this name, and ValueError, with what is the matter as
    its text.
    """
    path = text if ":" in text else _path_of(text)
    found = _at(*path.split(":"))
    try:
        framing = _made(found, max_reply_bytes)
    except Exception as error:
        raise ValueError(f"it cannot be made: {_what(error)}") from error
    lacking = [name for name in _NEEDED if not hasattr(framing, name)]
    if lacking:
        base = f"{BaseFraming.__module__}.{BaseFraming.__name__}"
        raise ValueError(f"it has no {lacking[0]}, as a framing has; derive it from {base}")
    return cast("Framing", framing)


def _path_of(name: str) -> str:
    """Return the import path of the entry point ``name``. Raises LookupError without one."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow to import

    return entry_points(group=GROUP)[name].value


def _at(module: str, path: str) -> Any:
    """Return what ``path`` names in ``module``, which may be in the working directory."""
    with suppress(OSError):  # there is no such directory any more
        here = str(Path.cwd())
        if not {here, ""} & set(sys.path):
            sys.path.insert(0, here)  # as `python -m` does
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise ValueError(f"module {module} needs another one: {_what(error)}") from error
        where = "in the working directory, or where Python looks"
        raise ValueError(f"there is no module {error.name} {where}") from None
    except Exception as error:
        raise ValueError(f"module {module} cannot be imported: {_what(error)}") from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise ValueError(f"there is no {name} in {module}")
        found = getattr(found, name)
    return found


def _made(found: Any, max_reply_bytes: int) -> Any:
    if not isinstance(found, type):
        return found
    if "max_reply_bytes" in inspect.signature(found).parameters:
        return found(max_reply_bytes=max_reply_bytes)
    return found()


def _what(error: Exception) -> str:
    return quoted(f"{type(error).__name__}: {error}")
