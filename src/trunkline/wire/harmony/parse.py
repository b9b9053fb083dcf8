"""What a model generates after ``<|start|>assistant`` → reasoning, content and tool calls.

Tolerant, because models and servers are not: a recipient may stand in either header, a call on any
channel, markers and whole headers may be missing, cut off or glued to names. Every character is
looked at once, or a bounded number of times within a header.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import StrEnum

import msgspec

from trunkline.wire.harmony.header import Draft, Header, Opening, match_tool
from trunkline.wire.harmony.markers import Marker

__all__ = [
    "Arguments",
    "CallStart",
    "Content",
    "Delta",
    "End",
    "Header",
    "Parser",
    "Reasoning",
    "match_tool",
]

_SEPARATOR = "\n\n"
_MARKER = re.compile("|".join(re.escape(marker) for marker in Marker))
_LONGEST = max(map(len, Marker))


class Reasoning(msgspec.Struct, frozen=True):
    """Text of the analysis channel."""

    text: str


class Content(msgspec.Struct, frozen=True):
    """Text for the user: the final channel, commentary to nobody, and all that is not analysis."""

    text: str


class CallStart(msgspec.Struct, frozen=True):
    """A call begins; ``index`` counts the turn's calls from 0."""

    index: int
    name: str


class Arguments(msgspec.Struct, frozen=True):
    """A piece of a call's arguments, as generated; whether it is JSON is not checked here."""

    index: int
    text: str


Delta = Reasoning | Content | CallStart | Arguments


class End(StrEnum):
    """How a turn ended."""

    CALL = "call"
    RETURN = "return"
    FOREIGN = "foreign"
    """The model began to speak for the user or a tool: stop it."""


class Parser:
    """Reads one turn.

    Use either ``marker`` and ``text``, if it is known which tokens are control tokens, or ``feed``,
    which finds markers in text; ``close`` at the end of both. Each returns what has become certain.
    Two messages of the same kind are set apart by a blank line.

    Attributes:
        header: that of the message whose body is being read; None while inside a header. It is there
            as soon as ``<|message|>`` was read, so constrained decoding can begin with ``header.tool``.
        ended: how the turn ended, None before. All that follows is ignored.

    Args:
        tools: names of the declared tools, if known; names that are off by decoration are corrected.

    ::

        parser = Parser(tools=["ls"])
        parser.feed("<|channel|>commentary to=functions.ls <|constrain|>json<|message|>{")
        # [CallStart(index=0, name='ls'), Arguments(index=0, text='{')]
    """

    def __init__(self, *, tools: Iterable[str] = ()) -> None:
        self.header: Header | None = None
        self.ended: End | None = None
        self._tools = frozenset(tools)
        self._draft = Draft(Opening.TURN)
        self._held = ""  # the start of what may become a marker, in ``feed`` only
        self._calls = 0
        self._spoken: set[type[Delta]] = set()  # kinds of text that the turn holds already
        self._body_begun = False

    @property
    def in_body(self) -> bool:
        """Whether the text that comes next is a message's body."""
        return self.header is not None

    def feed(self, text: str) -> list[Delta]:
        """Reads text in which markers are spelled out; holds back what may still become one."""
        deltas: list[Delta] = []
        text = self._held + text
        at = 0
        for match in _MARKER.finditer(text):
            deltas += self.text(text[at : match.start()])
            deltas += self.marker(Marker(match[0]))
            at = match.end()
        hold_at = _hold_at(text, at)
        self._held = text[hold_at:]
        return deltas + self.text(text[at:hold_at])

    def text(self, text: str) -> list[Delta]:
        """Reads text that holds no control token, whatever it spells."""
        if self.ended is not None or not text:
            return []
        if self.header is not None:
            return self._body(text)
        body = self._draft.add(text)
        return [] if body is None else [*self._open_body(), *self._body(body)]

    def marker(self, marker: Marker) -> list[Delta]:
        """Reads a control token."""
        if self.ended is not None:
            return []
        return self._in_body(marker) if self.header is not None else self._in_header(marker)

    def take_back(self) -> None:
        """Forgets the message that was begun last, also a foreign one, as if the one before had ended."""
        self.header = None
        self.ended = None
        self._draft = Draft(Opening.END)

    def close(self) -> list[Delta]:
        """Ends the turn where the text ends; a header without a body is dropped."""
        held, self._held = self._held, ""
        # Within a header an unfinished marker is no text: the turn was cut off there.
        deltas = self.text(held) if self.in_body or self._draft.unmarked else []
        if self.ended is None and self.header is None:
            deltas += self._missing_body()
        return deltas

    def _in_header(self, marker: Marker) -> list[Delta]:
        match marker:
            case Marker.MESSAGE:
                self._draft.complete()
                return self._open_body()
            case Marker.CHANNEL | Marker.CONSTRAIN:
                self._draft.turn_to(marker)
                return []
        deltas = self._missing_body()
        if self.header is None and marker is not Marker.START and self.ended is None:
            deltas += self._call_without_body()
        self._close_message(marker)
        return deltas

    def _in_body(self, marker: Marker) -> list[Delta]:
        match marker:
            case Marker.MESSAGE | Marker.CONSTRAIN:
                pass  # noise: nothing in a body can begin with these
            case Marker.CHANNEL:
                self._close_message(Marker.END)
                self._draft.turn_to(marker)
            case _:
                self._close_message(marker)
        return []

    def _missing_body(self) -> list[Delta]:
        """Reads the body of a header without ``<|message|>``, if it has one."""
        body = self._draft.stop()
        return [*self._open_body(), *self._body(body)] if body else []

    def _call_without_body(self) -> list[Delta]:
        return self._open_body() if self._draft.header(self._tools).tool is not None else []

    def _open_body(self) -> list[Delta]:
        if self._draft.foreign:
            self.ended = End.FOREIGN
            return []
        self.header = self._draft.header(self._tools)
        self._body_begun = False
        if self.header.tool is None:
            return []
        self._calls += 1
        return [CallStart(self._calls - 1, self.header.tool)]

    def _body(self, text: str) -> list[Delta]:
        if self.header is None or not text:
            return []
        if self.header.tool is not None:
            return [Arguments(self._calls - 1, text)]
        kind: Callable[[str], Reasoning | Content]
        kind = Reasoning if self.header.channel == "analysis" else Content
        if not self._body_begun and kind in self._spoken:
            text = _SEPARATOR + text
        self._body_begun = True
        self._spoken.add(kind)
        return [kind(text)]

    def _close_message(self, marker: Marker) -> None:
        self.header = None
        match marker:
            case _ if self.ended is not None:
                pass
            case Marker.CALL:
                self.ended = End.CALL
            case Marker.RETURN:
                self.ended = End.RETURN
            case Marker.START:
                self._draft = Draft(Opening.START)
            case _:
                self._draft = Draft(Opening.END)


def _hold_at(text: str, start: int) -> int:
    """Returns where the beginning of an unfinished marker stands in text, or its length."""
    at = text.rfind("<", max(start, len(text) - _LONGEST + 1))
    unfinished = at >= 0 and any(marker.startswith(text[at:]) for marker in Marker)
    return at if unfinished else len(text)
