"""The Dockerfile, carried out step by step in a `Container`, with the context Docker would have."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

import pytest
from command import ROOT
from containers import Container, Setting

_FROM_OUTSIDE: Final = re.compile(r"PIP_.*|.*_proxy|.*_PROXY|SSL_CERT_FILE")
"""The variables by which pip reaches the index of packages from this machine."""

_OFFLINE: Final = re.compile(
    "NewConnectionError|ConnectTimeoutError|ProxyError|NameResolutionError"
    "|Failed to fetch|Unable to fetch|Unable to locate package"
)
"""What pip, and apt-get, say where they reach no index of packages."""


class Step(NamedTuple):
    """One instruction: its name, in capitals, and the rest of it."""

    word: str
    rest: str


def skip_unlike_the_base_image() -> None:
    """Skip the test where this machine, and its Python, cannot stand for the base image."""
    missing = [
        name for name in ("python", "pip") if not Path(sys.base_prefix, "bin", name).exists()
    ]
    if missing:
        pytest.skip(f"{sys.base_prefix}/bin is without {' and '.join(missing)}")
    if shutil.which("apt-get") is None:
        pytest.skip("needs apt-get, which is not installed here")


def skip_unless_online(install: Callable[[], object]) -> None:
    """Call ``install``; skip the test if it does not reach an index of packages."""
    try:
        install()
    except AssertionError as error:
        if _OFFLINE.search(str(error)):
            pytest.skip("an index of packages cannot be reached")
        raise


def stages() -> dict[str, list[Step]]:
    """Return the steps of the Dockerfile, by the name of the stage; the last has the name ""."""
    found: dict[str, list[Step]] = {}
    for step in _steps():
        match step:
            case Step("FROM", rest):
                name = rest.partition(" AS ")[2]
                found[name] = []
            case Step("ARG"):
                pass
            case _:
                found[name].append(step)
    return found


def _steps() -> list[Step]:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    joined = text.replace("\\\n", " ").splitlines()
    return [Step(*line.split(None, 1)) for line in joined if line.strip()]


def build(steps: list[Step], container: Container, others: Mapping[str, Path]) -> Setting:
    """Carry out ``steps`` in ``container``; return how its commands run.

    others: the roots of the stages before, by name.
    """
    setting = Setting()
    outside = {name: value for name, value in os.environ.items() if _FROM_OUTSIDE.fullmatch(name)}
    for word, rest in steps:
        match word:
            case "RUN":
                variables = {**outside, **setting.variables}
                container.run("sh", "-c", rest, setting=replace(setting, variables=variables))
            case "COPY":
                _copy(rest, setting.directory, container, others)
            case "ENV":
                pairs = (pair.partition("=") for pair in shlex.split(rest))
                known = setting.variables
                new = {name: value.replace("$PATH", known["PATH"]) for name, _, value in pairs}
                setting = replace(setting, variables={**known, **new})
            case "WORKDIR":
                container.path(rest).mkdir(parents=True, exist_ok=True)
                setting = replace(setting, directory=rest)
            case "USER":
                variables = {**setting.variables, "HOME": f"/home/{rest}"}
                setting = replace(setting, user=rest, variables=variables)
            case "CMD":
                pass
            case _:
                raise AssertionError(f"what does {word} do?")
    return setting


def _copy(rest: str, directory: str, container: Container, others: Mapping[str, Path]) -> None:
    *sources, destination = rest.split()
    stage: Path | None = None
    if sources[0].startswith("--from="):
        stage = others[sources.pop(0).removeprefix("--from=")]
    into = container.path(str(PurePosixPath(directory, destination)))
    if destination.endswith("/"):
        into.mkdir(parents=True, exist_ok=True)
    into.parent.mkdir(parents=True, exist_ok=True)
    for source in sources:
        if stage is not None:
            _place(stage / source.lstrip("/"), into)
        else:
            assert not is_ignored(source), f"the context is without {source}"
            _place(ROOT / source, into)


def _place(source: Path, into: Path) -> None:
    if source.is_symlink():
        into.symlink_to(source.readlink())
    elif source.is_dir():
        shutil.copytree(source, into, symlinks=True, ignore=_left_out, dirs_exist_ok=True)
    else:
        shutil.copy(source, into)


def _left_out(directory: str, names: list[str]) -> set[str]:
    if not Path(directory).is_relative_to(ROOT):
        return set()
    inside = Path(directory).relative_to(ROOT).as_posix()
    return {name for name in names if is_ignored(f"{inside}/{name}")}


def is_ignored(path: str) -> bool:
    """Return whether .dockerignore keeps ``path``, relative to the tree, out of the context."""
    parts = [path, *map(str, PurePosixPath(path).parents)]
    verdict = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = _regex(line.removeprefix("!"))
        if not line.startswith("#") and any(map(pattern.fullmatch, parts)):
            verdict = not line.startswith("!")
    return verdict


def _regex(pattern: str) -> re.Pattern[str]:
    escaped = re.escape(pattern)
    return re.compile(escaped.replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*"))
