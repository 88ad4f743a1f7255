"""The command that repeats a run, made of its Plan."""

import shlex
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import msgspec

from loadgen import text
from loadgen.analysis.lines import MOST_SHOWN
from loadgen.plan import Plan
from loadgen.plan.payloads import (
    FilePayload,
    LinesPayload,
    MadePayload,
    RedactedPayload,
    SizePayload,
)
from loadgen.text import unescaped

_NAMES = {  # of options, in the order in which people would write them
    "connections": "-c",
    "duration_s": "-d",
    "messages": "-n",
    "warmup_s": "--warmup",
    "pipeline": "--pipeline",
    "rate": "--rate",
    "rate_per_connection": "--rate-per-conn",
    "stages": "--stages",
    "arrivals": "--arrivals",
    "unlimited": "--open",
    "think": "--think",
    "pacing": "--pacing",
    "backend": "--backend",
    "reply": "--reply",
    "max_reply_bytes": "--max-reply",
    "verify": "--verify",
    "connect_rate_per_s": "--connect-rate",
    "connect_timeout_s": "--connect-timeout",
    "io_timeout_s": "--io-timeout",
    "reply_timeout_s": "--reply-timeout",
    "drain_s": "--drain",
    "reconnect": "--reconnect",
    "nagle": "--nagle",
    "send_buffer_bytes": "--sndbuf",
    "receive_buffer_bytes": "--rcvbuf",
    "timestamps": "--timestamps",
    "timestamp_sample": "--timestamp-sample",
    "watch": "--watch",
    "sample_interval_s": "--sample-interval",
    "seed": "--seed",
    "redact": "--redact",
}
_ALWAYS = frozenset({"connections", "duration_s"})
_MOST_TEXT_BYTES: Final = 2**17
"""Linux takes no longer argument (execve(2), MAX_ARG_STRLEN); and it would not be read."""

_ESCAPES = {0: r"\0", 9: r"\t", 10: r"\n", 13: r"\r", 92: r"\\"}


def command_of(plan: Plan) -> list[str] | None:
    """Return the words of ``loadgen …`` that make the same plan; None where no words do.

    The number of a process that was watched is left out: it means another one by now.
    """
    if why_no_command(plan):
        return None
    words = ["loadgen", *_options(plan), *_payloads(plan)]
    if plan.target is None:
        return words
    target = unescaped(plan.target)
    return [*words, "--", target] if target.startswith("-") else [words[0], target, *words[1:]]


def why_no_command(plan: Plan) -> str:
    """Return why no words make ``plan``; empty where some do."""
    sent = (*plan.payloads, plan.first_message)
    texts = [source for source in sent if isinstance(source, bytes)]
    if len(plan.payloads) > MOST_SHOWN or sum(map(len, texts)) > _MOST_TEXT_BYTES:
        return "what it sent is too much for one"
    if any(isinstance(source, MadePayload) for source in plan.payloads):
        return "code made its messages as it ran"
    if any(isinstance(each, RedactedPayload) for each in sent):
        return "what it sent is redacted"
    lines = [source.raw for source in plan.payloads if isinstance(source, LinesPayload)]
    if any(lines) and not (all(lines) and b"\0" not in b"".join(texts)):
        return "--raw stands for all payloads, and some of these it cannot make"
    return ""


def for_shell(word: str) -> str:
    """Return ``word`` as a shell reads it; as bash does where it holds what does not print."""
    return shlex.quote(word) if word.isprintable() else text.for_shell(word)


def _given(option: str, value: str) -> tuple[str, ...]:
    """Return the words that give ``option`` its ``value``, which is no option of its own."""
    return (f"{option}={value}",) if value.startswith("-") else (option, value)


def _options(plan: Plan) -> Iterator[str]:
    usual = {field.name: field.default for field in msgspec.structs.fields(Plan)}
    for name, option in _NAMES.items():
        value = getattr(plan, name)
        if value is None or (value == usual[name] and name not in _ALWAYS):
            continue
        if name == "watch" and isinstance(value, int):
            continue
        if value is True:
            yield option
        else:
            is_duration = name.endswith("_s") and not name.endswith("_per_s")
            yield from _given(option, _number(value) + ("s" if is_duration else ""))
    if plan.probe is not None:
        yield "--probe" if plan.probe else "--no-probe"
    for check in plan.checks:
        yield from _given("--check", check)


def _number(value: object) -> str:
    """Return a number as options take it, without an exponent; text as it is."""
    if not isinstance(value, float):
        return str(value)
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _payloads(plan: Plan) -> Iterator[str]:
    is_raw = any(isinstance(source, LinesPayload) and source.raw for source in plan.payloads)
    for source in plan.payloads:
        match source:
            case SizePayload(size_bytes):
                if plan.payloads != Plan().payloads:
                    yield from ("--size", str(size_bytes))
            case FilePayload(path):
                yield from _given("--payload-file", unescaped(path))
            case LinesPayload(path):
                yield from _given("--payload-lines", unescaped(path))
            case bytes():
                yield from _given("--payload", _text(source, is_raw))
    if plan.first_message and isinstance(plan.first_message, bytes):
        yield from _given("--first-message", _text(plan.first_message, is_raw))
    if is_raw:
        yield "--raw"


def _text(content: bytes, is_raw: bool) -> str:
    if is_raw:
        return content.decode("utf-8", "surrogateescape")
    return "".join(
        _ESCAPES.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}")
        for byte in content
    )
