"""The table of verdict rules: a rule that is not in it would never be applied."""

import inspect
import pkgutil
from collections import Counter
from importlib import import_module
from types import ModuleType

from loadgen.analysis import verdict
from loadgen.analysis.verdict.rules import (
    GENERATOR_LIMIT_CODES,
    RULES,
    RULES_IF_UNREACHABLE,
    SERVER_CODES,
)


def rule_modules() -> list[ModuleType]:
    names = [each.name for each in pkgutil.iter_modules(verdict.__path__)]
    return [
        import_module(f"{verdict.__name__}.{name}") for name in names if name.endswith("_rules")
    ]


def test_the_table_has_every_rule_once() -> None:
    written = [
        function
        for module in rule_modules()
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    ]
    assert len(written) > len(RULES_IF_UNREACHABLE)
    assert Counter(RULES) == Counter(written)


def test_the_codes_of_the_table_are_codes_of_rules() -> None:
    sources = "".join(map(inspect.getsource, rule_modules()))
    unknown = {code for code in GENERATOR_LIMIT_CODES | SERVER_CODES if f'"{code}"' not in sources}
    assert unknown == set()
