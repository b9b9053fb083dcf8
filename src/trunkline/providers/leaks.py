"""Harmony that a server left in the text of its answer → reasoning, content and calls.

Three leaks are met in the field: the markers themselves, the words between markers that were taken
out (``analysis…assistantfinal…``), and reasoning in tags before the content. Text is read in any
split, and no more is held back than may still turn out to be the beginning of one of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from enum import Enum, auto
from typing import Protocol

from trunkline.wire.harmony import Content, Delta, Marker, Parser, Reasoning

_MAX_HEADER = 256  # characters of a header without markers; more are text
_MAX_SPACE = 64  # characters of white space before something that would be a leak

_OPEN_TAG, _CLOSE_TAG = "<reasoning>", "</reasoning>"
_CHANNELS = ("analysis", "commentary", "final")
_TURNS = tuple(f"assistant{channel}" for channel in _CHANNELS)
_RECIPIENTS = ("to=functions.", "assistantto=functions.", "assistant to=functions.")
_MARKED = (*Marker, *(f"assistant{marker}" for marker in Marker))
_OPENINGS = (*_MARKED, _OPEN_TAG, *_CHANNELS, *_TURNS, *_RECIPIENTS)
_WINDOW = 128  # characters that decide whether a marker is in its place

_AFTER_START = ("assistant", "user", "functions.")
_AFTER_END = (Marker.START, Marker.CHANNEL, Marker.END, *_TURNS)

_NEXT_TURN = re.compile(r"assistant(?=analysis|commentary|final|to=functions\.| to=functions\.)")
_NEXT_TURNS = (*_TURNS, "assistantto=functions.", "assistant to=functions.")
_TO = (" to=", "to=")
_CALLEE = re.compile(r"\s*to=(?P<name>[^\s{\[<]*)(?P<rest>[^{\[]*)(?=[{\[])")
_CODE = re.compile(r"`+|\n|[^`\n]+")
_FENCE = 3  # backticks, at the least
_NO_BODY = re.compile(r"\s*to=(?P<name>[^\s{\[<]*)\s*(?:(?:json|code|text)\b\s*)?")


def is_plain(text: str) -> bool:
    """Whether a whole text certainly holds no leak: for the price of three searches."""
    return "<" not in text and not text.lstrip().startswith(_OPENINGS)


def is_plain_answer(text: str) -> bool:
    """Whether a whole text says something and certainly holds no leak."""
    return is_plain(text) and bool(text) and not text.isspace()


class Leak(Enum):
    """What was found, by the name under which it is counted."""

    MARKERS = "markers_in_content"
    REASONING_MARKERS = "markers_in_reasoning"
    BARE_CHANNELS = "bare_channels"
    INLINE_REASONING = "inline_reasoning"


class _Reader(Protocol):
    """Reads text that is known to hold a leak."""

    def feed(self, text: str, /) -> list[Delta]: ...

    def close(self) -> list[Delta]: ...


class ReasoningText:
    """The reasoning of one answer: text until markers end it. Names as in `ContentText`."""

    def __init__(self, *, tools: Callable[[], Collection[str]], quoted: Callable[[], bool]) -> None:
        self._plain = _Plain(Reasoning, quoted=quoted)
        self._tools = tools
        self._reader: _Reader | None = None

    @property
    def reading(self) -> bool:
        """Whether what comes out is no longer what goes in."""
        return self._reader is not None

    @property
    def held(self) -> bool:
        """Whether text is held back that may still be no leak."""
        return not self.reading and bool(self._plain.held)

    @property
    def attentive(self) -> bool:
        """Whether all that follows must be seen, though nothing in it may be a leak."""
        return self._plain.code.open

    @property
    def leak(self) -> Leak | None:
        return Leak.REASONING_MARKERS if self.reading else None

    def feed(self, text: str) -> list[Delta]:
        if self._reader is not None:
            return self._reader.feed(text)
        deltas = self._plain.feed(text)
        return deltas if self._plain.leak is None else [*deltas, *self._read_on()]

    def interrupted(self) -> list[Delta]:
        """Something else follows: what is held back is the beginning of nothing."""
        if not self.held:
            return []
        deltas = self._plain.close()
        return deltas if self._plain.leak is None else [*deltas, *self._read_on()]

    def close(self) -> list[Delta]:
        if self._reader is not None:
            return self._reader.close()
        deltas = self._plain.close()
        return deltas if self._plain.leak is None else [*deltas, *self._read_on(), *self.close()]

    def _read_on(self) -> list[Delta]:
        self._reader = _marked(self._tools(), after="analysis", begun=self._plain.begun)
        return self._reader.feed(self._plain.leak or "")


class ContentText:
    """The content of one answer.

    ``tools`` are the names of what may be called. ``quoted`` tells whether the conversation spells
    markers itself: then they are only a leak where the content begins with one. ``tagged`` tells
    whether it spells the tag of reasoning: then the answer was asked to. All are asked when they are
    needed.
    """

    def __init__(
        self,
        *,
        tools: Callable[[], Collection[str]],
        quoted: Callable[[], bool],
        tagged: Callable[[], bool],
    ) -> None:
        self.leak: Leak | None = None
        self._tools = tools
        self._tagged = tagged
        self._head: str | None = ""  # until it is known how the text begins
        self._plain = _Plain(Content, quoted=quoted)
        self._reader: _Reader | None = None
        self._tag: _Tag | None = None

    @property
    def begun(self) -> bool:
        """Whether it is known how the text begins."""
        return self._head is None

    @property
    def reading(self) -> bool:
        """Whether what comes out is no longer what goes in."""
        return self._reader is not None or self._tag is not None

    @property
    def held(self) -> bool:
        """Whether text is held back that may still be no leak."""
        return not self.reading and bool(self._plain.held if self._head is None else self._head)

    @property
    def attentive(self) -> bool:
        """Whether all that follows must be seen, though nothing in it may be a leak."""
        return self._plain.code.open

    def feed(self, text: str) -> list[Delta]:
        if self._tag is not None:
            return self._feed_tag(text)
        if self._reader is not None:
            return self._reader.feed(text)
        if self._head is not None:
            return self._begin(self._head + text)
        return self._feed_plain(text)

    def interrupted(self) -> list[Delta]:
        """Something else follows: what is held back is the beginning of nothing."""
        if not self.held:
            return []
        if self._head is None:
            deltas = self._plain.close()
            return deltas if self._plain.leak is None else [*deltas, *self._read_on()]
        text, self._head = self._head, None
        if text.isspace():  # an answer may still begin
            self._head = ""
            return [Content(text)]
        return self._open(_opening(text, ended=True), text)

    def close(self) -> list[Delta]:
        if self._tag is not None:
            return self._tag.close()
        if self._head:
            text, opening = self._head, _opening(self._head, ended=True)
            self._head = None
            return [*self._open(opening, text), *self.close()]
        if self._reader is not None:
            return self._reader.close()
        deltas = self._plain.close()
        if self._plain.leak is None:
            return deltas
        return [*deltas, *self._read_on(), *self.close()]

    def _begin(self, text: str) -> list[Delta]:
        opening = _opening(text)
        if opening is _Opening.UNSURE:
            self._head = text
            return []
        self._head = None
        return self._open(opening, text)

    def _open(self, opening: _Opening, text: str) -> list[Delta]:
        match opening:
            case _Opening.MARKED:
                self.leak, self._reader = Leak.MARKERS, Parser(tools=self._tools())
                return self._reader.feed(text.lstrip())
            case _Opening.BARE:
                self.leak, self._reader = Leak.BARE_CHANNELS, _Bare(self._tools())
                return self._reader.feed(text.lstrip())
            case _Opening.TAGGED if not self._tagged():
                self.leak, self._tag = Leak.INLINE_REASONING, _Tag()
                return self._feed_tag(text.lstrip().removeprefix(_OPEN_TAG))
        return self._feed_plain(text)

    def _feed_plain(self, text: str) -> list[Delta]:
        deltas = self._plain.feed(text)
        return deltas if self._plain.leak is None else [*deltas, *self._read_on()]

    def _read_on(self) -> list[Delta]:
        self.leak, self._reader = (
            Leak.MARKERS,
            _marked(self._tools(), after="final", begun=self._plain.begun),
        )
        return self._reader.feed(self._plain.leak or "")

    def _feed_tag(self, text: str) -> list[Delta]:
        assert self._tag is not None
        deltas = self._tag.feed(text)
        if self._tag.rest is None:
            return deltas
        rest, self._tag, self._head = self._tag.rest, None, ""
        return [*deltas, *self._begin(rest)] if rest else deltas


class _Opening(Enum):
    """How a text begins."""

    UNSURE = auto()
    PLAIN = auto()
    MARKED = auto()
    BARE = auto()
    TAGGED = auto()


def _opening(text: str, *, ended: bool = False) -> _Opening:
    head = text.lstrip()
    if len(text) - len(head) > _MAX_SPACE:
        return _Opening.PLAIN
    if head.startswith(_MARKED):
        return _Opening.MARKED
    if head.startswith(_OPEN_TAG):
        return _Opening.TAGGED
    if head.startswith((*_TURNS, *_RECIPIENTS)):
        return _Opening.BARE
    unsure = any(opening.startswith(head) for opening in _OPENINGS)
    if not unsure:
        match _after_channel(head):
            case None:
                unsure = True
            case True:
                return _Opening.BARE
    return _Opening.UNSURE if unsure and not ended else _Opening.PLAIN


def _after_channel(head: str) -> bool | None:
    """Whether a first word is a channel's name, and no word of the answer; None while it may be."""
    channel = next((channel for channel in _CHANNELS if head.startswith(channel)), None)
    if channel is None:
        return False
    rest = head[len(channel) :]
    if any(word.startswith(rest) for word in (*Marker, _TO[0])):
        return None
    if rest.startswith((*Marker, _TO[0])):
        return True
    if channel == "final":  # "finally", "finalPrice = 7"
        return rest[0] in "{["
    # Nothing that is written together with these two words is a word.
    return rest[0].isalnum() or rest[0] in '"“{['


