"""What is repaired in a reply of gpt-oss, whichever provider sent it.

Providers run gpt-oss on servers that read harmony with more or less luck: markers get into the
text and into tool names, calls are left in it or cut short, and the finish reason says something
else. A reply that comes out right leaves as it came, byte for byte; one that cannot be put right is an
UpstreamError that may be tried elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from trunkline.errors import UpstreamError
from trunkline.ids import new_id, now
from trunkline.providers import arguments as args
from trunkline.providers.base import Call
from trunkline.providers.leaks import ContentText, ReasoningText, is_plain_answer
from trunkline.wire.harmony import Arguments, CallStart, Content, Delta, Reasoning, match_tool

NAMES = frozenset(
    {
        "arguments_mended",
        "bare_channels",
        "failed_generation",
        "finish_reason",
        "inline_reasoning",
        "markers_in_content",
        "markers_in_reasoning",
        "tool_call_id",
        "tool_found_by_arguments",
        "tool_name_cut",
    }
)
"""Every repair, as metrics and receipts call it."""

_GPT_OSS = re.compile(r"gpt[-_. ]?oss", re.IGNORECASE)
_MARKER = re.compile(rb"(?:<|u003[cC])\|")
_TAG = re.compile(rb"(?:<|u003[cC])reasoning")
_MAX_ARGUMENTS = 1024 * 1024  # characters of a call that has to be complete before it is passed on
_MAX_PASSED_ARGUMENTS = 16 * 1024 * 1024  # characters of any other: all of it is checked in the end
_MAX_HELD_BYTES = 16 * 1024 * 1024
_MAX_CALLS = 512  # of one choice
_MAX_CHOICES = 128  # as many as can be asked for
_REASONING = ("reasoning", "reasoning_content")
_FINISH_REASONS = frozenset({"stop", "length", "content_filter"})
_CUT_OFF = frozenset({"length", "content_filter"})
_LEFT_BY_TEMPLATE = ("choices", "usage")

_encode = msgspec.json.encode
_decode_any = msgspec.json.Decoder().decode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_objects = msgspec.json.Decoder(list[dict[str, Raw]] | None).decode
_decode_delta = msgspec.json.Decoder(dict[str, Raw] | None).decode


def is_gpt_oss(model: str) -> bool:
    """Whether a model's name, public or a provider's own, says that it is gpt-oss."""
    return _GPT_OSS.search(model) is not None


class NativeCall(msgspec.Struct, frozen=True):
    """A call begins; ``index`` is its place among the choice's calls."""

    index: int
    id: str | None
    name: str


class Finish(msgspec.Struct, frozen=True):
    """The choice is over."""

    reason: str


Piece = Reasoning | Content | NativeCall | Arguments | Finish
"""A part of a choice, as it came or as it goes out."""


class Repaired(NamedTuple):
    """A whole reply: ``document`` is None if nothing had to be repaired."""

    document: bytes | None
    repairs: frozenset[str]


