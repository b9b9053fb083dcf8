"""Prompts are cut so that llama.cpp's tokenizer survives them, and words stay whole."""

import pytest

from trunkline.engine.prompt import MAX_TEXT, in_short_texts, least_tokens


@pytest.mark.parametrize(
    "text",
    [
        "a" * 50_000,
        " " * 50_000,
        "é-" * 20_000,
        "\n" * 5_000,
        "a word and " * 9_000,
        "x " * 5_000,
        "tab\tand\r\nline " * 3_000,
    ],
)
def test_a_long_text_is_cut_into_short_ones_that_say_the_same(text):
    parts = in_short_texts([7, text, 8])
    assert parts[0] == 7
    assert parts[-1] == 8
    texts = [part for part in parts if isinstance(part, str)]
    assert "".join(texts) == text
    assert all(0 < len(part) <= MAX_TEXT for part in texts)


def test_a_short_text_is_left_alone():
    assert in_short_texts([1, "a" * MAX_TEXT, 2, ""]) == [1, "a" * MAX_TEXT, 2, ""]


def test_words_are_not_cut():
    parts = in_short_texts(["some words of a long story " * 500])
    assert len(parts) > 1
    assert all(str(part).startswith(" ") for part in parts[1:])


def test_a_prompt_has_at_least_a_token_for_every_marker_and_256_bytes():
    assert least_tokens([1, 2, "a" * 257, "", "é" * 128]) == 5