class _Code:
    """Whether a text that is read from its beginning stands within code, as Markdown marks it."""

    def __init__(self) -> None:
        self._fence = 0  # the backticks that opened lines of code
        self._span = 0  # the backticks that opened code within a line
        self._run = 0  # of backticks at the end

    @property
    def open(self) -> bool:
        """Whether what comes next may change it, whatever it is."""
        return bool(self._span or self._run)

    def read(self, text: str) -> None:
        if not self.open and "`" not in text:
            return
        for part in _CODE.findall(text):
            if part[0] == "`":
                self._run += len(part)
                continue
            self._end_run()
            if part == "\n":
                self._span = 0

    def within(self) -> bool:
        """Whether the character that comes next, no backtick, stands within code."""
        self._end_run()
        return self._fence > 0 or self._span > 0

    def _end_run(self) -> None:
        run, self._run = self._run, 0
        if self._fence:
            self._fence = 0 if run >= self._fence else self._fence
        elif run >= _FENCE:
            self._fence, self._span = run, 0
        elif run:
            self._span = 0 if run == self._span else self._span or run


class _Plain:
    """Text of one kind in which markers may turn up. Within code they are quoted.

    Attributes:
        code: whether the text so far ends within code.
        begun: whether there was any text before a leak.
        held: the end of the text so far, if it may be the beginning of a leak.
        leak: the text from the first marker on that is one.
    """

    def __init__(self, kind: Callable[[str], Delta], *, quoted: Callable[[], bool]) -> None:
        self.begun = False
        self.held = ""
        self.leak: str | None = None
        self.code = _Code()
        self._kind = kind
        self._quoted = quoted

    def feed(self, text: str) -> list[Delta]:
        return self._read(self.held + text, ended=False)

    def close(self) -> list[Delta]:
        return self._read(self.held, ended=True)

    def _read(self, text: str, *, ended: bool) -> list[Delta]:
        at = self._find(text, ended=ended)
        self.begun = self.begun or at > 0
        self.held = "" if self.leak is not None else text[at:]
        return [self._kind(text[:at])] if at else []

    def _find(self, text: str, *, ended: bool) -> int:
        """Returns where the first leak stands, or what may become one, or the text's length."""
        read_to, at = 0, text.find("<")
        while at >= 0:
            self.code.read(text[read_to:at])
            read_to = at
            match self._is_leak(text[at : at + _WINDOW], ended=ended):
                case True:
                    self.leak = text[at:]
                    return at
                case None:
                    return at
            at = text.find("<", at + 1)
        self.code.read(text[read_to:])
        return len(text)

    def _is_leak(self, text: str, *, ended: bool) -> bool | None:
        if self.code.within() or (text.startswith("<|") and self._quoted()):
            return False
        return _is_leak(text, ended=ended)


