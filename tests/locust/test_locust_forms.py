"""What a page of another origin can do by posting forms to Locust's web UI."""

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlencode

import pytest
from locusts import PACED, Locust, Locusts
from optional import NEEDS_LOCUST
from servers import ScriptedServer, echoes

pytestmark = NEEDS_LOCUST

FOREIGN: Final = "http://elsewhere.example"
SWARM: Final = {"user_count": 2, "spawn_rate": 100}
BEFORE: Final = "what was there before"


class WebRun(NamedTuple):
    """A master with a web UI, and one connected worker."""

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
def web_run(tmp_path: Path) -> Iterator[WebRun]:
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
        yield WebRun(master, worker, locusts, server, f"unix://{path}")
        with pytest.raises(BlockingIOError):
            door.accept()


def test_a_form_of_another_origin_sets_no_output_file(web_run: WebRun, tmp_path: Path) -> None:
    victims = {
        option: tmp_path / f"victim.{option}"
        for option in ("loadgen_json", "html_file", "json_file", "csv_prefix", "logfile")
    }
    for victim in victims.values():
        victim.write_text(BEFORE, encoding="utf-8")
    there = set(tmp_path.iterdir())
    status, _ = web_run.start(**victims, headless="true", json="true", loadgen_run="7")
    assert status == 200
    web_run.master.wait_for_line(r"the start form has no field .*'loadgen_json'.*; left out")
    web_run.master.wait_for(lambda: web_run.server.accepted == SWARM["user_count"])
    web_run.master.ask("POST", "/stop")
    web_run.end()
    assert {victim.read_text(encoding="utf-8") for victim in victims.values()} == {BEFORE}
    assert web_run.locusts.records.keys() == {"Talk", "Script"}
    added = {path.name for path in set(tmp_path.iterdir()) - there}
    assert all(name.startswith(("out", "log.")) for name in added), added


def test_a_form_cannot_set_a_unix_socket_as_target(web_run: WebRun) -> None:
    for host in (web_run.unix, web_run.unix.replace("unix", "un<ix>")):
        status, text = web_run.start(host=host)
        answer = json.loads(text)
        assert (status, answer["success"]) == (200, False)
        assert "a form cannot set a UNIX socket; name it on the command line" in answer["message"]
    assert web_run.change_user(user_class_name="Talk", host=web_run.unix)[0] == 400
    assert web_run.start()[0] == 200
    web_run.master.wait_for(lambda: web_run.server.accepted == SWARM["user_count"])
    web_run.end()


def test_a_form_changes_only_the_settings_of_the_class_picker(web_run: WebRun) -> None:
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
        status, text = web_run.change_user(**settings)
        assert (status, text.count("\n")) == (400, 1), (settings, text)
    for body in ("", "[]", "7", "[" * 100_000):
        assert web_run.master.post_from(FOREIGN, "/user", body)[0] == 400
    assert web_run.change_user(user_class_name="Script", fixed_count=1)[0] == 201
    assert web_run.start()[0] == 200
    web_run.master.wait_for(lambda: web_run.server.accepted == SWARM["user_count"])
    web_run.end()
    assert web_run.locusts.records.keys() == {"Talk", "Script"}
