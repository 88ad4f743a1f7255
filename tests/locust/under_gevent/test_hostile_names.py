"""Hostile names from workers, in the log, the summary and the page of a master."""

from typing import Any

import msgspec
import pytest
from hostile import HOSTILE, Filled, check_quiet, check_said
from locust.env import Environment
from records import closed_loop, distribution

from loadgen.locust.messages import ClassReport
from loadgen.locust.roles import Local
from loadgen.locust.web.page_data import Overview


def texts_in(value: Any) -> list[str]:
    match value:
        case str():
            return [value]
        case dict():
            return [text for pair in value.items() for each in pair for text in texts_in(each)]
        case list():
            return [text for each in value for text in texts_in(each)]
    return []


def test_are_shown_escaped(caplog: pytest.LogCaptureFixture) -> None:
    record = Filled(HOSTILE).filled(msgspec.structs.replace(closed_loop(), workers=[], team=None))
    report = ClassReport(
        user_class=HOSTILE,
        users=1,
        connections_up=1,
        record=msgspec.structs.replace(record, workers=[], team=None, health=None),
        names={HOSTILE: distribution(1000)},
        is_last=True,
        run=1,
    )
    role = Local(Environment())
    caplog.set_level("INFO")
    role.collector.receive(HOSTILE, [report])
    role.collector.begin(1)
    role.collector.receive(HOSTILE, [report])
    shown = Overview(role.environment, role.collector)()
    [latency] = shown["user_classes"][0]["names"]
    assert latency["name"].startswith(r"A\n")
    for text in texts_in(shown):
        check_quiet(text)
        assert "\n" not in text
    role._summarise()
    assert any("reports of an earlier run" in line for line in caplog.messages)
    assert any(r"\x1b[2J" in line for line in caplog.messages)
    for line in caplog.messages:
        check_said(line)
        assert "\n" not in line
