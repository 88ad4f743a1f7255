"""A RunRecord as lines for people."""

from collections.abc import Iterable, Iterator

from loadgen.analysis import (
    censoring,
    engine_text,
    rejections,
    summary_replies,
    summary_times,
    summary_tls,
    summary_verdict,
)
from loadgen.analysis.lines import LABEL_COLUMNS, Line, aligned, labelled, wrapped
from loadgen.analysis.usage import Usage, usage_of
from loadgen.net.failure import Cause
from loadgen.net.target import with_numeric_host
from loadgen.plan import Plan
from loadgen.plan.payloads import (
    FilePayload,
    LinesPayload,
    MadePayload,
    PayloadSource,
    RedactedPayload,
    SizePayload,
)
from loadgen.plan.think_time import ThinkTime
from loadgen.results.delivered import LEAST_CPU_S
from loadgen.results.instruments import ProcessSamples
from loadgen.results.intervals import total_of
from loadgen.results.record import ConnectionRecord, RunRecord, TargetRecord
from loadgen.units import (
    format_bytes,
    format_count,
    format_duration_ns,
    format_duration_s,
    format_rate,
)

_SLOWEST_SHOWN = 3
_FAR_FROM_USUAL = 1.5
_ALL_UP = 0.999


def summarise(record: RunRecord) -> list[Line]:
    """Return the whole summary of ``record``."""
    return [
        *_heading(record),
        Line(""),
        *summary_verdict.verdict(record),
        *summary_verdict.checks(record),
        *_load(record),
        Line(""),
        *summary_times.table(record),
        Line(""),
        *_failures(record),
        *_advice(record),
        *_spread(record),
        *_workers(record),
    ]


def _heading(record: RunRecord) -> Iterator[Line]:
    target = record.target
    server = " (the embedded echo server; no target was named)" if target.embedded else ""
    where = target_in_words(target)
    yield Line(f"loadgen {record.environment.loadgen}: {where}{server}", "heading")
    yield from wrapped(carried_out_in_words(record), style="faint")
    match record.outcome:
        case "interrupted":
            yield Line("  interrupted before the end", "bad")
        case "lost":
            yield Line("  every connection had failed before the end", "bad")
        case "unreachable":
            yield Line("  no connection came up", "bad")


def target_in_words(target: TargetRecord) -> str:
    """Return the address that was asked for, and the one that was used where it had a name."""
    return with_numeric_host(target.address, target.resolved, target.others)


def carried_out_in_words(record: RunRecord) -> str:
    """Return what each connection did, with which backend and engine, in words."""
    engine = engine_text.in_words(record)
    return f"{plan_in_words(record.plan)}, on {record.backend}, {engine}"


def plan_in_words(plan: Plan) -> str:
    """Return what each connection does, in words."""
    sent = plan.application.describe(plan) or _payloads_in_words(plan.payloads)
    reply = "no reply" if plan.reply == "none" else f"reply {plan.reply}"
    verified = ", verified" if plan.verify else ""
    insecure = ", TLS with any certificate (--insecure)" if plan.insecure else ""
    return f"{sent}, {reply}{verified}, {_model_in_words(plan)}{insecure}"


def _model_in_words(plan: Plan) -> str:
    window = f"{plan.pipeline} in flight per connection"
    profile = plan.profile()
    if profile is not None:
        spread = "" if plan.arrivals == "constant" else f", {plan.arrivals}"
        window = "any number in flight" if plan.unlimited else window
        return f"open loop, {profile.describe()}{spread}, {window}"
    thinking = f", thinking {ThinkTime.parse(plan.think).describe()}" if plan.think else ""
    return f"closed loop, {window}{thinking}"


def _payloads_in_words(sources: tuple[PayloadSource, ...]) -> str:
    if len(sources) > 1:
        return f"{len(sources)} payloads in turn"
    match sources[0]:
        case FilePayload(path):
            return f"payload from {path}"
        case LinesPayload(path):
            return f"payloads from the lines of {path}"
        case MadePayload(by):
            return f"payloads made by {by}"
        case RedactedPayload(what, size_bytes):
            sent = format_bytes(size_bytes) if what == "text" else "a file's"
            return f"{sent} payload (redacted)"
        case SizePayload(size_bytes):
            pass
        case text:
            size_bytes = len(text)
    return f"{format_bytes(size_bytes)} payload"