class StreamRepair:
    """Repairs the chunks of one stream.

    ``repairs`` names what was done so far; while ``waiting`` there was nothing but reasoning. Ask
    ``passes`` first; what does not pass goes through ``feed``, one chunk at a time, and ``flush`` ends
    it. Chunks are held back whole, so that they can still leave as they came.
    """

    def __init__(self, call: Call, *, reasoning_names: Sequence[str]) -> None:
        self.repairs: set[str] = set()
        self._request = _Asked(call)
        self._names = reasoning_names
        self._choices: dict[int, _StreamedChoice] = {}
        if self._request.sole:
            self._choice(0)
        self.waiting = self._request.sole
        self._calm = False
        self._spaced = False
        self._passing = False  # not before the first chunk: it shows how the server writes

    def passes(self, read: bytes) -> bool:
        """Whether the chunks of one read may pass unseen: a few searches, nothing is decoded."""
        if not self._passing or b"<" in read or b"`" in read or b"u003" in read:
            return False
        if b"tool_calls" in read or b'finish_reason":"' in read:
            return False
        return self._calm or _without_content(read)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Returns what has become certain; msgspec's errors and UnicodeDecodeError mean no chunk."""
        fields = _decode_object(chunk)
        choices = _decode_objects(fields.get("choices", b"[]")) or []
        if len(choices) == 1:
            out = self._feed_choice(chunk, fields, choices[0])
        elif choices:
            alone = [_encode({**fields, "choices": [choice]}) for choice in choices]
            fed = [
                self._feed_choice(one, fields, choice)
                for one, choice in zip(alone, choices, strict=True)
            ]
            unchanged = all(out == [one] for out, one in zip(fed, alone, strict=True))
            out = [chunk] if unchanged else [one for out in fed for one in out]
        else:
            out = [chunk]
        self._look_around(chunk)
        return out

    def flush(self, last: bytes | None, *, finished: bool) -> list[bytes]:
        """Ends the stream: ``last`` is its last chunk, ``finished`` whether it gave a finish reason."""
        if last is None:
            return []
        fields = _decode_object(last)
        return [
            chunk
            for choice in self._choices.values()
            for chunk in choice.flush(fields, finished=finished)
        ]

    def _feed_choice(
        self, chunk: bytes, fields: dict[str, Raw], choice: dict[str, Raw]
    ) -> list[bytes]:
        index = _decode_any(choice.get("index", b"0"))
        if not isinstance(index, int):
            return [chunk]
        return self._choice(index).feed(chunk, fields, choice)

    def _choice(self, index: int) -> _StreamedChoice:
        if index not in self._choices:
            if len(self._choices) == _MAX_CHOICES:
                raise _broken("sent choices without end")
            self._choices[index] = _StreamedChoice(
                index, self._request, self.repairs, reasoning_names=self._names
            )
        return self._choices[index]

    def _look_around(self, chunk: bytes) -> None:
        self.waiting = self._request.sole and self._choices[0].waiting
        self._calm = len(self._choices) == self._request.choices and all(
            choice.calm for choice in self._choices.values()
        )
        # The searches know one way of writing JSON only.
        self._spaced = self._spaced or b'"choices": ' in chunk
        attentive = any(choice.attentive for choice in self._choices.values())
        self._passing = not (self._spaced or attentive) and (self._calm or self.waiting)


def _without_content(read: bytes) -> bool:
    nothing = read.count(b'"content":""') + read.count(b'"content":null')
    return nothing == read.count(b'"content"') and b'"refusal":"' not in read


def repair_reply(
    call: Call,
    document: dict[str, Raw],
    choices: list[dict[str, Raw]],
    *,
    reasoning_names: Sequence[str],
) -> Repaired:
    """Repairs a chat completion that has been decoded as far as its choices.

    Raises UpstreamError if it cannot be put right.
    """
    repairs: set[str] = set()
    request = _Asked(call)
    changed = False
    for choice in choices:
        message = _decode_object(choice["message"])
        before = list(_pieces_of(message, choice, whole=True))
        if _is_clean(before):
            continue
        machine = _Choice(request, repairs, sole=len(choices) == 1)
        machine.answered = _answers_otherwise(message)
        after = _joined([*machine.feed(before), *machine.finish()])
        if after != _joined(before):
            changed = True
            finish = next((p.reason for p in after if isinstance(p, Finish)), "stop")
            choice["message"] = Raw(_encode(_message(message, after, reasoning_names)))
            choice["finish_reason"] = Raw(_encode(finish))
    if not changed:
        return Repaired(None, frozenset(repairs))
    return Repaired(_encode({**document, "choices": choices}), frozenset(repairs))


def _is_clean(pieces: Sequence[Piece]) -> bool:
    """Whether a choice is an answer in words with a proper end, and nothing that could be a leak."""
    match pieces:
        case [Content(text), Finish("stop" | "length")]:
            reasoning = ""
        case [Reasoning(reasoning), Content(text), Finish("stop" | "length")]:
            pass
        case _:
            return False
    return "<" not in reasoning and is_plain_answer(text)


