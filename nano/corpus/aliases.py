"""Words that take the place of others, so that nothing can be known by heart.

A realistic tool or text whose nouns do not exist is as easy to understand as the real one for who
reads what it says, and impossible for who remembers it.
"""

from __future__ import annotations

import re
from functools import partial
from random import Random

from nano.corpus import words

_SHORTEST = 4  # letters of a word that is replaced
_PIECE = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_SLOT = re.compile(r"(\{\w+\})")


class Aliases:
    """Replaces words, the same by the same; ``share`` of them are replaced at all."""

    def __init__(self, random: Random, share: float) -> None:
        self._random = random
        self._share = share
        self._by_word: dict[str, str] = {}

    def add(self, word: str) -> None:
        """Draws what shall stand for a word, singular or plural, unless that is known."""
        bare = _singular(word.lower())
        if len(bare) < _SHORTEST or bare in self._by_word:
            return
        self._by_word[bare] = self._drawn() if self._random.random() < self._share else bare

    def text(self, text: str) -> str:
        """Returns a text with other words, also where they name a slot."""
        for word, alias in self._by_word.items():
            if word != alias:
                pattern = rf"\b{re.escape(word)}(e?s)?\b"
                text = re.sub(pattern, partial(_other, alias), text, flags=re.IGNORECASE)
        return text

    def around_slots(self, text: str) -> str:
        """Returns a text with other words, but for its slots."""
        parts = _SLOT.split(text)
        return "".join(part if part[:1] == "{" else self.text(part) for part in parts)

    def name(self, name: str) -> str:
        """Returns a name that is made of words, in snake_case or otherwise."""
        return _PIECE.sub(lambda match: self.text(match[0]), name)

    def _drawn(self) -> str:
        if self._random.random() < 0.2:
            return str(words.pick(self._random, "words.nouns")[0]).split()[-1].lower()
        while not (word := words.made_up(self._random)).isascii():
            pass
        return word


def pieces(name: str) -> list[str]:
    """Returns the words of a name, as they stand in it."""
    return _PIECE.findall(name)


def _singular(word: str) -> str:
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _other(alias: str, match: re.Match[str]) -> str:
    ending = match[1] or ""
    return (alias.capitalize() if match[0][:1].isupper() else alias) + ending