def _load(record: RunRecord) -> Iterator[Line]:
    requested, actual = record.requested, record.actual
    # Inside Locust connections open all the time, as users are spawned.
    opening = f" in {format_duration_s(actual.opening_s)}" if actual.opening_s else ""
    yield labelled(
        "connections",
        f"{format_count(actual.connections)} of "
        f"{format_count(requested.connections)} up{opening}{_downtime(record)}",
    )
    yield from summary_tls.handshakes(record)
    asked = []
    if requested.duration_s is not None:
        asked.append(format_duration_s(requested.duration_s))
    if requested.messages_per_connection is not None:
        asked.append(f"{format_count(requested.messages_per_connection)} messages each")
    wanted = f", asked for {' or '.join(asked)}" if asked else ""
    yield labelled(
        "duration",
        f"{format_duration_s(actual.duration_s)}{wanted}"
        f"; then {format_duration_s(actual.drain_s)} to drain",
    )
    if not actual.connections:
        return
    if not actual.duration_s:
        ended = "the warm-up did" if actual.warmup_s else "the load began"
        yield Line(f"  it ended before {ended}", "bad")
        return
    if actual.warmup_s:
        yield labelled(
            "warm-up",
            f"{format_duration_s(actual.warmup_s)}, "
            f"{format_count(actual.warmup_messages)} messages, left out below",
        )
    yield labelled(
        "messages",
        f"{format_count(actual.messages)}"
        f"   {format_rate(actual.messages_per_s)}{_asked(record)}{_unfinished(record)}",
    )
    if actual.rejected:
        rest = f"; {format_rate(actual.succeeded_per_s)} succeeded"
        yield labelled("rejected", rejections.in_words(record) + rest, "bad")
        yield from wrapped(rejections.causes(record), LABEL_COLUMNS, "bad")
    yield from summary_replies.replies(record)
    if actual.in_flight_at_server is not None and not censoring.falls_behind(record):
        yield labelled("in flight", _in_flight(record))
    sent = total_of(record.intervals, "bytes_sent", "loading", "draining")
    received = total_of(record.intervals, "bytes_received", "loading", "draining")
    yield labelled("sent", _traffic(sent, actual.bytes_sent_per_s))
    yield labelled("received", _traffic(received, actual.bytes_received_per_s))
    yield from _usage(record)


def _downtime(record: RunRecord) -> str:
    """Return how many connections were up on average, where some were down."""
    found, duration_s = record.actual.connection_time, record.actual.duration_s
    if found is None or not duration_s or found.had_s > _ALL_UP * found.asked_s:
        return ""
    mean = found.had_s / duration_s
    shown = format_count(mean) if mean >= 10 else f"{mean:.2g}"
    none_up_s = found.nobody_up_s
    none_up = f"; none for {format_duration_s(none_up_s)}" if none_up_s else ""
    return f", {shown} on average of the load{none_up}"


def _usage(record: RunRecord) -> Iterator[Line]:
    """Yield what this process and the target used."""
    actual, monitor = record.actual, record.monitor
    is_known = actual.cpu_s >= LEAST_CPU_S and actual.duration_s >= LEAST_CPU_S
    share = actual.cpu_s / actual.duration_s if is_known else None
    own = Usage(share, actual.cpu_per_message_ns, None)
    whose = "workers" if len(record.workers) > 1 else "this process"
    if monitor is not None:
        memory = usage_of(record, monitor.generator, monitor).bytes_per_connection
        own = own._replace(bytes_per_connection=memory)
    yield labelled(whose, _usage_in_words(own), "faint")
    if monitor is None or monitor.target is None:
        return
    target = monitor.target
    used = _usage_in_words(usage_of(record, target, monitor))
    yield labelled("the target", f"{used} ({_processes(target)})", "faint")
    if monitor.target_ended_at_s is not None:
        yield Line(f"  {end_of_target(monitor.target_ended_at_s)}", "bad")


def end_of_target(at_s: float) -> str:
    """Return the words for a target that ended during a run."""
    return f"the target ended {at_s:.1f} s after the start"


def _usage_in_words(usage: Usage) -> str:
    words = []
    if usage.cpu_share is not None:
        words.append(f"{100 * usage.cpu_share:.0f} % of one core")
    if usage.cpu_per_message_ns is not None:
        words.append(f"{format_duration_ns(usage.cpu_per_message_ns)} a message")
    if usage.bytes_per_connection is not None:
        words.append(f"{format_bytes(usage.bytes_per_connection)} of memory a connection")
    return ", ".join(words) or "too little to tell"


def _processes(samples: ProcessSamples) -> str:
    pids = samples.pids
    return f"{samples.name}, {f'{len(pids)} processes' if len(pids) > 1 else f'process {pids[0]}'}"


def _asked(record: RunRecord) -> str:
    rate, overdue = record.requested.rate_per_s, record.actual.overdue
    if rate is None:
        return ""
    late = f"; {format_count(overdue)} overdue at the end" if overdue else ""
    return f", asked for {format_rate(rate)}{late}"


def _in_flight(record: RunRecord) -> str:
    """Return the mean number of messages at the server, and the most that may be in flight."""
    actual, plan = record.actual, record.plan
    number = actual.in_flight_at_server or 0.0
    shown = format_count(number) if number >= 10 else f"{number:.2g}"
    shown = "less than 0.01" if number < 0.01 else shown
    where = "at the server"
    if record.timestamps.mode == "user":
        where += " or not yet read"
    room = "" if plan.unlimited else f", of {format_count(actual.connections * plan.pipeline)}"
    return f"{shown} {where}{room} (rate times mean service time)"


