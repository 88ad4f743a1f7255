"""Redaction (``--redact``): a record keeps only the length and the digest of what was sent.

A record holds the payloads, the first message and what is expected of replies, and so does all that
is made of it: pages, the command on them, comparisons. They, and the names of files, may contain
tokens and passwords. The digest is plain SHA-256, without a key: two records of the same payloads
are still the same load, so that they can be compared, and merged where several processes have made
them. The price: a short secret can be found by hashing all candidates. A key that is thrown away
would prevent that, but would make all records differ.
"""

import hashlib
from typing import Final

import msgspec

from loadgen.net.target import without_password
from loadgen.plan.payloads import (
    FilePayload,
    LinesPayload,
    PayloadSource,
    RedactedPart,
    RedactedPayload,
)
from loadgen.plan.plan import Plan

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
        target=None if plan.target is None else without_password(plan.target),
        payloads=tuple(map(_source, plan.payloads)),
        first_message=redacted(first) if isinstance(first, bytes) and first else first,
        expect=tuple(
            redacted(each.encode("utf-8", "surrogateescape")) if isinstance(each, str) else each
            for each in plan.expect
        ),
        redact=True,
    )


def as_recorded(plan: Plan) -> Plan:
    """Return ``plan`` as a record of its run holds it."""
    return redacted_plan(plan) if plan.redact else plan


def _source(source: PayloadSource) -> PayloadSource:
    """Return ``source`` redacted; of a file, its name is, which may be confidential too."""
    match source:
        case bytes():
            return redacted(source)
        case FilePayload(path):
            return redacted(path.encode(), "file name")
        case LinesPayload(path, raw):
            return redacted(path.encode(), "file name, raw lines" if raw else "file name, lines")
        case _:
            return source