def _is_leak(text: str, *, ended: bool) -> bool | None:
    """Whether a text that begins with ``<`` begins with a marker in its place; None while it may."""
    marker = next((marker for marker in Marker if text.startswith(marker)), None)
    if marker is None:
        may_be = not ended and any(marker.startswith(text) for marker in Marker)
        return None if may_be else False
    rest = text[len(marker) :]
    match marker:
        case Marker.START:
            return _followed(rest, by=_AFTER_START, ended=ended)
        case Marker.CHANNEL:
            return _followed(rest, by=_CHANNELS, ended=ended)
        case Marker.END | Marker.CALL | Marker.RETURN:
            spaceless = rest.lstrip()
            if len(rest) - len(spaceless) > _MAX_SPACE:
                return False
            return _followed(spaceless, by=_AFTER_END, ended=ended)
    return False


def _followed(rest: str, *, by: Collection[str], ended: bool) -> bool | None:
    if any(rest.startswith(word) for word in by):
        return True
    if any(word.startswith(rest) for word in by):
        return True if ended else None  # a header may be cut off
    return False


def _marked(tools: Collection[str], *, after: str, begun: bool) -> Parser:
    """Returns a parser that has read the header of a message, and perhaps the beginning of its body."""
    parser = Parser(tools=tools)
    parser.feed(f"{Marker.CHANNEL}{after}{Marker.MESSAGE}")
    if begun:
        parser.feed("…")
    return parser


