"""Redaction (``--redact``): a record keeps only the length and the digest of what was sent.

A record holds what is sent and what is expected of replies: payloads, first message, HTTP requests.
So does all that is made of it: pages, the command on them, comparisons. They, and the names of
files, may contain tokens and passwords. The digest is plain SHA-256, without a key: two records of
the same payloads are still the same load, so that they can be compared, and merged where several
processes have made them. The price: a short secret can be found by hashing all candidates. A key
that is thrown away would prevent that, but would make all records differ. Of the target's URL,
scheme, host and port are kept; ``***`` stands for a user, a path and a query.
"""

import hashlib
from typing import Final, TypeVar

import msgspec

from loadgen.errors import UsageError
from loadgen.net.target import HIDDEN, Target
from loadgen.plan.payloads import (
    REDACTED,
    FilePayload,
    LinesPayload,
    RedactedPart,
    RedactedPayload,
)
from loadgen.plan.plan import Plan

Source = TypeVar("Source")

_DIGITS: Final = 16
"""Digits of the digest in hexadecimal: 64 bits, so that collisions are very unlikely."""


def redacted(content: bytes, part: RedactedPart = "text") -> RedactedPayload:
    """Return the length and the digest of ``content``."""
    return RedactedPayload(part, len(content), hashlib.sha256(content).hexdigest()[:_DIGITS])


def redacted_plan(plan: Plan) -> Plan:
    """Return ``plan`` as a redacted record holds it; it can no longer be run."""
    first = plan.first_message
    return msgspec.structs.replace(
        plan,
        target=None if plan.target is None else redacted_target(plan.target),
        payloads=tuple(map(_source, plan.payloads)),
        commands=tuple(map(_source, plan.commands)),
        first_message=redacted(first) if isinstance(first, bytes) and first else first,
        expect=tuple(map(_source, plan.expect)),
        headers=tuple(map(_header, plan.headers)),
        body=None if plan.body is None else _source(plan.body),
        urls=tuple(map(_source, plan.urls)),
        redact=True,
    )


def as_recorded(plan: Plan) -> Plan:
    """Return ``plan`` as a record of its run holds it."""
    return redacted_plan(plan) if plan.redact else plan


def redacted_target(text: str) -> str:
    """Return ``text``, a target, as a redacted record holds it; nothing of what is no target."""
    try:
        return str(Target.parse(text).without_request())
    except UsageError:  # a record may hold any text
        return HIDDEN


def target_as_recorded(plan: Plan, target: Target) -> str:
    """Return ``target`` as a record of a run of ``plan`` holds it."""
    return str(target.without_request() if plan.redact else target)


def _header(line: str) -> str:
    """Return a header with its name, and its value redacted."""
    name, _, value = map(str.strip, line.partition(":"))
    is_redacted = value.startswith(REDACTED)
    return f"{name}: {value if is_redacted else redacted(value.encode())}"


def _source(source: Source) -> Source | RedactedPayload:
    """Return ``source`` redacted; of a file, its name is, which may be confidential too."""
    match source:
        case bytes():
            return redacted(source)
        case str():  # a URL, a command, an expectation
            return redacted(source.encode("utf-8", "surrogateescape"))
        case FilePayload(path):
            return redacted(path.encode(), "file name")
        case LinesPayload(path, raw):
            return redacted(path.encode(), "file name, raw lines" if raw else "file name, lines")
        case _:
            return source