def recover(call: Call, failed_generation: str) -> list[bytes] | None:
    """Makes the reply of what a provider refused to read as a call, None if that is not certain.

    Returns the chunks of a stream or one completion, as the call asked for.
    """
    request = _Asked(call)
    calls = list(_failed_calls(failed_generation, request))
    if not calls or None in calls:
        return None
    pieces: list[Piece] = []
    for index, found in enumerate(calls):
        assert found is not None
        pieces += [NativeCall(index, new_id("call"), found.name), Arguments(index, found.arguments)]
    about: dict[str, Any] = {
        "id": new_id("chatcmpl"),
        "object": "chat.completion.chunk" if call.stream else "chat.completion",
        "created": int(now().timestamp()),
        "model": call.model,
    }
    if call.stream:
        template = _decode_object(_encode(about))
        role = {"role": Raw(b'"assistant"')}
        return _chunks(template, 0, [*pieces, Finish("tool_calls")], role, _REASONING)
    message = _message({"role": Raw(b'"assistant"')}, pieces, _REASONING)
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return [_encode({**about, "choices": [choice]})]


# ------------------------------------------------------------------------------------ what was asked


class _Asked:
    """What the request says that a repair has to know; decoded when it is needed."""

    def __init__(self, call: Call) -> None:
        self._body = call.body
        self.choices = self._number("n", 1)
        self.sole = self.choices == 1

    def _number(self, name: str, default: int) -> int:
        value = _decode_any(self._body.get(name) or b"null")
        return value if isinstance(value, int) and value > 0 else default

    @cached_property
    def _tools(self) -> list[Any]:
        tools = _decode_any(self._body.get("tools") or b"null")
        return tools if isinstance(tools, list) else []

    @cached_property
    def schemas(self) -> dict[str, Mapping[str, Any] | None]:
        """The declared functions, with their parameters."""
        schemas: dict[str, Mapping[str, Any] | None] = {}
        for tool in self._tools:
            function = tool.get("function") if isinstance(tool, dict) else None
            if isinstance(function, dict) and isinstance(name := function.get("name"), str):
                parameters = function.get("parameters")
                schemas[name] = parameters if isinstance(parameters, dict) else None
        return schemas

    @cached_property
    def closed(self) -> bool:
        """Whether nothing but the declared functions can be called."""
        return bool(self.schemas) and len(self.schemas) == len(self._tools)

    @cached_property
    def _quotes_markers(self) -> bool:
        return self._spells(_MARKER)

    def quotes_markers(self) -> bool:
        """Whether the conversation itself spells markers."""
        return self._quotes_markers

    def asks_for_tags(self) -> bool:
        """Whether the conversation itself spells the tag of reasoning."""
        return self._spells(_TAG)

    def _spells(self, pattern: re.Pattern[bytes]) -> bool:
        return pattern.search(self._body.get("messages") or b"") is not None

    def tools(self) -> Collection[str]:
        """The names of the declared functions."""
        return self.schemas.keys()

    def tool(self, name: str) -> str | None:
        """Returns the declared tool that a name means, None if it means none."""
        if name in self.schemas:
            return name
        tool = match_tool(name, self.schemas)
        return tool if tool in self.schemas else None

    def tool_by_arguments(self, text: str) -> str | None:
        """Returns the only declared tool that arguments can be for, None if there are more or none."""
        found = args.parsed(args.mend(text) or "")
        if not found:
            return None
        fitting = [
            name
            for name, parameters in self.schemas.items()
            if parameters
            and found.keys() <= (parameters.get("properties") or {}).keys()
            and args.fits(found, parameters)
        ]
        return fitting[0] if len(fitting) == 1 else None


# ------------------------------------------------------------------------------------ one choice


