"""Prompts as llama.cpp can bear them.

Its pre-tokenizer recurses once per character of a run that it cannot split, and a long run of
letters, blanks or dashes overflows the stack of its thread, which ends the process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

MAX_TEXT = 1024
"""Characters of one text; a thread with 512 KiB of stack, as macOS has, bears some 1,300."""
_MAX_TOKEN_BYTES = 256  # the longest token of o200k has 128
# Where a tokenizer splits anyway, so that a cut changes nothing: before the blank before a word.
_BETWEEN_WORDS = re.compile(r"(?<=\S)(?= \w)")


def in_short_texts(prompt: Sequence[int | str]) -> list[int | str]:
    """Cuts the texts of a prompt, between words if there is any, so that none is long."""
    parts: list[int | str] = []
    for part in prompt:
        if isinstance(part, int) or len(part) <= MAX_TEXT:
            parts.append(part)
        else:
            parts.extend(_cut(part))
    return parts


def _cut(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > MAX_TEXT:
        end = start + MAX_TEXT
        for boundary in _BETWEEN_WORDS.finditer(text, start + 1, end):
            end = boundary.start()
        yield text[start:end]
        start = end
    yield text[start:]


def least_tokens(prompt: Sequence[int | str]) -> int:
    """Returns a number of tokens that the prompt has at least, without tokenizing it."""
    return sum(
        1 if isinstance(part, int) else -(-len(part.encode(errors="replace")) // _MAX_TOKEN_BYTES)
        for part in prompt
    )
