"""What a page says of one run beside its figures: rows of tables, in words for people."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from loadgen.analysis import rejections, summary_replies, summary_tls
from loadgen.analysis.lines import first
from loadgen.analysis.summary import (
    end_of_target,
    moment,
    plan_in_words,
    target_in_words,
)
from loadgen.analysis.summary_verdict import meaning_of
from loadgen.analysis.time_metric import TimeMetric
from loadgen.analysis.verdict.judging import prints_response_time
from loadgen.files.encoded import as_json
from loadgen.results.record import ConnectionRecord, RunRecord
from loadgen.results.verdict import SEVERITY, Finding, Verdict
from loadgen.units import (
    format_bytes,
    format_count,
    format_duration_ns,
    format_duration_s,
    format_rate,
    parse_moment,
)
from reports import repeat_command

_SIGNS: Final[dict[Verdict, str]] = {
    "valid": "✓",
    "server-bound": "✓",
    "busy": "!",
    "generator-bound": "✗",
    "inconclusive": "?",
}
_UNKNOWN: Final = "-"
_OUTCOMES: Final = {
    "interrupted": "the run was interrupted before its end",
    "lost": "every connection had failed before the end",
    "unreachable": "no connection came up",
}


class Judgement(NamedTuple):
    """The verdict, as a word, a sign and a sentence, and what it rests on."""

    verdict: str
    sign: str
    meaning: str
    findings: list[Finding]


class Beside(NamedTuple):
    """What was asked for, and what came of it."""

    what: str
    requested: str
    actual: str


def judgement(record: RunRecord) -> Judgement:
    """Return what the figures of ``record`` are worth, and why."""
    if record.health is None:
        return Judgement("not judged", "?", "this record has no verdict", [])
    verdict = record.health.verdict
    meaning = meaning_of(verdict, record)
    return Judgement(verdict, _SIGNS[verdict], meaning, record.health.findings)


def verdicts(records: Sequence[RunRecord]) -> str:
    """Return how many rounds were judged how, the most severe first."""
    found = Counter(judgement(record).verdict for record in records)
    counts = sorted(found.items(), key=lambda each: (*SEVERITY, each[0]).index(each[0]))
    return f"of {len(records)} rounds " + ", ".join(f"{count} {word}" for word, count in counts)


def warnings(record: RunRecord) -> Iterator[str]:
    """Yield what else must be known before any number is read: how it ended, if not as planned."""
    if record.outcome in _OUTCOMES:
        yield _OUTCOMES[record.outcome]
    if record.monitor is not None and record.monitor.target_ended_at_s is not None:
        yield end_of_target(record.monitor.target_ended_at_s)


def headline(record: RunRecord) -> Iterator[tuple[str, str]]:
    """Yield the few figures that most readers ask for."""
    actual = record.actual
    yield "sent" if record.plan.reply == "none" else "answered", format_rate(actual.messages_per_s)
    kind = latency_kind(record)
    for percent in (50.0, 99.0):
        figure = TimeMetric(kind, percent)
        if not figure.absence_in(record.plan):
            known = not figure.why_missing(record)
            shown = format_duration_ns(figure.measure(record) or 0) if known else _UNKNOWN
            yield f"{kind} time p{percent:g}", shown
    yield "failures", format_count(sum(failure.count for failure in record.failures))
    if actual.rejected:
        yield "rejected", rejections.in_words(record)
    cpu_ns = actual.cpu_per_message_ns
    yield "generator CPU a message", _UNKNOWN if cpu_ns is None else format_duration_ns(cpu_ns)


def latency_kind(record: RunRecord) -> str:
    """Return which latency stands for the run: ``response`` where there is one to believe."""
    is_ours = record.health is not None and not prints_response_time(record.health)
    return "service" if record.response_time_ns is None or is_ours else "response"


def beside(record: RunRecord) -> Iterator[Beside]:
    """Yield what was requested beside what came of it."""
    requested, actual = record.requested, record.actual
    opening = f" in {format_duration_s(actual.opening_s)}" if actual.opening_s else ""
    yield Beside(
        "connections",
        format_count(requested.connections),
        f"{format_count(actual.connections)} up{opening}",
    )
    if record.tls is not None:
        trusted = "verified" if record.tls.is_verified else "any certificate (--insecure)"
        yield Beside("TLS", trusted, summary_tls.in_words(record.tls))
    if requested.connect_rate_per_s is not None:
        asked, got = requested.connect_rate_per_s, actual.connect_rate_per_s
        yield Beside("connects", format_rate(asked), format_rate(got))
    if requested.warmup_s:
        yield Beside(
            "warm-up", format_duration_s(requested.warmup_s), format_duration_s(actual.warmup_s)
        )
    yield Beside(
        "duration",
        "until all are done"
        if requested.duration_s is None
        else format_duration_s(requested.duration_s),
        f"{format_duration_s(actual.duration_s)}, "
        f"then {format_duration_s(actual.drain_s)} to drain",
    )
    each = requested.messages_per_connection
    yield Beside(
        "messages",
        "as many as fit" if each is None else f"{format_count(each)} on each connection",
        f"{format_count(actual.submitted)} sent, "
        f"{format_count(actual.messages + actual.warmup_messages)} answered"
        + (f", {format_count(actual.rejected)} of them rejected" if actual.rejected else "")
        if record.plan.reply != "none"
        else f"{format_count(actual.messages + actual.warmup_messages)} sent",
    )
    rate = requested.rate_per_s
    yield Beside(
        "rate",
        _unlimited(record) if rate is None else format_rate(rate),
        f"{format_rate(actual.submitted_per_s)} sent, {format_rate(actual.messages_per_s)} "
        + ("taken" if record.plan.reply == "none" else "answered"),
    )
    for what, found in summary_replies.facts(record):
        yield Beside(what, "", found)


def _unlimited(record: RunRecord) -> str:
    is_one_way = record.plan.reply == "none"
    return "as fast as the kernel takes them" if is_one_way else "as fast as replies come"


def plan_line(record: RunRecord) -> str:
    """Return target, backend, connections, load model, payload and reply in one line."""
    address = target_in_words(record.target)
    server = ", the embedded echo server" if record.target.embedded else ""
    connections = f"{format_count(record.plan.connections)} connections"
    return f"{address}{server}: {connections}, {plan_in_words(record.plan)}, on {record.backend}"


def command(record: RunRecord) -> list[str]:
    """Return the words, quoted for a shell, of the command that repeats the run, if one does."""
    words = None if record.workers else repeat_command.command_of(record.plan)
    return [repeat_command.for_shell(word) for word in words or ()]


def why_no_command(record: RunRecord) -> str:
    """Return why no `command` repeats the run."""
    if record.workers:
        return f"{len(record.workers)} processes carried it out together"
    return repeat_command.why_no_command(record.plan)


def failures(record: RunRecord) -> Iterator[tuple[str, str, str, str]]:
    """Yield each kind of failure: how often, what, first and last."""
    for failure in record.failures:
        local = " (this machine's limit, not the server's)" if failure.is_local else ""
        yield (
            format_count(failure.count),
            f"{failure.phase}: {failure.cause.text}{local}",
            moment(failure.first_s),
            moment(failure.last_s),
        )


def slowest(record: RunRecord) -> Iterator[tuple[str, ...]]:
    """Yield the slowest connections: name, answered, mean, p99 and max of service time."""
    for each in record.connections.worst:
        times = (each.service_time_mean_ns, each.service_time_p99_ns, each.service_time_max_ns)
        shown = [
            format_duration_ns(time) if each.service_time_max_ns else _UNKNOWN for time in times
        ]
        yield (
            f"connection {each.index}",
            format_count(each.answered),
            *shown,
            _state(each),
        )


def began(record: RunRecord) -> str:
    """Return when the run began, to the second."""
    return f"{parse_moment(record.started_at):%Y-%m-%d %H:%M:%S} UTC"


def environment(record: RunRecord) -> Iterator[tuple[str, str]]:
    """Yield where the run took place, and with what."""
    machine = record.environment
    yield "began", began(record)
    yield "loadgen", machine.loadgen
    yield "Python", machine.python
    yield "libraries", ", ".join(f"{name} {text}" for name, text in machine.libraries.items())
    cores = f"{machine.cpus_usable} of {machine.cpus} cores"
    yield "machine", f"{machine.machine}: {machine.cpu}, {cores}"
    yield "memory", format_bytes(machine.memory_bytes)
    yield "system", f"{machine.system} {machine.kernel}"
    for name, value in machine.limits.items():
        yield name.replace("_", " "), "no limit" if value is None else str(value)
    yield "engine", record.engine + (f" ({record.why_python})" if record.why_python else "")
    stamps = record.timestamps
    yield "timestamps", stamps.mode + (f" ({stamps.reason})" if stamps.reason else "")


def whole_plan(record: RunRecord) -> Iterator[tuple[str, str]]:
    """Yield every field of the plan and its value; of many payloads the first."""
    for name, value in msgspec.structs.asdict(record.plan).items():
        shown, more = first(value) if isinstance(value, tuple) else (value, "")
        yield name, f"{as_json(shown).decode()} {more}".rstrip()


def _state(connection: ConnectionRecord) -> str:
    return connection.failure or connection.state