class _Call:
    """A call that a provider sends as one, while it arrives."""

    def __init__(self, index: int, *, identifier: str | None, name: str, known: bool) -> None:
        self.index = index
        self.id = identifier
        self.name = name
        self.known = known
        self.watch = args.Watch()
        self._text: list[str] = []
        self._unsent = ""  # while it may still be sent before the end
        self._length = 0
        self._sent = 0

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def held(self) -> bool:
        return not self.known or self._sent < self._length

    def add(self, text: str) -> str:
        """Returns the arguments that may be passed on."""
        self._text.append(text)
        self._length += len(text)
        if self._length > (_MAX_ARGUMENTS if self.held else _MAX_PASSED_ARGUMENTS):
            raise _mistaken("called a tool with arguments without end")
        if not self.known or self.watch.trouble:
            return ""
        self.watch.feed(text)
        unsent, safe = self._unsent + text, self.watch.safe - self._sent
        self._unsent = unsent[safe:]
        self._sent = self.watch.safe
        return unsent[:safe]

    def rest(self, whole: str) -> str | None:
        """Returns what of the whole arguments has not been passed on; None if something else was."""
        passed = self.text[: self._sent]
        rest = whole[self._sent :] if whole.startswith(passed) else None
        self._sent = self._length
        return rest


