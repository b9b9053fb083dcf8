"""The header of a message as a model wrote it: read word by word, tolerantly, in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import Enum, auto

import msgspec

from trunkline.wire.harmony.markers import Marker

MAX_SLOT = 256
"""Characters between two markers of a header; a longer text is a body whose marker is missing."""

CHANNELS = ("analysis", "commentary", "final")
_CONTENT_TYPES = ("json", "code", "text")
_JSON_OPENINGS = ("{", "[")
_AUTHORS_NOT_THE_MODEL = ("user", "system", "developer", "tool")
_RECIPIENTS_NOT_TOOLS = ("assistant", "user", "all")

_GOES_ON = re.compile(r"[a-z0-9_.-]")
_NAME = re.compile(r"[\w.:/-]*", re.ASCII)
_DECORATION = re.compile(r"([._:-]?(analysis|commentary|final|json|code|channel|constrain))+")
_WORD = re.compile(r"\S+")


class Header(msgspec.Struct, frozen=True):
    """What a complete header says; None for what it leaves out."""

    channel: str | None = None
    recipient: str | None = None
    """As written, such as ``functions.get_weather``."""
    content_type: str | None = None
    tool: str | None = None
    """The name of the called tool: the recipient without decoration, if it is a tool at all."""


class Opening(Enum):
    """What stood before a header."""

    TURN = auto()
    """The prompt's ``<|start|>assistant``: text that is no header is the answer itself."""
    START = auto()
    """``<|start|>``: the first word is the author."""
    END = auto()
    """The end of a message, with ``<|start|>`` missing so far."""


