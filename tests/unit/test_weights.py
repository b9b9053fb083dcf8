"""The weights that can be pulled: what is written down of them, and which files they are."""

from __future__ import annotations

import pytest

from trunkline.engine.weights import HubFile, find, published, stored
from trunkline.errors import PullError

SMALL = find("openai/gpt-oss-20b")
HIDDEN, HEADS, KV_HEADS, HEAD, VOCABULARY, USED = 2880, 64, 8, 64, 201_088, 4
EXPERTS = {"openai/gpt-oss-20b": 32, "openai/gpt-oss-120b": 128}
MXFP4, Q8_0 = 17 / 32, 34 / 32  # bytes of a weight
MATRIX = 3 * HIDDEN * HIDDEN * MXFP4  # of one expert
ATTENTION = HIDDEN * (2 * HEADS + 2 * KV_HEADS) * HEAD * Q8_0
EMBEDDING = VOCABULARY * HIDDEN * Q8_0


def listed(*names: str) -> list[HubFile]:
    return [HubFile(name, 1, "") for name in names]


def names(files: tuple[HubFile, ...]) -> list[str]:
    return [file.name for file in files]


@pytest.mark.parametrize("name", published())
def test_the_figures_follow_from_the_shape_of_the_model(name):
    figures = find(name).figures
    every = figures.layers * (EXPERTS[name] * MATRIX + ATTENTION) + 2 * EMBEDDING
    one_token = figures.layers * (USED * MATRIX + ATTENTION) + EMBEDDING
    assert figures.size_bytes == pytest.approx(every, rel=0.005)
    assert figures.read_bytes == pytest.approx(one_token, rel=0.02)
    assert figures.layer_cache_bytes == KV_HEADS * (HEAD + HEAD) * 2


@pytest.mark.parametrize("file", ["gpt-oss-20b-MXFP4.gguf", "gpt-oss-20b-mxfp4.gguf"])
def test_a_model_in_one_file_is_found_however_it_is_spelled(file):
    assert names(SMALL.files(listed("gpt-oss-20b-Q8_0.gguf", file, "README.md"))) == [file]


def test_a_split_model_is_found_in_order():
    parts = [f"gpt-oss-20b-mxfp4-{number:05}-of-00003.gguf" for number in (3, 1, 2)]
    assert names(SMALL.files(listed(*parts))) == sorted(parts)


def test_one_file_goes_before_parts_and_whole_before_what_lacks_a_part():
    parts = [f"gpt-oss-20b-mxfp4-{number:05}-of-00002.gguf" for number in (1, 2)]
    whole = "gpt-oss-20b-MXFP4.gguf"
    assert names(SMALL.files(listed(*parts, whole))) == [whole]
    missing = "gpt-oss-20b-MXFP4-00001-of-00003.gguf"
    assert names(SMALL.files(listed(missing, *parts))) == parts


@pytest.mark.parametrize(
    "name",
    [
        "gpt-oss-20b-mxfp4-00001-of-00002.gguf",
        "../gpt-oss-20b-mxfp4.gguf",
        "old/gpt-oss-20b-mxfp4.gguf",
        "gpt-oss-20b-mxfp4.gguf.part",
    ],
)
def test_nothing_else_is_taken_for_the_model(name):
    with pytest.raises(PullError, match=r"has no gpt-oss-20b-mxfp4\.gguf, whole or in parts"):
        SMALL.files(listed(name))


def test_a_name_that_cannot_be_pulled_is_told_the_closest():
    with pytest.raises(PullError, match=r"'gpt-oss-20b' can be pulled; did you mean 'openai/gpt-"):
        find("gpt-oss-20b")
    with pytest.raises(PullError, match=r"there are openai/gpt-oss-20b, openai/gpt-oss-120b"):
        find("mistral")


def test_what_is_not_there_is_absent_and_costs_no_folder(tmp_path):
    found = stored(tmp_path, SMALL)
    assert (found.state, found.size_bytes, found.path) == ("absent", SMALL.figures.size_bytes, None)
    assert list(tmp_path.iterdir()) == []