class _Choice:
    """Pieces in, pieces out."""

    def __init__(self, request: _Asked, repairs: set[str], *, sole: bool) -> None:
        self.finished = False
        self._request = request
        self._repairs = repairs
        self._sole = sole
        self._content = ContentText(
            tools=request.tools, quoted=request.quotes_markers, tagged=request.asks_for_tags
        )
        self._reasoning = ReasoningText(tools=request.tools, quoted=request.quotes_markers)
        self.answered = False  # by something that is no reasoning
        self._calls = 0
        self._native: dict[int, _Call] = {}
        self._arriving: list[_Call] = []
        self._leaked: tuple[str, list[str]] | None = None  # a call that was left in the text
        self._leaked_length = 0
        self._reason: str | None = None

    @property
    def held(self) -> bool:
        """Whether something is held back that may still leave as it came."""
        return self._content.held or self._reasoning.held or any(c.held for c in self._arriving)

    @property
    def reading(self) -> bool:
        """Whether what comes out is no longer what goes in."""
        return self._content.reading or self._reasoning.reading

    @property
    def attentive(self) -> bool:
        """Whether what follows has to be seen, whatever it is."""
        return self._content.attentive or self._reasoning.attentive

    @property
    def waiting(self) -> bool:
        """Whether there was nothing yet but reasoning."""
        return not (
            self._content.begun or self.held or self.reading or self.finished or self._calls
        )

    @property
    def calm(self) -> bool:
        """Whether content comes that is nothing but content."""
        begun = self._content.begun and self.answered
        return begun and not (self.held or self.reading or self.finished or self._calls)

    def feed(self, pieces: Iterable[Piece]) -> list[Piece]:
        out: list[Piece] = []
        for piece in pieces:
            match piece:
                case Reasoning(text):
                    out += self._said(self._content.interrupted())
                    out += self._said(self._reasoning.feed(text))
                case Content(text):
                    out += self._said(self._reasoning.interrupted())
                    out += self._said(self._content.feed(text))
                case NativeCall():
                    out += self._said(self._reasoning.interrupted())
                    out += self._said(self._content.interrupted())
                    out += self._begin_call(piece)
                case Arguments(index, text):
                    call = self._native[index]
                    if safe := call.add(text):
                        out.append(Arguments(call.index, safe))
                case Finish(reason):
                    self._reason = reason
        self._note_leaks()
        return out

    def finish(self, *, seen: bool = False) -> list[Piece]:
        """Ends the choice; ``seen`` says that its reason has passed already.

        Raises UpstreamError if there is no right end.
        """
        self.finished = True
        out = self._said([*self._reasoning.close(), *self._content.close()])
        self._note_leaks()
        out += self._end_leaked_call()
        for call in self._arriving:
            out += self._end_call(call)
        reason = self._right_reason()
        if reason != self._reason and not seen:
            self._repairs.add("finish_reason")
        return [*out, Finish(reason)]

    def _note_leaks(self) -> None:
        self._repairs.update(
            text.leak.value for text in (self._content, self._reasoning) if text.leak is not None
        )

    def _right_reason(self) -> str:
        given = self._reason or "stop"
        if self._calls:
            return given if given in _CUT_OFF else "tool_calls"
        reason = given if given in _FINISH_REASONS else "stop"
        if reason == "stop" and self._sole and not self.answered:
            raise UpstreamError(
                "answered without content and without a call", retryable=True, empty=True
            )
        return reason

    # ------------------------------------------------------------------ calls left in the text

    def _said(self, deltas: Iterable[Delta]) -> list[Piece]:
        out: list[Piece] = []
        for delta in deltas:
            match delta:
                case CallStart(_, name):
                    out += self._end_leaked_call()
                    self._leaked, self._leaked_length = (name, []), 0
                case Arguments(_, text):
                    assert self._leaked is not None
                    self._leaked[1].append(text)
                    self._leaked_length += len(text)
                    if self._leaked_length > _MAX_ARGUMENTS:
                        raise _mistaken("called a tool with arguments without end")
                case Content(text):
                    out += [*self._end_leaked_call(), delta]
                    self.answered = self.answered or not text.isspace()
                case Reasoning():
                    out += [*self._end_leaked_call(), delta]
        return out

    def _end_leaked_call(self) -> list[Piece]:
        if self._leaked is None:
            return []
        (name, texts), self._leaked = self._leaked, None
        text = "".join(texts)
        tool = self._request.tool(name) or self._tool_by_arguments(text)
        whole = self._whole(text, tool)
        if whole != text:
            self._repairs.add("arguments_mended")
        index = self._next_call()
        return [NativeCall(index, new_id("call"), tool), Arguments(index, whole)]

    def _next_call(self) -> int:
        if self._calls == _MAX_CALLS:
            raise _mistaken("called tools without end")
        self._calls += 1
        return self._calls - 1

    def _tool_by_arguments(self, text: str) -> str:
        tool = self._request.tool_by_arguments(text)
        if tool is None:
            raise _mistaken("called a tool that was not offered")
        self._repairs.add("tool_found_by_arguments")
        return tool

    def _whole(self, text: str, tool: str) -> str:
        """Returns arguments as one JSON object that fits; as they are where the answer was cut off."""
        whole = args.mend(text, self._request.schemas.get(tool))
        if whole is not None:
            return whole
        watch = args.Watch()
        watch.feed(text)
        if self._reason in _CUT_OFF and not watch.trouble:
            return text
        raise _mistaken("called a tool with arguments that do not fit it")

    # ------------------------------------------------------------------ calls sent as such

    def _begin_call(self, piece: NativeCall) -> list[Piece]:
        name = self._request.tool(piece.name) if self._request.schemas else None
        if name is None and not self._request.closed:
            name = piece.name.partition("<|")[0].strip() or None
        call = _Call(
            self._next_call(),
            identifier=piece.id or new_id("call"),
            name=name or piece.name,
            known=name is not None,
        )
        if piece.id is None:
            self._repairs.add("tool_call_id")
        if name is not None and name != piece.name:
            self._repairs.add("tool_name_cut")
        self._native[piece.index] = call
        self._arriving.append(call)
        return [NativeCall(call.index, call.id, call.name)] if call.known else []

    def _end_call(self, call: _Call) -> list[Piece]:
        text = call.text
        out: list[Piece] = []
        if not call.known:
            call.name = self._tool_by_arguments(text)
            call.known = True
            out.append(NativeCall(call.index, call.id, call.name))
        # What came as one JSON object is the model's word, and the tool's to judge.
        whole = text if args.parsed(text) is not None else self._whole(text, call.name)
        rest = call.rest(whole)
        if rest is None:
            raise _mistaken("called a tool with arguments that are not JSON")
        if whole != text:
            self._repairs.add("arguments_mended")
        return [*out, Arguments(call.index, rest)] if rest else out


