"""Whole runs of Locust as a user starts them, in their own processes.

Each message is counted by the target, by loadgen in its record, and by Locust in its CSV and JSON
files; `locust_accounts` compares these.
"""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from command import ROOT, environment, measured
from locust_accounts import Accounts, records_in

from bench.peers.processes import reserved_port
from loadgen.results.record import RunRecord

DEADLINE_S: Final = 50.0
"""Only a broken program takes this long."""

PACED: Final = """
from locust import constant, task

from loadgen.locust import ScriptedSocketUser, SocketUser


class Talk(SocketUser):
    weight = 2
    payloads = (bytes(64),)
    wait_time = constant(0.005)


class Script(ScriptedSocketUser):
    wait_time = constant(0.005)

    @task
    def say(self):
        self.client.request(bytes(64), name="first")
        self.client.request(bytes(64), name="second")
"""
"""One user class of each kind, both with users on each of two workers."""

FULL_SPEED: Final = PACED.replace("constant(0.005)", "constant(0)")
LOAD: Final = ("-u", "12", "-r", "100")

T = TypeVar("T")

# Locust closes its CSV files before it waits for its children, and may write to them meanwhile.
_LATE: Final = re.compile(
    r"^Traceback.*\n(?:  .*\n)*?  .* in stats_writer\n(?:  .*\n)*ValueError: .* on closed file",
    re.MULTILINE,
)


class Locust:
    """A running Locust with its children: its output, its end, and its web UI."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, web_port: int | None) -> None:
        self.process = process
        self._log = log
        self._web_port = web_port

    @property
    def text(self) -> str:
        """All that it has written."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, condition: Callable[[], T]) -> T:
        """Return the value of ``condition`` once it is true; Locust must not end before."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not (found := condition()):
            assert self.process.poll() is None, f"it has ended:\n{self.text}"
            assert time.monotonic() < deadline_s, f"it never happened:\n{self.text}"
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.05)
        return found

    def wait_for_line(self, pattern: str) -> re.Match[str]:
        """Return where its output matches ``pattern``, once it does."""
        match = self.wait_for(lambda: re.search(pattern, self.text, re.MULTILINE))
        assert match is not None
        return match

    def wait_for_requests(self) -> None:
        """Return when its console has printed requests."""
        self.wait_for_line(r"^ +Aggregated +[1-9]")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def interrupt_group(self) -> None:
        """Interrupt it and all of its children, as ^C at a terminal does."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """Kill it, with all of its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self) -> int:
        """Wait for its end; return the exit code. No traceback is allowed except `_LATE`."""
        try:
            code = self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it goes on:\n{self.text}") from None
        assert "Traceback" not in _LATE.sub("", self.text), self.text
        return code

    # ---- through the web UI ---------------------------------------------------------------

    def wait_until_it_serves(self) -> None:
        """Return when the web UI answers."""

        def answers() -> bool:
            with contextlib.suppress(ConnectionError):
                self.ask("GET", "/loadgen/overview.json")
                return True
            return False

        self.wait_for(answers)

    def ask(self, method: str, path: str, **form: object) -> Any:
        """Return the response of the web UI: its JSON, or its text."""
        assert self._web_port is not None
        connection = http.client.HTTPConnection("127.0.0.1", self._web_port, timeout=DEADLINE_S)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            connection.request(method, path, urllib.parse.urlencode(form), headers)
            with connection.getresponse() as response:
                kind, text = response.headers.get_content_type(), response.read().decode()
                assert response.status == http.HTTPStatus.OK, text
        finally:
            connection.close()
        return json.loads(text) if kind == "application/json" else text

    def post_from(self, origin: str, path: str, body: str) -> tuple[int, str]:
        """Post as a browser does for a page of ``origin``; return the status and the text.

        What ``body`` is stands in no header but that which a form has: no question comes before.
        """
        assert self._web_port is not None
        connection = http.client.HTTPConnection("127.0.0.1", self._web_port, timeout=DEADLINE_S)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": origin}
        try:
            connection.request("POST", path, body, headers)
            with connection.getresponse() as response:
                return response.status, response.read().decode()
        finally:
            connection.close()

    def overview(self) -> Any:
        """Return the state of the run, and the figures of each user class so far."""
        return self.ask("GET", "/loadgen/overview.json")


class Locusts:
    """Starts Locusts in a folder, all with the same Locust file; ends them on exit.

    master_port: where workers find their master.
    """

    def __init__(self, folder: Path, locustfile: str) -> None:
        self.folder = folder
        self._file = folder / "locustfile.py"
        self._file.write_text(locustfile, encoding="utf-8")
        self._started: list[Locust] = []
        self._reserved = contextlib.ExitStack()
        self.master_port = self._reserved.enter_context(reserved_port())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for locust in self._started:
            locust.kill()
        self._reserved.close()

    def run(self, *options: str) -> int:
        """Run one without a web UI to its end; return the exit code."""
        return self.headless(*options).end()

    def headless(self, *options: str) -> Locust:
        """Start one without a web UI, which writes its files into the folder."""
        return self._start("--headless", *self._output(), *options)

    def master(self, workers: int, *options: str) -> Locust:
        """Start a master without a web UI, which waits for that many ``workers``."""
        return self.headless(*self._master(), "--expect-workers", str(workers), *options)

    def master_with_page(self, *options: str) -> Locust:
        """Start a master with a web UI, and wait until it responds."""
        port = self._reserved.enter_context(reserved_port())
        web = ("--web-host", "127.0.0.1", "--web-port", str(port))
        locust = self._start(*self._master(), *web, *self._output(), *options, web_port=port)
        locust.wait_until_it_serves()
        return locust

    def worker(self) -> Locust:
        """Start a worker."""
        master = ("--master-host", "127.0.0.1", "--master-port", str(self.master_port))
        return self._start("--worker", *master)

    def _master(self) -> tuple[str, ...]:
        bind = ("--master-bind-host", "127.0.0.1", "--master-bind-port", str(self.master_port))
        return ("--master", *bind)

    def _output(self) -> tuple[str, ...]:
        out = str(self.folder / "out")
        return ("--csv", out, "--json-file", out, "--loadgen-json", f"{out}.record.json")

    def _start(self, *options: str, web_port: int | None = None) -> Locust:
        log = self.folder / f"log.{len(self._started)}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "locust", "-f", str(self._file), *options],
                cwd=ROOT,
                env=environment(**measured()),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._started.append(Locust(process, log, web_port))
        return self._started[-1]

    @property
    def records(self) -> dict[str, RunRecord]:
        """The records written so far, by user class."""
        return records_in(self.folder)

    @property
    def accounts(self) -> Accounts:
        """The counts in the files of a Locust that has ended."""
        return Accounts.of(self.folder)
