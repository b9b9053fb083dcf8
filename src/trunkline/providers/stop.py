"""A request's ``stop`` strings, and the log-probabilities of the text that they let pass."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from trunkline.engine.client import TokenLogprob


class StopStrings:
    """Looks for a request's ``stop`` strings in the answer; holds back what may begin one.

    ``hit`` is true once one was found: the text ends before it.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self.hit = False
        self._strings = [string for string in strings if string]
        self._held = ""

    def feed(self, text: str) -> str:
        """Returns the text that is certain to stay."""
        if not self._strings:
            return text
        text, self._held = self._held + text, ""
        found = [(at + len(s), at) for s in self._strings if (at := text.find(s)) >= 0]
        if found:
            self.hit = True
            _, at = min(found)  # the one that is complete first, however the text was split
            return text[:at]
        hold = max(_overlap(text, string) for string in self._strings)
        self._held = text[len(text) - hold :]
        return text[: len(text) - hold]

    def close(self) -> str:
        """Returns what was held back and came to nothing."""
        held, self._held = self._held, ""
        return "" if self.hit else held


def _overlap(text: str, string: str) -> int:
    """Returns how many characters at the end of the text could begin the string."""
    for length in range(min(len(text), len(string) - 1), 0, -1):
        if string.startswith(text[-length:]):
            return length
    return 0


class Logprobs:
    """Sampled tokens whose text has not been passed on yet."""

    def __init__(self) -> None:
        self._tokens: deque[TokenLogprob] = deque()
        self._ahead = 0  # bytes by which the tokens taken so far exceed their text

    def add(self, tokens: Iterable[TokenLogprob]) -> None:
        """Remembers tokens in the order in which they were sampled."""
        self._tokens.extend(tokens)

    def take(self, text: str) -> list[TokenLogprob]:
        """Returns the tokens that the next piece of text is made of, the last one perhaps in part."""
        taken: list[TokenLogprob] = []
        missing = len(text.encode()) - self._ahead
        while missing > 0 and self._tokens:
            taken.append(self._tokens.popleft())
            missing -= len(taken[-1].bytes)
        self._ahead = max(0, -missing)
        return taken

    def clear(self) -> None:
        """Forgets tokens that are no part of the answer."""
        self._tokens.clear()
        self._ahead = 0