class _StreamedChoice:
    """One choice of a stream: chunks in, chunks out."""

    def __init__(
        self,
        index: int,
        request: _Asked,
        repairs: set[str],
        *,
        reasoning_names: Sequence[str],
    ) -> None:
        self._index = index
        self._names = reasoning_names
        self._repairs = repairs
        self._pieces = _Pieces()
        self._choice = _Choice(request, repairs, sole=request.sole)
        self._queue: list[bytes] = []
        self._queued_bytes = 0
        self._before: list[Piece] = []
        self._after: list[Piece] = []
        self._others: dict[str, Raw] = {}  # fields of deltas that are no business of ours
        self._usage: Raw | None = None

    @property
    def attentive(self) -> bool:
        return self._choice.attentive

    @property
    def waiting(self) -> bool:
        return self._choice.waiting and not self._queue

    @property
    def calm(self) -> bool:
        return self._choice.calm and not self._queue

    def feed(self, chunk: bytes, fields: dict[str, Raw], choice: dict[str, Raw]) -> list[bytes]:
        delta = _decode_delta(choice.get("delta", b"null")) or {}
        pieces = list(self._pieces.of(delta, choice))
        if self._choice.finished:
            return self._after_the_end(chunk, fields, pieces)
        self._queue.append(chunk)
        self._usage = fields.get("usage", self._usage)
        self._others.update(_not_ours(delta))
        self._choice.answered = self._choice.answered or _answers_otherwise(delta)
        self._before += pieces
        self._after += self._choice.feed(pieces)
        ended = bool(pieces) and isinstance(pieces[-1], Finish)
        if ended:
            self._after += self._choice.finish()
        if ended or not self._choice.held:
            return self._release(fields)
        if self._choice.reading:
            return self._rewritten(fields)
        self._queued_bytes += len(chunk)
        if self._queued_bytes > _MAX_HELD_BYTES:
            raise _broken("sent too much before it was clear what it says")
        return []

    def flush(self, fields: dict[str, Raw], *, finished: bool) -> list[bytes]:
        if self._choice.finished:
            return []
        end = self._choice.finish(seen=finished)
        self._after += end[:-1] if finished else end
        return self._release(fields)

    def _release(self, fields: dict[str, Raw]) -> list[bytes]:
        """Lets go of what is held: as it came if it is to leave so."""
        if self._queue and _joined(self._before) == _joined(self._after):
            out, self._queue = self._queue, []
            self._forget()
            return out
        return self._rewritten(fields)

    def _rewritten(self, fields: dict[str, Raw]) -> list[bytes]:
        template = {name: raw for name, raw in fields.items() if name not in _LEFT_BY_TEMPLATE}
        out = _chunks(template, self._index, _joined(self._after), self._others, self._names)
        if self._usage is not None and bytes(self._usage) != b"null":
            out.append(_encode({**template, "choices": [], "usage": self._usage}))
        self._queue = []
        self._forget()
        return out

    def _forget(self) -> None:
        self._queued_bytes = 0
        self._before, self._after, self._others, self._usage = [], [], {}, None

    def _after_the_end(
        self, chunk: bytes, fields: dict[str, Raw], pieces: Sequence[Piece]
    ) -> list[bytes]:
        """A choice ends once: what a second end brings along is its usage at most."""
        if not (pieces and isinstance(pieces[-1], Finish)):
            return [chunk]
        self._repairs.add("finish_reason")
        if bytes(fields.get("usage", b"null")) == b"null":
            return []
        return [_encode({**fields, "choices": []})]


# ---------------------------------------------------------------------------- deltas and messages

_OURS = frozenset({"content", "tool_calls", *_REASONING})


def _not_ours(holder: Mapping[str, Raw]) -> dict[str, Raw]:
    """Returns what is passed on as it is; content in parts is no text of ours either."""
    return {
        name: raw
        for name, raw in holder.items()
        if name not in _OURS or (name == "content" and bytes(raw).startswith(b"["))
    }


