"""What an installation elsewhere gets."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from trunkline.engine.model import NANO

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "trunkline"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (file,) = folder.glob("*.whl")
    return zipfile.ZipFile(file)


def test_the_wheel_holds_the_whole_package(wheel: zipfile.ZipFile) -> None:
    files = {path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*.*")}
    wanted = {name for name in files if "__pycache__" not in name}
    assert wanted - set(wheel.namelist()) == set()


def test_the_model_in_the_wheel_is_the_one_that_its_cards_name(wheel: zipfile.ZipFile) -> None:
    shipped = wheel.read(NANO.relative_to(PACKAGE.parent).as_posix())
    digest = hashlib.sha256(shipped).hexdigest()
    assert tomllib.loads(NANO.with_suffix(".toml").read_text())["sha256"] == digest
    assert f"sha256 `{digest}`" in (ROOT / "nano" / "CARD.md").read_text()
