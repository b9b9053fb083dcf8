"""What is repeated of a text before a value is used: the value, and what tells that it is the wanted one.

To find a value and to write it where it belongs are two steps, and a model this small does better
when it takes them one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

WORD = re.compile(r"[^\W\d_]+")
_NEAR = 40  # characters
_LONGEST = 40  # characters of a value that is read beforehand
_LINKS = frozenset({"a", "by", "for", "from", "in", "of", "on", "the", "to"})
_BEFORE = re.compile(r"[^\s.;:!?\n]+(?: [^\s.;:!?\n]+){0,2} ?$")
_AFTER = re.compile(r"(?: [^\s.;:!?\n]+){1,2}")


def alike(word: str, other: str) -> bool:
    """Returns whether two words are the same but for an ending."""
    stem = max(4, len(word) - 2)
    return word == other or (len(word) > 3 and other[:stem] == word[:stem])


def reading(text: str, found: Mapping[str, Any]) -> str:
    """Returns the sentences that find values in a text: "lives in Paris. city is Paris."."""
    told = []
    for key, value in found.items():
        said = str(value).lower() if isinstance(value, bool) else str(value)
        if len(said) <= _LONGEST:
            told.append(f"{_quote(text, key, said)} {key} is {said}.".lstrip())
    return " ".join(told)


def _quote(text: str, key: str, value: str) -> str:
    """Returns a piece of a text: a value and the key, or a few words before it, or else after it."""
    spoken = re.escape(value).replace("_", "[_ ]")
    place = re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) or re.search(
        rf"(?<!\w){spoken}(?!\w)", text, re.IGNORECASE
    )
    if place is None:
        return ""
    start, end = place.span()
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", key).lower()
    named = [word for word in WORD.findall(spaced) if word not in _LINKS]
    near = [
        (max(start - word.end(), word.start() - end), word)
        for word in WORD.finditer(text)
        if (word.end() <= start or word.start() >= end)
        and any(alike(name, word[0].lower()) for name in named)
    ]
    distance, cue = min(near, key=lambda pair: pair[0], default=(_NEAR, None))
    if cue is not None and distance < _NEAR:
        return f"{text[min(start, cue.start()) : max(end, cue.end())]}."
    if before := _BEFORE.search(text[:start]):
        return f"{text[before.start() : end]}."
    after = _AFTER.match(text[end:])
    return f"{text[start : end + (after.end() if after else 0)]}."