class _Bare:
    """Reads what is left of harmony without its markers, by putting them in again."""

    def __init__(self, tools: Collection[str]) -> None:
        self._parser = Parser(tools=tools)
        self._text = ""
        self._in_header = True
        self._final = False

    def feed(self, text: str) -> list[Delta]:
        self._text += text
        return self._read(ended=False)

    def close(self) -> list[Delta]:
        return [*self._read(ended=True), *self._parser.close()]

    def _read(self, *, ended: bool) -> list[Delta]:
        deltas: list[Delta] = []
        while self._text:
            marked = self._header(ended=ended) if self._in_header else self._body(ended=ended)
            if marked is None:
                break
            deltas += self._parser.feed(marked)
        return deltas

    def _header(self, *, ended: bool) -> str | None:
        """Returns the header with its markers, None while it is not complete."""
        text = self._text.removeprefix("assistant")
        channel = next((channel for channel in _CHANNELS if text.startswith(channel)), "commentary")
        rest = text.removeprefix(channel)
        if not ended and channel != "final" and any(to.startswith(rest) for to in _TO):
            return None
        if channel == "final" or not rest.startswith(_TO):
            self._begin_body(rest, final=channel == "final")
            return f"{Marker.CHANNEL}{channel}{Marker.MESSAGE}"
        callee = _CALLEE.match(rest, 0, _MAX_HEADER)
        if callee is None and len(rest) < _MAX_HEADER and not ended:
            return None
        callee = callee or _NO_BODY.match(rest)
        assert callee is not None
        self._begin_body(rest[callee.end() :], final=False)
        return (
            f"{Marker.CHANNEL}{channel} to={callee['name']} {Marker.CONSTRAIN}json{Marker.MESSAGE}"
        )

    def _begin_body(self, text: str, *, final: bool) -> None:
        self._text, self._in_header, self._final = text, False, final

    def _body(self, *, ended: bool) -> str | None:
        """Returns body, up to the next header, that is certain to be body; None if there is none."""
        text = self._text
        if not self._final and (turn := _NEXT_TURN.search(text)):
            self._text, self._in_header = text[turn.end() :], True
            return f"{text[: turn.start()]}{Marker.END}{Marker.START}assistant"
        hold = 0 if ended or self._final else _overlap(text, _NEXT_TURNS)
        self._text = text[len(text) - hold :]
        return text[: len(text) - hold] or None


class _Tag:
    """Reads reasoning up to its closing tag; ``rest`` is the text behind that, None before."""

    def __init__(self) -> None:
        self.rest: str | None = None
        self._held = ""

    def feed(self, text: str) -> list[Delta]:
        text = self._held + text
        at = text.find(_CLOSE_TAG)
        if at >= 0:
            self._held, self.rest = "", text[at + len(_CLOSE_TAG) :]
        else:
            at = len(text) - _overlap(text, (_CLOSE_TAG,))
            self._held = text[at:]
        return [Reasoning(text[:at])] if at else []

    def close(self) -> list[Delta]:
        held, self._held = self._held, ""
        return [Reasoning(held)] if held else []


def _overlap(text: str, words: Collection[str]) -> int:
    """Returns how many characters at the end of the text could begin one of the words."""
    longest = min(len(text), max(map(len, words)) - 1)
    tails = (length for length in range(longest, 0, -1))
    return next((n for n in tails if any(word.startswith(text[-n:]) for word in words)), 0)
