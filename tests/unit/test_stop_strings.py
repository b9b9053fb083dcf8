"""Stop strings, and the log-probabilities of the text that they let pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.engine.client import TokenLogprob
from trunkline.providers.stop import Logprobs, StopStrings


def through(strings: list[str], *pieces: str) -> tuple[str, bool]:
    stop = StopStrings(strings)
    text = "".join(stop.feed(piece) for piece in pieces if not stop.hit)
    return text + stop.close(), stop.hit


@pytest.mark.parametrize(
    ("strings", "pieces", "outcome"),
    [
        ([], ["a", "b"], ("ab", False)),
        (["STOP"], ["one STOP two"], ("one ", True)),
        (["STOP"], ["one S", "T", "OP two"], ("one ", True)),
        (["STOP"], ["STOP"], ("", True)),
        (["STOP"], ["one STO"], ("one STO", False)),
        (["STOP"], ["STO", "STOP"], ("STO", True)),
        (["aab"], ["aa", "aab"], ("aa", True)),
        (["b", "abc"], ["xab", "c"], ("xa", True)),  # what is complete first
        (["abc", "b"], ["xabc"], ("xa", True)),
        (["bc", "abc"], ["xabc"], ("x", True)),
        (["\n\n"], ["a\n", "b\n", "\nc"], ("a\nb", True)),
        (["é😀"], ["caf", "é", "😀"], ("caf", True)),
        (["", "x"], ["axb"], ("a", True)),
        ([""], ["abc"], ("abc", False)),
    ],
)
def test_text_ends_before_the_first_stop_string(strings, pieces, outcome):
    assert through(strings, *pieces) == outcome


def test_only_what_may_begin_a_stop_string_is_held_back():
    stop = StopStrings(["STOP", "TO"])
    assert [stop.feed(piece) for piece in ("abc", "S", "x", "ST", "x")] == [
        "abc",
        "",
        "Sx",
        "",
        "STx",
    ]


TEXTS = st.text("ab<", max_size=12)


@given(st.lists(st.text("ab<", min_size=1, max_size=4), max_size=3), st.lists(TEXTS, max_size=6))
def test_how_the_text_was_split_makes_no_difference(strings, pieces):
    whole = "".join(pieces)
    assert through(strings, *pieces) == through(strings, whole)


def token(text: str) -> TokenLogprob:
    return TokenLogprob(0, text, list(text.encode()), -1.0)


def texts(tokens: list[TokenLogprob]) -> list[str]:
    return [one.token for one in tokens]


def test_each_piece_of_text_takes_the_tokens_that_made_it():
    logprobs = Logprobs()
    logprobs.add([token("caf"), token("é"), token("s")])
    assert texts(logprobs.take("café")) == ["caf", "é"]
    assert texts(logprobs.take("")) == []
    logprobs.add([token("!")])
    assert texts(logprobs.take("s!")) == ["s", "!"]


def test_a_token_that_is_passed_on_in_part_is_taken_with_the_first_part():
    logprobs = Logprobs()
    logprobs.add([token("one two"), token(" three")])
    assert texts(logprobs.take("one")) == ["one two"]
    assert texts(logprobs.take(" two")) == []
    assert texts(logprobs.take(" t")) == [" three"]
    assert texts(logprobs.take("hree")) == []


def test_text_without_tokens_takes_none():
    logprobs = Logprobs()
    assert logprobs.take("abc") == []
    logprobs.add([token("d")])
    assert texts(logprobs.take("d")) == ["d"]


def test_tokens_that_are_no_part_of_the_answer_are_forgotten():
    logprobs = Logprobs()
    logprobs.add([token("thinking")])
    logprobs.take("th")
    logprobs.clear()
    logprobs.add([token("yes")])
    assert texts(logprobs.take("yes")) == ["yes"]
