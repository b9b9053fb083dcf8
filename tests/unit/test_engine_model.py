"""Opening model files: what is refused, and what is known of the good ones."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from trunkline.engine.model import (
    MARKERS,
    NANO,
    available,
    nano,
    open_file,
    open_model,
    physical_cores,
)
from trunkline.errors import StartError


def altered(folder: Path, before: bytes, after: bytes) -> Path:
    """A copy of the shipped model with one name replaced by another of the same length."""
    data = NANO.read_bytes()
    assert before in data
    assert len(before) == len(after)
    path = folder / "altered.gguf"
    path.write_bytes(data.replace(before, after))
    return path


def test_the_shipped_model_says_plainly_that_it_is_for_tests():
    card = nano().card
    assert card.name == "trunkline/gpt-oss-nano"
    assert "not for real work" in card.description
    assert card.sha256 == hashlib.sha256(NANO.read_bytes()).hexdigest()
    assert (card.knowledge_cutoff, card.channel_rule, card.max_tokens) == (None, False, 512)


def test_the_markers_ids_are_known_before_the_model_is_loaded():
    file = nano().file
    assert set(file.markers) == set(MARKERS)
    assert len(set(file.markers.values())) == len(MARKERS)
    assert (file.context, file.vocabulary, file.parts) == (8192, 1984, (NANO,))


def test_a_model_of_the_users_is_spoken_to_like_gpt_oss(tmp_path):
    path = tmp_path / "gpt-oss-20b-mxfp4.gguf"
    path.symlink_to(NANO)
    card = open_model(path).card
    assert card.name == "local/gpt-oss-20b-mxfp4"
    assert card.identity == "You are ChatGPT, a large language model trained by OpenAI."
    assert (card.knowledge_cutoff, card.channel_rule) == ("2024-06", True)
    assert (card.temperature, card.max_tokens, card.string_cap) == (1.0, None, None)
    assert open_model(path, name="openai/gpt-oss-20b").card.name == "openai/gpt-oss-20b"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StartError, match=r"there is no model file .*/none\.gguf$"):
        open_file(tmp_path / "none.gguf")


def test_a_folder_is_not_a_model(tmp_path):
    with pytest.raises(StartError, match="cannot be read: Is a directory"):
        open_file(tmp_path)


@pytest.mark.parametrize("kept", [2_700_000, 100_000])
def test_a_truncated_file_is_refused_before_it_is_loaded(tmp_path, kept):
    path = tmp_path / "cut.gguf"
    path.write_bytes(NANO.read_bytes()[:kept])
    with pytest.raises(
        StartError, match=f"truncated: {kept} of {NANO.stat().st_size} bytes; fetch it again"
    ):
        open_file(path)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (b"GGUF", b"GGML", "it is not a GGUF file"),
        (b"gpt-oss", b"gpt-odd", "its architecture is 'gpt-odd'; the engine runs 'gpt-oss'"),
        (b"gpt-oss.context_length", b"gpt-oss.context_LENGTH", "it lacks gpt-oss.context_length"),
        (b"<|call|>", b"<|cell|>", r"its tokenizer lacks harmony's markers: <\|call\|>$"),
    ],
)
def test_a_file_that_the_engine_could_not_serve_is_refused(tmp_path, before, after, reason):
    with pytest.raises(StartError, match=reason):
        open_file(altered(tmp_path, before, after))


def test_an_engine_is_available_where_these_tests_run():
    assert available() is None
    assert physical_cores() >= 1
