"""The control tokens of harmony, and how text is kept from becoming one."""

from __future__ import annotations

import re
from enum import StrEnum


class Marker(StrEnum):
    """A control token; its value is how the vocabulary spells it."""

    START = "<|start|>"
    END = "<|end|>"
    MESSAGE = "<|message|>"
    CHANNEL = "<|channel|>"
    CONSTRAIN = "<|constrain|>"
    CALL = "<|call|>"
    RETURN = "<|return|>"


Piece = Marker | str
"""A part of a prompt. ``isinstance(piece, Marker)`` tells a control token from text that merely
spells one; comparing with ``==`` does not."""


def defuse(text: str) -> list[str]:
    """Cuts text so that no part holds a control token of the form ``<|…|>``, whatever its name.

    A tokenizer that takes each part apart from the others can then find only ordinary tokens. The
    parts are not empty and joined they are the text.
    """
    return [part for part in _INSIDE_OPENING.split(text) if part]


_INSIDE_OPENING = re.compile(r"(?<=<)(?=\|)")
