"""What is locked: every requirement of pyproject.toml, in its range, with hashes; and the image."""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from command import ROOT, TIMEOUT_S
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: Final[dict[str, list[str]]] = PROJECT["project"]["optional-dependencies"]
GROUPS: Final[dict[str, list[str]]] = PROJECT["dependency-groups"]
HASH: Final = re.compile(r"--hash=sha256:[0-9a-f]{64}")
PYTHONS: Final = ("3.11", "3.12", "3.13")

RUN: Final = PROJECT["project"]["dependencies"]
BUILD: Final = [*PROJECT["build-system"]["requires"], *GROUPS["build"]]
WANTED: Final = {
    "all": [*RUN, *EXTRAS["all"], *BUILD],
    "locust": [*RUN, *EXTRAS["locust"], *EXTRAS["http"], *BUILD],
    "tools": GROUPS["tools"],
}

every_list = pytest.mark.parametrize("name", WANTED)


def entries(name: str) -> list[str]:
    """Return what is locked there, each with its hashes in one line."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().replace("\\\n", "").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def locked(name: str) -> list[Requirement]:
    return [Requirement(entry.partition("--hash")[0]) for entry in entries(name)]


def requirements(texts: list[str]) -> Iterator[Requirement]:
    """Yield what ``texts`` ask for; an extra of loadgen is what stands there."""
    for requirement in map(Requirement, texts):
        if requirement.name == "loadgen":
            for extra in requirement.extras:
                yield from requirements(EXTRAS[extra])
        else:
            yield requirement


def missing(wanted: list[str], there: list[Requirement], python: str) -> list[str]:
    """Return which of ``wanted`` are not ``there`` in their range, for this ``python`` on Linux."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
    }
    versions = {
        canonicalize_name(each.name): str(each.specifier).removeprefix("==")
        for each in there
        if each.marker is None or each.marker.evaluate(environment)
    }
    return [
        str(each)
        for each in requirements(wanted)
        if (version := versions.get(canonicalize_name(each.name))) is None
        or not each.specifier.contains(version, prereleases=True)
    ]


@every_list
def test_every_requirement_is_locked_in_its_range(name: str) -> None:
    for python in PYTHONS:
        assert missing(WANTED[name], locked(name), python) == [], "refresh it: make lock"


def test_one_that_is_missing_or_too_old_is_found() -> None:
    there = [Requirement("numpy==1.25"), Requirement("rich==15.0")]
    assert missing(["numpy>=1.26", "rich>=13", "psutil"], there, "3.11") == [
        "numpy>=1.26",
        "psutil",
    ]


@every_list
def test_each_is_of_one_version_and_has_a_hash(name: str) -> None:
    assert entries(name)
    for entry in entries(name):
        assert HASH.search(entry), entry
        specifiers = list(Requirement(entry.partition("--hash")[0]).specifier)
        assert [each.operator for each in specifiers] == ["=="], entry


@every_list
def test_no_list_names_where_it_was_made(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert not re.search(r"://|--(extra-)?index-url|--find-links", text)


def test_the_image_gets_the_versions_that_are_tested() -> None:
    tested = {(each.name, str(each.specifier)) for each in locked("all")}
    assert {(each.name, str(each.specifier)) for each in locked("locust")} <= tested


def test_every_stage_stands_on_one_image_by_its_digest() -> None:
    words = re.findall(
        r"^FROM (\S+)(?: AS (\S+))?$", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )
    (image, base), *others = words
    assert re.fullmatch(r"python:3\.\d+-slim@sha256:[0-9a-f]{64}", image)
    assert [stage for stage, _ in others] == [base] * len(others)


@pytest.mark.parametrize(
    ("answer", "is_taken"), [("sha256:" + "0" * 64, True), ("", False), ("no such image", False)]
)
def test_the_digest_is_refreshed_where_a_registry_answers(
    tmp_path: Path, answer: str, is_taken: bool
) -> None:
    (tmp_path / ".ci").mkdir()
    script = shutil.copy(ROOT / ".ci" / "base-image", tmp_path / ".ci")
    before = (ROOT / "Dockerfile").read_text()
    (tmp_path / "Dockerfile").write_text(before)
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\necho '{answer}'\n")
    docker.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run([script], env={**os.environ, "PATH": path}, timeout=TIMEOUT_S, check=True)
    after = re.sub(r"sha256:[0-9a-f]{64}", answer, before) if is_taken else before
    assert (tmp_path / "Dockerfile").read_text() == after
