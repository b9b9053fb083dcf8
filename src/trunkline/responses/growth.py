"""A text that grows by deltas, and the lengths of what it grew by."""

from __future__ import annotations

from array import array

_FOLDED_AT = 128


class Growth:
    """Keeps what it is given in little memory: 100,000 tokens are one text and an array."""

    __slots__ = ("_lengths", "_pieces", "_whole")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._whole: list[str] = []
        self._lengths = array("I")

    def add(self, delta: str) -> None:
        pieces = self._pieces
        pieces.append(delta)
        if len(pieces) >= _FOLDED_AT:
            self._fold()

    def text(self) -> str:
        """Returns all of it."""
        self._fold()
        text = "".join(self._whole)
        self._whole = [text]
        return text

    def lengths(self) -> list[int]:
        """Returns how many characters each delta had."""
        self._fold()
        return self._lengths.tolist()

    def _fold(self) -> None:
        if self._pieces:
            self._lengths.extend(map(len, self._pieces))
            self._whole.append("".join(self._pieces))
            self._pieces.clear()
