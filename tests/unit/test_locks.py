"""Locks hold the hash of every file that is installed, and no address: the registry is the user's own."""

from __future__ import annotations

import json
import re

import pytest

from tests.conformance.nodejs import LOCK
from tests.tools.pages import ROOT


@pytest.mark.parametrize("name", ["build", "base", "dev", "nano"])
def test_the_locks_of_python_hold_hashes_and_no_address(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    requirements = re.split(r"\n(?=[a-z])", text)
    assert [one for one in requirements if "==" not in one or "--hash=sha256:" not in one] == []
    assert "://" not in text


def test_the_lock_of_node_holds_hashes_and_no_address() -> None:
    packages = json.loads(LOCK.read_text())["packages"]
    assert packages.pop("")["dependencies"]
    assert [name for name, package in packages.items() if "integrity" not in package] == []
    assert [name for name, package in packages.items() if "resolved" in package] == []
