"""docker-compose.yml, as docker-compose reads it, and its services, a container for each."""

import contextlib
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import images
import pytest
from command import ROOT
from containers import Container, Network, Setting, wait_until

COMPOSE: Final = shutil.which("docker-compose")
TO_JSON: Final = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"
STOP_S: Final = 10.0
"""What Docker gives a container before it kills it."""

Words = dict[str, Any]
"""What the file says of one service."""


def services(**variables: str) -> dict[str, Words]:
    """Return all services with these ``variables``; skip the test where the file cannot be read.

    docker-compose checks it against the schema of the specification; what it finds fails the test.
    """
    if COMPOSE is None:
        pytest.skip("needs docker-compose, which is not installed here")
    environment = {name: it for name, it in os.environ.items() if not name.startswith("LOADGEN_")}
    with Path(COMPOSE).open("rb") as program:
        first_line = program.readline()
    # Version 1 writes YAML alone; it is a Python program, and its Python can read it.
    is_script = first_line.startswith(b"#!")
    command = [COMPOSE, "--file", str(ROOT / "docker-compose.yml"), "--profile", "headless"]
    command += ["config", *([] if is_script else ["--format", "json"])]
    content = _output(command, b"", {**environment, **variables})
    if is_script:
        content = _output([first_line[2:].decode().strip(), "-c", TO_JSON], content, environment)
    found: dict[str, Words] = json.loads(content)["services"]
    return found


def _output(command: list[str], content: bytes, environment: dict[str, str]) -> bytes:
    done = subprocess.run(command, input=content, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@dataclass(frozen=True)
class Service:
    """A container of a service, in which its command runs."""

    words: Words
    container: Container
    setting: Setting
    process: "subprocess.Popen[bytes]"

    def wait_until_healthy(self) -> None:
        """Return when the service's health check finds nothing wrong."""
        kind, *test = self.words["healthcheck"]["test"]
        assert kind == "CMD"
        wait_until(
            lambda: self.container.succeeds(*test, setting=self.setting),
            tell=lambda: (test, self.process.poll(), self.container.log),
        )

    def stop(self) -> int:
        """End it as ``docker stop`` does; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)


def _less(words: Words) -> list[str]:
    """Return how setpriv(1) takes away what Docker would."""
    less = ["--bounding-set=-all", "--inh-caps=-all"] if words.get("cap_drop") == ["ALL"] else []
    if "no-new-privileges:true" in words.get("security_opt", []):
        less.append("--no-new-privs")
    return less


def _make_read_only(container: Container, volumes: list[str]) -> None:
    for place in volumes:
        container.run("mount", "--bind", place, place)
    container.run("mount", "-o", "remount,ro,bind", "/")


def hard_limit() -> int:
    """Return how many descriptors this machine lets us give to a command."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


@contextlib.contextmanager
def up(words: Words, name: str, network: Network, directory: Path) -> Iterator[Service]:
    """Run the service that ``words`` describe under ``name``, with the loadgen of the tests."""
    built = directory / f"{name}-built"
    (built / "opt").mkdir(parents=True)
    (built / "opt/loadgen").symlink_to(sys.prefix)
    with Container(name, directory, network) as container:
        setting = images.build(images.stages()[""], container, {"build": built})
        wanted = words.get("ulimits", {}).get("nofile", setting.descriptors)
        setting = replace(setting, descriptors=min(wanted, hard_limit()))
        for place in words.get("tmpfs", []):
            container.mount_empty(place)
        for key, value in words.get("sysctls", {}).items():
            file = f"/proc/sys/{key.replace('.', '/')}"
            container.run("sh", "-c", 'echo "$1" > "$2"', "sh", str(value), file)
        setting = replace(setting, less=_less(words))
        if words.get("read_only"):
            _make_read_only(container, [it.split(":")[1] for it in words.get("volumes", [])])
        command = words["command"]
        arguments = shlex.split(command) if isinstance(command, str) else command
        with container.running(*arguments, setting=setting) as process:
            yield Service(words, container, setting, process)
