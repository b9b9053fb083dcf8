"""What the nano model repeats of a text before it uses a value."""

from __future__ import annotations

import pytest

from nano.corpus.quoting import reading

SENTENCE = "Amélie is a chef who lives in Paris."


@pytest.mark.parametrize(
    ("text", "key", "value", "read"),
    [
        (SENTENCE, "city", "Paris", "who lives in Paris. city is Paris."),
        (SENTENCE, "name", "Amélie", "Amélie is a. name is Amélie."),
        ("Zoë, the baker of Isfahan.", "baker", "Zoë", "Zoë, the baker. baker is Zoë."),
        ("She bakes 42 loaves.", "loaves", 42, "42 loaves. loaves is 42."),
        ("Ward 4. Allergy: latex.", "allergy", "latex", "Allergy: latex. allergy is latex."),
        ("Glaze it in Oxblood.", "glaze", "oxblood", "Glaze it in Oxblood. glaze is oxblood."),
        ("A queen size bed", "bedSize", "queen", "queen size. bedSize is queen."),
        ("Room by room", "tone", "by_room", "Room by room. tone is by_room."),
        ("Núria, 02:20, please.", "horse", "Núria", "Núria. horse is Núria."),
        ("Set it to 5, not to 15.", "level", 15, "5, not to 15. level is 15."),
        ("With breakfast: true", "breakfast", True, "breakfast: true. breakfast is true."),
        ("The weather in Rome", "unit", "celsius", "unit is celsius."),
    ],
)
def test_a_value_is_read_with_what_tells_that_it_is_the_wanted_one(
    text: str, key: str, value: object, read: str
) -> None:
    assert reading(text, {key: value}) == read


def test_values_are_read_one_after_the_other_and_long_ones_not_at_all() -> None:
    found = {"profession": "chef", "city": "Paris", "note": "x" * 41}
    assert (
        reading(SENTENCE, found)
        == "Amélie is a chef. profession is chef. who lives in Paris. city is Paris."
    )
