"""Loggers whose lines are readable (`loadgen.text`), whatever they contain.

Handlers are not loadgen's own (``--verbose``, Locust's log), so that lines are made readable before
any handler gets them.
"""

import logging
import traceback
from typing import Final

from loadgen.text import as_line


def logger(name: str) -> logging.Logger:
    """Return the logger called ``name``, whose lines are made readable by `loadgen.text.as_line`.

    A traceback keeps its lines.
    """
    found = logging.getLogger(name)
    found.addFilter(_READABLE)  # once: a logger does not take the same filter again
    return found


class _Readable(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = as_line(record.getMessage()), ()
        if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
            lines = "".join(traceback.format_exception(record.exc_info[1])).splitlines()
            record.exc_text = "\n".join(map(as_line, lines))
        return True


_READABLE: Final = _Readable()
