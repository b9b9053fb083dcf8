"""The table of requirements and the tests of this folder belong together, one to one."""

from __future__ import annotations

import ast
import tomllib
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
TABLE = tomllib.loads((HERE / "requirements.toml").read_text())["requirement"]


def named_in(file: Path) -> list[str]:
    functions = [
        node for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)
    ]
    return [f"{file.name}::{f.name}" for f in functions if f.name.startswith("test_")]


def test_every_requirement_has_its_test_and_every_test_its_requirement():
    files = [file for file in HERE.glob("test_*.py") if file != Path(__file__)]
    tests = [name for file in files for name in named_in(file)]
    assert sorted(row["test"] for row in TABLE) == sorted(tests)


def test_every_requirement_has_an_id_of_its_own_and_a_sentence():
    assert [id_ for id_, count in Counter(row["id"] for row in TABLE).items() if count > 1] == []
    for row in TABLE:
        assert row.keys() == {"id", "says", "test"}
        assert row["says"]
