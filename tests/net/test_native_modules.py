"""A module in C, or in words why it cannot be had: the causes that a run does not show."""

import sysconfig
from pathlib import Path

import pytest

from loadgen.net.native_modules import Absence, load

NAME = "no_module_of_that_name"


def absence_of(name: str) -> Absence:
    found = load(name)
    assert isinstance(found, Absence)
    return found


def test_a_file_that_is_no_module_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"{NAME}.abi3.so"
    path.touch()
    monkeypatch.syspath_prepend(tmp_path)
    reason, remedy = absence_of(NAME)
    assert reason.startswith("the native module cannot be loaded: ")
    assert str(path) in reason
    assert remedy.startswith("install loadgen again")


def test_a_module_from_before_there_was_a_number_is_of_another_version() -> None:
    assert "another version" in absence_of("loadgen.errors").reason  # it has none, either


def test_no_compiler_helps_a_python_without_the_gil(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = sysconfig.get_config_vars()
    monkeypatch.setitem(variables, "Py_GIL_DISABLED", 0)
    assert "C compiler" in absence_of(NAME).remedy
    monkeypatch.setitem(variables, "Py_GIL_DISABLED", 1)
    reason, remedy = absence_of(NAME)
    assert "no limited API" in reason
    assert "C compiler" not in remedy
