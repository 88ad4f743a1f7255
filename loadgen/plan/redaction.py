"""What a record keeps of what nobody else may read: its length and its digest.

Facts. A record holds the payloads and the first message of its plan, and so does all that is made
of it: pages, the command on them, comparisons. Tokens and passwords may be in there, and in the
names of files.

Decision. A digest is plain SHA-256, without a key: two records of the same payloads are still the
same load, so that they can be compared, and merged where several processes have made them. The
price: whoever can list what a short secret may be can find it by its digest. A key that is thrown
away would prevent that, and make every two records unlike.
"""

import hashlib
from typing import Final

import msgspec

from loadgen.plan.payloads import (
    FilePayload,
    LinesPayload,
    PayloadSource,
    RedactedPart,
    RedactedPayload,
)
from loadgen.plan.plan import Plan

_DIGITS: Final = 16
"""Of the digest in hexadecimal: 64 bits, so that two different texts hardly ever share them."""


def redacted(content: bytes, part: RedactedPart = "text") -> RedactedPayload:
    """Return what is kept of ``content``."""
    return RedactedPayload(part, len(content), hashlib.sha256(content).hexdigest()[:_DIGITS])


def redacted_plan(plan: Plan) -> Plan:
    """Return ``plan`` as a record holds it that is to be redacted; it can no longer be run."""
    first = plan.first_message
    return msgspec.structs.replace(
        plan,
        payloads=tuple(map(_source, plan.payloads)),
        first_message=redacted(first) if isinstance(first, bytes) and first else first,
        redact=True,
    )


def as_recorded(plan: Plan) -> Plan:
    """Return ``plan`` as a record of its run holds it."""
    return redacted_plan(plan) if plan.redact else plan


def _source(source: PayloadSource) -> PayloadSource:
    """Return what is kept of ``source``: of a file, by its name, for that may tell something."""
    match source:
        case bytes():
            return redacted(source)
        case FilePayload(path):
            return redacted(path.encode(), "file name")
        case LinesPayload(path, raw):
            return redacted(path.encode(), "file name, raw lines" if raw else "file name, lines")
        case _:
            return source
