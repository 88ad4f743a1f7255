"""The figures that the page shows, as plain values for JSON."""

from typing import Any

from locust.env import Environment

from loadgen.analysis import summary
from loadgen.analysis.verdict.judging import prints_response_time
from loadgen.files.encoded import with_texts
from loadgen.locust.collector import Collector, WorkerContribution
from loadgen.locust.recent_seconds import Second
from loadgen.net.clock import monotonic_ns
from loadgen.results.distribution import Distribution
from loadgen.results.record import RunRecord
from loadgen.results.verdict import Health
from loadgen.text import readable
from loadgen.units import NS_PER_S, ns_to_seconds

_PERCENTILES = {"p50_ns": 50.0, "p90_ns": 90.0, "p99_ns": 99.0, "p999_ns": 99.9}


class Overview:
    """Callable: returns the state of the run and the figures of each user class so far.

    They are computed at most once a second, however many pages ask.
    """

    def __init__(self, environment: Environment, collector: Collector) -> None:
        self._environment = environment
        self._collector = collector
        self._made_ns = -NS_PER_S
        self._user_classes: list[dict[str, Any]] = []

    def __call__(self) -> dict[str, Any]:
        """Return them as plain values."""
        if monotonic_ns() - self._made_ns >= NS_PER_S:
            self._made_ns = monotonic_ns()
            self._user_classes = [
                with_texts(_user_class(name, record, self._collector), readable)
                for name in sorted(self._collector.contributions)
                if (record := self._collector.record_so_far(name)) is not None
            ]
        runner = self._environment.runner
        return {
            "state": "" if runner is None else runner.state,
            "user_classes": self._user_classes,
        }


def _user_class(name: str, record: RunRecord, collector: Collector) -> dict[str, Any]:
    workers, team = collector.contributions[name], record.team
    lost = {} if team is None else {each.name: each.at_s for each in team.lost}
    rows = [_worker(worker, each, lost.get(worker)) for worker, each in sorted(workers.items())]
    reporting = [each.report for worker, each in workers.items() if worker not in lost]
    rows += [_lost_early(worker, at_s) for worker, at_s in lost.items() if worker not in workers]
    return {
        "user_class": name,
        "target": record.target.address,
        "plan": summary.carried_out_in_words(record),
        **_verdict(record.health),
        "users": sum(report.users for report in reporting),
        "connections_up": sum(report.connections_up for report in reporting),
        "messages": record.actual.messages,
        "messages_per_s": record.actual.messages_per_s,
        "failures": [
            {"text": f"{failure.phase}: {failure.cause.text}", "count": failure.count}
            for failure in record.failures
        ],
        "times": [
            {"name": title, **_figures(times)}
            for title, times in _times(record).items()
            if times is not None
        ],
        "names": [
            {"name": title, **_figures(times)} for title, times in collector.names(name).items()
        ],
        "workers_expected": len(workers) if team is None else team.expected,
        "workers_reporting": len(workers) if team is None else team.reported,
        "workers": rows,
        "recent": [_second(each) for each in collector.recent(name)],
    }


def _times(record: RunRecord) -> dict[str, Distribution | None]:
    is_late = record.health is not None and not prints_response_time(record.health)
    return {
        "service time": record.service_time_ns,
        "response time": None if is_late else record.response_time_ns,
        "schedule lag": record.schedule_lag_ns,
        "receive lag": record.receive_lag_ns,
        "user-space latency": record.user_space_latency_ns,
        "connect": record.connect_latency_ns,
        "handshake": record.handshake_ns,
    }


def _figures(times: Distribution) -> dict[str, float | None]:
    """Return count, mean, percentiles and maximum; null where there are too few values."""
    percentiles = {
        key: times.percentile(percent) if times.carries(percent) else None
        for key, percent in _PERCENTILES.items()
    }
    return {"count": times.count, "mean_ns": times.mean, **percentiles, "max_ns": times.max}


def _verdict(health: Health | None) -> dict[str, Any]:
    findings = [] if health is None else health.findings
    return {
        "verdict": "inconclusive" if health is None else health.verdict,
        "findings": [
            {"code": each.code, "evidence": each.evidence, "advice": each.advice}
            for each in findings
        ],
    }


def _worker(name: str, contribution: WorkerContribution, lost_at_s: float | None) -> dict[str, Any]:
    """Return the row of a worker; ``lost_at_s``: when it was last heard of, if it is lost."""
    report = contribution.report
    record = report.record
    verdict = _verdict(record.health)
    findings = verdict["findings"]
    service, lag = _figures(record.service_time_ns), record.receive_lag_ns
    return {
        "name": name,
        "users": report.users,
        "connections_up": report.connections_up,
        "messages": record.actual.messages,
        "messages_per_s": record.actual.messages_per_s,
        "verdict": verdict["verdict"],
        "evidence": findings[0]["evidence"] if findings else "",
        "service_p50_ns": service["p50_ns"],
        "service_p99_ns": service["p99_ns"],
        "receive_lag_p99_ns": None if lag is None else _figures(lag)["p99_ns"],
        "waiting_share": record.generator.waiting_share,
        "report_age_s": 0.0
        if report.is_last
        else ns_to_seconds(monotonic_ns() - contribution.heard_ns),
        "lost_at_s": lost_at_s,
    }


def _lost_early(name: str, lost_at_s: float) -> dict[str, Any]:
    """Return the row of a worker that was lost before its first report."""
    unknown = (
        *("users", "connections_up", "messages", "messages_per_s", "service_p50_ns"),
        *("service_p99_ns", "receive_lag_p99_ns", "waiting_share", "report_age_s"),
    )
    return {
        "name": name,
        "verdict": "inconclusive",
        "evidence": "it has not reported",
        **dict.fromkeys(unknown),
        "lost_at_s": lost_at_s,
    }


def _second(second: Second) -> dict[str, Any]:
    latency = second.latency
    return {
        "at_s": second.at_s,
        "messages_per_s": second.messages_per_s,
        "p50_ns": latency.p50,
        "p99_ns": latency.p99 if latency.carries(99) else None,
    }