class _Pieces:
    """Reads deltas as pieces; knows which calls have begun."""

    def __init__(self) -> None:
        self._ids: dict[int, str | None] = {}

    def of(self, delta: Mapping[str, Raw], choice: Mapping[str, Raw]) -> Iterator[Piece]:
        yield from _pieces_of(delta, choice, calls=self._calls)

    def _calls(self, entries: Any) -> Iterator[Piece]:
        for position, entry in enumerate(entries if isinstance(entries, list) else []):
            if isinstance(entry, dict):
                yield from self._call(entry, position)

    def _call(self, entry: dict[str, Any], position: int) -> Iterator[Piece]:
        index, identifier = entry.get("index"), _string(entry.get("id"))
        function = entry.get("function")
        function = function if isinstance(function, dict) else {}
        name = _string(function.get("name"))
        index = index if isinstance(index, int) else position
        begun = index in self._ids
        if begun and name and identifier and self._ids[index] not in (None, identifier):
            begun = False  # another call under the same index
        if not begun:
            self._ids[index] = identifier
            yield NativeCall(index, identifier, name or "")
        if arguments := _arguments(function.get("arguments")):
            yield Arguments(index, arguments)


def _pieces_of(
    holder: Mapping[str, Raw],
    choice: Mapping[str, Raw],
    *,
    calls: Callable[[Any], Iterator[Piece]] | None = None,
    whole: bool = False,
) -> Iterator[Piece]:
    """Yields what a delta or a message says, and the choice's end."""
    for name in _REASONING:
        if text := _string(_decode_any(holder.get(name, b"null"))):
            yield Reasoning(text)
            break
    if text := _string(_decode_any(holder.get("content", b"null"))):
        yield Content(text)
    if "tool_calls" in holder:
        entries = _decode_any(holder["tool_calls"])
        if whole and isinstance(entries, list):
            entries = [
                {**entry, "index": position}
                for position, entry in enumerate(entries)
                if isinstance(entry, dict)
            ]
        yield from (calls or _Pieces()._calls)(entries)
    if reason := _string(_decode_any(choice.get("finish_reason", b"null"))):
        yield Finish(reason)