class Draft:
    """A header while it is read.

    ``add`` and ``stop`` return the text that turned out to be body, of a message whose
    ``<|message|>`` is missing, or None while all can still be header.
    """

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self.author: str | None = None
        self.channel: str | None = None
        self.recipient: str | None = None
        self.content_type: str | None = None
        self._slot: Marker | None = None
        self._open_slot(None)

    def _open_slot(self, slot: Marker | None) -> None:
        self._slot = slot
        self._text = ""
        self._read_to = 0  # where the unfinished word begins
        self._named = False  # the slot's own word was seen
        self._loose: int | None = None  # where a word stands that is a content type, or body

    @property
    def _bare(self) -> bool:
        """Whether there is no marker to prove that this is a header."""
        return self._slot is None and self.opening is not Opening.START

    def turn_to(self, slot: Marker) -> None:
        """Goes on after ``<|channel|>`` or ``<|constrain|>``."""
        self.complete()
        self._open_slot(slot)

    def complete(self) -> None:
        """Reads the last word; a header marker follows, so a word out of place is no body."""
        self._read_words(len(self._text))

    def add(self, text: str) -> str | None:
        """Reads on, up to the last word that is whole."""
        self._text += text
        limit = min(len(self._text), MAX_SLOT)
        whole = limit
        while whole > self._read_to and not self._text[whole - 1].isspace():
            whole -= 1
        body_at = self._read_words(whole)
        if body_at is None and self._bare and not _may_become_header(self._text[whole:limit]):
            body_at = 0
        if body_at is None and len(self._text) > MAX_SLOT:
            body_at = self._overlong()
        return None if body_at is None else self._body(body_at)

    def _overlong(self) -> int:
        """Returns where the body begins in a text that is too long for a header."""
        if self._loose is not None:
            return self._loose
        if self._text.startswith("to=", self._read_to):  # a name without end is no answer
            end = self._place(self._text[self._read_to : MAX_SLOT], self._read_to)
            return MAX_SLOT if end is None else end
        return self._read_to

    def stop(self) -> str | None:
        """Returns the body of a header that ends without ``<|message|>``, if there is one."""
        body_at = self._read_words(len(self._text))
        if body_at is None and self._loose is not None and self._loose_is_body():
            body_at = self._loose
        if body_at is None and self.unmarked and not self._text.isspace():
            body_at = 0
        return None if body_at is None else self._body(body_at)

    @property
    def unmarked(self) -> bool:
        """Whether the turn has no marker so far; its words may be the answer itself."""
        return self._slot is None and self.opening is Opening.TURN

    def _loose_is_body(self) -> bool:
        word = self.content_type or ""
        if self.recipient is not None:
            return word.startswith(_JSON_OPENINGS)
        return not any(known.startswith(word) for known in _CONTENT_TYPES)

    def _body(self, at: int) -> str:
        if self._bare:
            self.author = self.channel = self.recipient = None
            return self._text
        if self._loose is not None and at <= self._loose:
            self.content_type = None
        return self._text[at:]

    def _read_words(self, end: int) -> int | None:
        """Reads the words up to ``end``; returns where the body begins if one is out of place."""
        for word in _WORD.finditer(self._text, self._read_to, end):
            body_at = self._place(word[0], word.start())
            if body_at is not None:
                return 0 if self._bare else body_at
        self._read_to = end
        return None

    def _place(self, word: str, at: int) -> int | None:
        if word.startswith("to="):
            name = _NAME.match(word, len("to="))
            assert name is not None
            self.recipient = name[0] or None
            return at + name.end() if word.startswith(_JSON_OPENINGS, name.end()) else None
        named, self._named = self._named, True
        if self._slot is None:
            return self._place_author(word, at, named=named)
        if self._slot is Marker.CHANNEL:
            return self._place_after_channel(word, at) if named else self._place_channel(word, at)
        return at if named else self._place_content_type(word, at)

    def _place_author(self, word: str, at: int, *, named: bool) -> int | None:
        if word.startswith("assistant"):
            rest = word.removeprefix("assistant")
            if not rest or rest in CHANNELS or rest.startswith("to="):
                return self._place(rest, at + len("assistant")) if rest else None
            return at + len("assistant")
        if word in CHANNELS:
            self.channel = word
            return None
        if self.opening is not Opening.START or named:
            return at
        self.author = word
        return None

    def _place_channel(self, word: str, at: int) -> int | None:
        for channel in CHANNELS:
            rest = word.removeprefix(channel)
            if rest == word or (_GOES_ON.match(rest) and not rest.startswith("to=")):
                continue
            self.channel = channel
            if rest.startswith("to="):
                return self._place(rest, at + len(channel))
            return at + len(channel) if rest else None
        self.channel = word
        return None

    def _place_after_channel(self, word: str, at: int) -> int | None:
        if self._loose is not None:
            is_type = self.recipient is not None and not self._loose_is_body()
            return at if is_type else self._loose
        self._loose = at
        self.content_type = word
        return None

    def _place_content_type(self, word: str, at: int) -> int | None:
        for content_type in _CONTENT_TYPES:
            rest = word.removeprefix(content_type)
            if rest != word and rest and not _GOES_ON.match(rest):
                self.content_type = content_type
                return at + len(content_type)
        self.content_type = word
        return None

    def header(self, tools: Collection[str]) -> Header:
        """Returns what was read so far."""
        return Header(
            channel=self.channel,
            recipient=self.recipient,
            content_type=self.content_type,
            tool=match_tool(self.recipient, tools) if self.recipient else None,
        )

    @property
    def foreign(self) -> bool:
        """Whether somebody else speaks: the model has run on into the next turn."""
        return self.author is not None and (
            self.author in _AUTHORS_NOT_THE_MODEL
            or self.author.startswith("functions.")
            or self.recipient == "assistant"
        )


def match_tool(recipient: str, tools: Collection[str]) -> str | None:
    """Returns the name of the tool that a recipient means, or None if it is no tool.

    ``functions.`` may be missing and header words may stick to the name. With declared ``tools`` the
    name that fits best is taken; a name that fits none is returned as it is, for the caller to judge.
    """
    name = recipient.partition("<|")[0]
    bare = name.removeprefix("functions.")
    for candidate in (name, bare, bare.rpartition(".")[2]):
        if candidate in tools:
            return candidate
    if not bare or name in _RECIPIENTS_NOT_TOOLS:
        return None
    for tool in sorted(tools, key=len, reverse=True):
        if bare.startswith(tool) and _DECORATION.fullmatch(bare, len(tool)):
            return tool
    folded = [tool for tool in tools if tool.casefold() == bare.casefold()]
    return folded[0] if len(folded) == 1 else bare


def _may_become_header(text: str) -> bool:
    """Whether a word that begins like this can stand in a header that no marker proves."""
    rest = text.removeprefix("assistant") if text.startswith("assistant") else text
    return rest.startswith("to=") or any(
        keyword.startswith(rest) for keyword in ("assistant", "to=", *CHANNELS)
    )
