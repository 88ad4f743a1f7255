"""What a page of anywhere may do through the web UI of a Locust: it posts forms, and we look."""

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlencode

import pytest
from locusts import NEEDED, PACED, Locust, Locusts
from servers import ScriptedServer, echoes

pytestmark = NEEDED

FOREIGN: Final = "http://elsewhere.example"
SWARM: Final = {"user_count": 2, "spawn_rate": 100}
BEFORE: Final = "what was there before"


class Stage(NamedTuple):
    """A master with a page, and one worker that it knows."""

    master: Locust
    worker: Locust
    locusts: Locusts
    server: ScriptedServer
    unix: str

    def start(self, **form: object) -> tuple[int, str]:
        return self.master.post_from(FOREIGN, "/swarm", urlencode({**SWARM, **form}))

    def change_user(self, **settings: object) -> tuple[int, str]:
        return self.master.post_from(FOREIGN, "/user", json.dumps(settings))

    def end(self) -> None:
        self.master.signal(signal.SIGTERM)
        assert (self.master.end(), self.worker.end()) == (0, 0)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    path = tmp_path / "door"
    with (
        ScriptedServer(echoes) as server,
        socket.socket(socket.AF_UNIX) as door,
        Locusts(tmp_path, PACED) as locusts,
    ):
        door.bind(str(path))
        door.listen()
        door.setblocking(False)
        worker = locusts.worker()
        master = locusts.master_with_page("--host", f"tcp://{server.address}")
        master.wait_for_line("1 workers connected")
        yield Stage(master, worker, locusts, server, f"unix://{path}")
        with pytest.raises(BlockingIOError):
            door.accept()


def test_a_form_of_another_origin_names_no_file_that_is_written(
    stage: Stage, tmp_path: Path
) -> None:
    victims = {
        option: tmp_path / f"victim.{option}"
        for option in ("loadgen_json", "html_file", "json_file", "csv_prefix", "logfile")
    }
    for victim in victims.values():
        victim.write_text(BEFORE, encoding="utf-8")
    there = set(tmp_path.iterdir())
    status, _ = stage.start(**victims, headless="true", json="true", loadgen_run="7")
    assert status == 200
    stage.master.wait_for_line(r"the start form has no field .*'loadgen_json'.*; left out")
    stage.master.wait_for(lambda: stage.server.accepted == SWARM["user_count"])
    stage.master.ask("POST", "/stop")
    stage.end()
    assert {victim.read_text(encoding="utf-8") for victim in victims.values()} == {BEFORE}
    assert stage.locusts.records.keys() == {"Talk", "Script"}
    added = {path.name for path in set(tmp_path.iterdir()) - there}
    assert all(name.startswith(("out", "log.")) for name in added), added


def test_a_form_names_no_unix_socket_that_is_loaded(stage: Stage) -> None:
    for host in (stage.unix, stage.unix.replace("unix", "un<ix>")):
        status, text = stage.start(host=host)
        answer = json.loads(text)
        assert (status, answer["success"]) == (200, False)
        assert "a form cannot set a UNIX socket; name it on the command line" in answer["message"]
    assert stage.change_user(user_class_name="Talk", host=stage.unix)[0] == 400
    assert stage.start()[0] == 200
    stage.master.wait_for(lambda: stage.server.accepted == SWARM["user_count"])
    stage.end()


def test_of_a_user_class_a_form_changes_what_the_page_shows_of_it_alone(stage: Stage) -> None:
    bad = (
        {"user_class_name": "Talk", "payloads": ["x"]},
        {"user_class_name": "Talk", "check": "x"},
        {"user_class_name": "Talk", "host": ["x"]},
        {"user_class_name": "Talk", "fixed_count": 1e999},
        {"user_class_name": "Talk", "weight": "x"},
        {"user_class_name": "Talk", "tasks": 7},
        {"user_class_name": "Nobody", "weight": 1},
        {"user_class_name": ["Talk"]},
    )
    for settings in bad:
        status, text = stage.change_user(**settings)
        assert (status, text.count("\n")) == (400, 1), (settings, text)
    for body in ("", "[]", "7", "[" * 100_000):
        assert stage.master.post_from(FOREIGN, "/user", body)[0] == 400
    assert stage.change_user(user_class_name="Script", fixed_count=1)[0] == 201
    assert stage.start()[0] == 200
    stage.master.wait_for(lambda: stage.server.accepted == SWARM["user_count"])
    stage.end()
    assert stage.locusts.records.keys() == {"Talk", "Script"}