def _answers_otherwise(holder: Mapping[str, Raw]) -> bool:
    """Whether there is a refusal, or content in parts."""
    refusal, content = (bytes(holder.get(name, b"null")) for name in ("refusal", "content"))
    return refusal not in (b"null", b'""') or (content.startswith(b"[") and content != b"[]")


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _arguments(value: Any) -> str:
    if isinstance(value, dict):  # as servers have them that are no full copy of OpenAI's
        return _encode(value).decode()
    return _string(value) or ""


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Joins the pieces that belong together, whatever their split was."""
    out: list[Piece] = []
    texts: list[list[str]] = []
    places: dict[int, int] = {}  # of each call's arguments
    for piece in pieces:
        if isinstance(piece, Arguments):
            place = places.setdefault(piece.index, len(out))
        elif isinstance(piece, Reasoning | Content) and out and type(out[-1]) is type(piece):
            place = len(out) - 1
        else:
            place = len(out)
        if place == len(out):
            out.append(piece)
            texts.append([])
        if isinstance(piece, Reasoning | Content | Arguments):
            texts[place].append(piece.text)
    return [
        msgspec.structs.replace(piece, text="".join(parts)) if len(parts) > 1 else piece
        for piece, parts in zip(out, texts, strict=True)
    ]


def _chunks(
    template: Mapping[str, Raw],
    index: int,
    pieces: Sequence[Piece],
    others: Mapping[str, Raw],
    reasoning_names: Sequence[str],
) -> list[bytes]:
    """Writes pieces as chunks that look like the template."""
    out: list[bytes] = []

    def write(delta: Mapping[str, Any], reason: str | None = None) -> None:
        first: Mapping[str, Any] = {} if out else others
        choice = {"index": index, "delta": {**first, **delta}, "finish_reason": reason}
        out.append(_encode({**template, "choices": [choice]}))

    pending = list(pieces)
    while pending:
        match pending.pop(0):
            case Reasoning(text):
                write(dict.fromkeys(reasoning_names, text))
            case Content(text):
                write({"content": text})
            case NativeCall(at, identifier, name):
                text = ""
                if pending and isinstance(pending[0], Arguments) and pending[0].index == at:
                    text = pending.pop(0).text  # type: ignore[union-attr]
                function = {"name": name, "arguments": text}
                call = {"index": at, "id": identifier, "type": "function", "function": function}
                write({"tool_calls": [call]})
            case Arguments(at, text):
                write({"tool_calls": [{"index": at, "function": {"arguments": text}}]})
            case Finish(reason):
                write({}, reason)
    if others and not out:
        write({})
    return out


def _message(
    message: Mapping[str, Raw], pieces: Sequence[Piece], reasoning_names: Sequence[str]
) -> dict[str, Any]:
    """Writes pieces as the message that they make together."""
    out: dict[str, Any] = {"content": None, **_not_ours(message)}
    if content := "".join(p.text for p in pieces if isinstance(p, Content)):
        out["content"] = content
    if reasoning := "".join(p.text for p in pieces if isinstance(p, Reasoning)):
        out.update(dict.fromkeys(reasoning_names, reasoning))
    arguments: dict[int, str] = {}
    for piece in pieces:
        if isinstance(piece, Arguments):
            arguments[piece.index] = arguments.get(piece.index, "") + piece.text
    calls = [
        {
            "id": piece.id,
            "type": "function",
            "function": {"name": piece.name, "arguments": arguments.get(piece.index, "")},
        }
        for piece in pieces
        if isinstance(piece, NativeCall)
    ]
    if calls:
        out["tool_calls"] = calls
    return out


# ------------------------------------------------------------------------------- failed_generation


class _Found(NamedTuple):
    name: str
    arguments: str


def _failed_calls(text: str, request: _Asked) -> Iterator[_Found | None]:
    """Yields the calls in a text that a provider could not read; None for each that is not certain."""
    value = args.unfenced(text) or args.parsed(args.mend(text) or "")
    if value is None:
        yield from _calls_in_harmony(text, request)
        return
    if isinstance(value, dict) and isinstance(value.get("tool_calls"), list):
        value = value["tool_calls"]
    for entry in value if isinstance(value, list) else [value]:
        yield _failed_call(entry, text, request)


def _calls_in_harmony(text: str, request: _Asked) -> Iterator[_Found | None]:
    choice = _Choice(request, set(), sole=False)
    try:
        pieces = _joined([*choice.feed([Content(text)]), *choice.finish()])
    except UpstreamError:
        yield None
        return
    arguments = {p.index: p.text for p in pieces if isinstance(p, Arguments)}
    for piece in pieces:
        if isinstance(piece, NativeCall):
            yield _Found(piece.name, arguments[piece.index])


def _failed_call(entry: Any, text: str, request: _Asked) -> _Found | None:
    """Reads ``{"name": …, "arguments": …}``, or arguments alone that only one tool can be for."""
    if isinstance(entry, dict) and isinstance(entry.get("function"), dict):
        entry = entry["function"]
    if isinstance(entry, dict) and isinstance(entry.get("name"), str):
        given = entry.get("arguments", entry.get("parameters"))
        if isinstance(given, dict | str):
            arguments = given if isinstance(given, str) else _encode(given).decode()
            return _found(request.tool(entry["name"]), arguments, request)
    return _found(None, text, request)


def _found(tool: str | None, arguments: str, request: _Asked) -> _Found | None:
    tool = tool or request.tool_by_arguments(arguments)
    whole = args.mend(arguments, request.schemas[tool]) if tool else None
    return _Found(tool, whole) if tool and whole is not None else None


def _broken(what: str) -> UpstreamError:
    return UpstreamError(what, retryable=True)


def _mistaken(what: str) -> UpstreamError:
    return UpstreamError(what, retryable=True, by_model=True)
