"""The command that repeats a run, made of its Plan."""

import shlex
from collections.abc import Iterator
from typing import Final

from loadgen import text
from loadgen.analysis.lines import MOST_SHOWN
from loadgen.plan import Plan
from loadgen.plan.options import fields_of
from loadgen.plan.payloads import LinesPayload, MadePayload, RedactedPayload
from loadgen.text import unescaped

_ALWAYS: Final = ("connections",)
_MOST_TEXT_BYTES: Final = 2**17
"""Linux takes no longer argument (execve(2), MAX_ARG_STRLEN); and it would not be read."""


def command_of(plan: Plan) -> list[str] | None:
    """Return the words of ``loadgen …`` that make the same plan; None where no words do.

    The number of a process that was watched is left out: it means another one by now.
    """
    if why_no_command(plan):
        return None
    words = ["loadgen", *_options(plan)]
    if plan.target is None:
        return words
    target = unescaped(plan.target)
    return [*words, "--", target] if target.startswith("-") else [words[0], target, *words[1:]]


def why_no_command(plan: Plan) -> str:
    """Return why no words make ``plan``; empty where some do."""
    sent = (*plan.payloads, *plan.commands, plan.first_message, plan.body, *plan.urls)
    texts = [source for source in sent if isinstance(source, bytes)]
    sizes = [len(source) for source in sent if isinstance(source, bytes | str)]
    count = max(len(plan.payloads), len(plan.commands))
    if count > MOST_SHOWN or sum(sizes) > _MOST_TEXT_BYTES:
        return "what it sent is too much for one"
    if any(isinstance(source, MadePayload) for source in plan.payloads):
        return "code made its messages as it ran"
    in_request = plan.redact and (plan.headers or "***" in (plan.target or ""))
    if in_request or any(isinstance(each, RedactedPayload) for each in (*sent, *plan.expect)):
        return "what it sent is redacted"
    lines = [source.raw for source in plan.payloads if isinstance(source, LinesPayload)]
    if any(lines) and not (all(lines) and b"\0" not in b"".join(texts)):
        return "--raw stands for all payloads, and some of these it cannot make"
    return ""


def for_shell(word: str) -> str:
    """Return ``word`` as a shell reads it; as bash does where it holds what does not print."""
    return shlex.quote(word) if word.isprintable() else text.for_shell(word)


def _options(plan: Plan) -> Iterator[str]:
    """Yield the words of all options that are not left out, in the order of the table."""
    is_raw = any(isinstance(source, LinesPayload) and source.raw for source in plan.payloads)
    for field in fields_of(type(plan)):
        value = getattr(plan, field.name)
        usual = plan.application.reply if field.name == "reply" else field.default
        is_usual = value == usual and field.name not in _ALWAYS
        if not is_usual and not field.options[0].is_positional:
            yield from field.words(value, is_raw)
    if is_raw:
        yield "--raw"
