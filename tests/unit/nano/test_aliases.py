"""Words in the place of others: the same ones wherever the word stands."""

from __future__ import annotations

from random import Random

import pytest

from nano.corpus.aliases import Aliases, pieces


def aliases(**known: str) -> Aliases:
    made = Aliases(Random(1), share=0.0)
    made._by_word.update(known)
    return made


@pytest.mark.parametrize(
    ("text", "renamed"),
    [
        ("Open a gate.", "Open a blorp."),
        ("Gates of the gateway", "Blorps of the gateway"),
        ("Is {gate} open?", "Is {blorp} open?"),
        ("no door", "no door"),
    ],
)
def test_a_word_is_replaced_as_a_whole_with_its_plural_and_its_capital(text, renamed):
    assert aliases(gate="blorp").text(text) == renamed


@pytest.mark.parametrize(
    ("name", "renamed"),
    [
        ("open_gate", "open_blorp"),
        ("openGates", "openBlorps"),
        ("gate.open-all", "blorp.open-all"),
    ],
)
def test_a_name_keeps_its_way_of_writing(name, renamed):
    assert aliases(gate="blorp").name(name) == renamed


def test_slots_of_a_text_can_be_left_alone():
    assert aliases(gate="blorp").around_slots("The gate {gate}") == "The blorp {gate}"


def test_what_stands_for_a_word_is_drawn_once():
    drawn = Aliases(Random(2), share=1.0)
    drawn.add("gates")
    first = drawn.text("gate")
    drawn.add("gate")
    assert first != "gate"
    assert drawn.text("gate") == first


def test_a_short_word_and_one_outside_the_share_stay():
    none, every = Aliases(Random(3), share=0.0), Aliases(Random(3), share=1.0)
    none.add("gate")
    every.add("car")
    assert (none.text("gate"), every.text("car")) == ("gate", "car")


def test_the_pieces_of_a_name_are_its_words():
    assert pieces("fleet.locateTractor_now") == ["fleet", "locate", "Tractor", "now"]
