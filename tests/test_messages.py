"""Expected sentences stand in messages.toml alone, and each of them is used."""

import ast
import tomllib
from pathlib import Path

import pytest

from tests.helpers import ROOT

TESTS = ROOT / "tests"
MODULES = {".".join(path.relative_to(TESTS).with_suffix("").parts): path for path in sorted(TESTS.rglob("test_*.py"))}
TABLES = tomllib.loads((TESTS / "messages.toml").read_text(encoding="utf-8"))


def is_sentence(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value.split()) > 2


def test_every_table_has_its_module() -> None:
    assert set(TABLES) <= set(MODULES)


@pytest.mark.parametrize("path", MODULES.values(), ids=MODULES)
def test_messages_are_used_and_stand_nowhere_else(path: Path) -> None:
    module = ".".join(path.relative_to(TESTS).with_suffix("").parts)
    used, literals = set(), []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "says":
            used.add(ast.literal_eval(node.args[0]))
        elif isinstance(node, ast.keyword) and node.arg == "match" and is_sentence(node.value):
            literals.append(node.value)
        elif isinstance(node, ast.Compare) and is_sentence(node.left) and ast.unparse(node.comparators[0]) == "error":
            literals.append(node.left)
    assert used == set(TABLES.get(module, {}))
    assert not [f"line {node.lineno}: {ast.unparse(node)}" for node in literals], "these belong in tests/messages.toml"
