"""A summary of reasoning, made of the reasoning itself: no model is asked for it."""

from __future__ import annotations


class Whole:
    """``auto`` and ``detailed``: what was thought, as it was thought."""

    def feed(self, delta: str) -> str:
        """Returns what a piece of the reasoning adds to the summary."""
        return delta


class FirstSentences:
    """``concise``: the first sentence of each paragraph."""

    def __init__(self) -> None:
        self._telling = False
        self._lines = 2  # since the last character that is not white space
        self._last = ""

    def feed(self, delta: str) -> str:
        """Returns what a piece of the reasoning adds to the summary."""
        return "".join(map(self._next, delta))

    def _next(self, character: str) -> str:
        if self._telling:
            if character == "\n" or (character.isspace() and self._last in ".!?"):
                self._telling = False
                self._lines = int(character == "\n")
                return ""
            self._last = character
            return character
        if character.isspace():
            self._lines += character == "\n"
            return ""
        if self._lines < 2:
            self._lines = 0
            return ""
        self._telling = True
        gap = "\n\n" if self._last else ""
        self._last = character
        return gap + character


Summary = Whole | FirstSentences


def summary_of(wanted: str | None) -> Summary | None:
    """Returns what makes the summary that ``reasoning.summary`` asks for."""
    if wanted is None:
        return None
    return FirstSentences() if wanted == "concise" else Whole()