def _unfinished(record: RunRecord) -> str:
    actual = record.actual
    lost = actual.submitted - actual.warmup_messages - actual.messages - actual.cut_off
    if record.datagrams is not None:  # where the others stand, too
        lost = record.datagrams.failed
    words = []
    if actual.cut_off:
        words.append(f"{format_count(actual.cut_off)} cut off by the end")
    if lost:
        words.append(f"{format_count(lost)} lost with failed connections")
    return f"   ({', '.join(words)})" if words else ""


def _traffic(size_bytes: int, bytes_per_s: float) -> str:
    return f"{format_bytes(size_bytes)}   {format_bytes(bytes_per_s)}/s"


def _failures(record: RunRecord) -> Iterator[Line]:
    if not record.failures:
        yield labelled("failures", "none")
        return
    total = sum(failure.count for failure in record.failures)
    yield labelled("failures", format_count(total), "bad")
    counts = aligned([[format_count(each.count)] for each in record.failures], ">", (9,))
    for failure, count in zip(record.failures, counts, strict=True):
        first, last = moment(failure.first_s), moment(failure.last_s)
        when = f"at {first}" if failure.count == 1 else f"from {first} to {last}"
        prefix = f"    {count}  "
        head, *others = wrapped(
            f"{failure.phase}: {failure.cause.text}  {when}", len(prefix), "bad"
        )
        yield Line(prefix + head.text.lstrip(), "bad")
        yield from others
        if failure.is_local:
            yield Line(f"{' ' * len(prefix)}(this machine's limit, not the server's)", "bad")


def _advice(record: RunRecord) -> Iterator[Line]:
    """Yield the likely mistake where replies and ``--reply`` do not fit together."""
    actual, reply = record.actual, record.plan.reply
    if any(failure.cause is Cause.UNEXPECTED_BYTES for failure in record.failures):
        yield Line(
            f"  the server sends more than --reply {reply} expects; --dump-one shows the bytes",
            "bad",
        )
        if not actual.messages and record.plan.greeting is None:
            yield Line("  if it speaks first, --greeting says what to wait for", "bad")
    elif reply == "none" or record.failures:
        return
    elif actual.submitted and not actual.messages + actual.warmup_messages:
        if actual.bytes_received:
            yield Line(f"  no reply was complete: --reply {reply} waits for more", "bad")
        else:
            yield Line(
                r"  the server sent nothing; does the payload need its line end, \r\n?", "bad"
            )


def moment(seconds: float) -> str:
    """Return a moment, counted from the start of the load, for people."""
    return f"{seconds:.2f} s" if seconds >= 0 else f"{-seconds:.2f} s before the load"


def _spread(record: RunRecord) -> Iterator[Line]:
    connections = record.connections
    if connections.fairness is None or record.actual.connections < 2:
        return
    text = f"  fairness     {connections.fairness:.3f} (Jain's index; 1 is even)"
    if connections.starved:
        yield Line(text)
        yield labelled(
            "starved",
            f"connections that were never answered: {format_count(connections.starved)}",
            "bad",
        )
    else:
        yield Line(f"{text}, none starved")
    yield from _slowest(connections.worst, record.service_time_ns.mean or 0.0)


def _slowest(worst: Iterable[ConnectionRecord], usual_ns: float) -> Iterator[Line]:
    """Name the slowest connection, and the next ones where they are far from the usual mean."""
    answered = [connection for connection in worst if connection.service_time_max_ns]
    for rank, connection in enumerate(answered[:_SLOWEST_SHOWN]):
        if rank and connection.service_time_mean_ns < _FAR_FROM_USUAL * usual_ns:
            break
        yield labelled(
            "slowest" if rank == 0 else "",
            f"connection {connection.index}: "
            f"service time mean {format_duration_ns(connection.service_time_mean_ns)}, "
            f"max {format_duration_ns(connection.service_time_max_ns)}",
            "faint",
        )


def _workers(record: RunRecord) -> Iterator[Line]:
    team = record.team
    if team is not None:
        lost = f", {format_count(len(team.lost))} lost" if team.lost else ""
        early = f", {format_count(len(team.ended_early))} ended early" if team.ended_early else ""
        yield labelled(
            "workers",
            f"{format_count(team.reported)} of {format_count(team.expected)} have "
            f"given their last report{lost}{early}",
            "plain" if team.reported == team.expected else "bad",
        )
    for rank, worker in enumerate(record.workers):
        yield labelled(
            "by worker" if rank == 0 else "",
            f"{worker.name}: {worker.verdict}, "
            f"{format_count(worker.connections)} connections, {format_rate(worker.messages_per_s)}",
            "faint",
        )
