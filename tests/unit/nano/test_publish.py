"""A trained model is published with its hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from nano.publish import publish


def test_the_card_tells_the_hash_of_the_file(tmp_path: Path) -> None:
    new, shipped = tmp_path / "new.gguf", tmp_path / "shipped.gguf"
    new.write_bytes(b"weights")
    card = shipped.with_suffix(".toml")
    card.write_text(f'name = "nano"\nsha256 = "{"0" * 64}"\nthreads = 1\n')
    publish(new, shipped)
    assert shipped.read_bytes() == b"weights"
    digest = hashlib.sha256(b"weights").hexdigest()
    assert card.read_text() == f'name = "nano"\nsha256 = "{digest}"\nthreads = 1\n'


def test_a_card_without_a_hash_is_left_alone(tmp_path: Path) -> None:
    new, shipped = tmp_path / "new.gguf", tmp_path / "shipped.gguf"
    new.write_bytes(b"weights")
    shipped.with_suffix(".toml").write_text('name = "nano"\n')
    with pytest.raises(ValueError, match="sha256"):
        publish(new, shipped)
    assert not shipped.exists()
