"""One harmony turn on the embedded engine: what it samples freely, under a grammar, and not at all.

A turn without constraints is one completion. With tools or a response format it is sampled in
segments: freely up to ``<|message|>``, where the header tells what comes; then the arguments of a
call or the constrained answer under a grammar, with control tokens banned. Where the model's own
header is not allowed (no call though one is required, a tool that does not exist), the header is
taken back and the right one is written for it. So every choice holds by construction.
"""

from __future__ import annotations

import enum
import math
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

import msgspec

from trunkline.engine.client import (
    Completion,
    Done,
    EngineClient,
    Piece,
    Progress,
    TokenLogprob,
)
from trunkline.engine.grammar import choice_grammar
from trunkline.errors import UpstreamError
from trunkline.wire import harmony
from trunkline.wire.harmony import Marker

_MAX_CORRECTIONS = 3
_ENDS = frozenset({Marker.RETURN, Marker.CALL})
# Llama.cpp's end of turn, which a finished grammar admits, is <|end|>; it stays out of this list.
_BANNED_UNDER_GRAMMAR = (Marker.START, Marker.MESSAGE, Marker.CHANNEL, Marker.CONSTRAIN)


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn must obey.

    ``tools`` maps the names that may be called to the grammar of their arguments; ``answer`` is the
    grammar of the final message, None for free text, and ``answer_is_json`` tells what it makes.
    ``think`` False leaves the reasoning out.
    """

    tools: Mapping[str, str] = {}
    must_call: bool = False
    answer: str | None = None
    answer_is_json: bool = True
    think: bool = True


class Spoken(msgspec.Struct, frozen=True):
    """A delta with the log-probabilities of its tokens, if they were asked for."""

    delta: harmony.Delta
    logprobs: Sequence[TokenLogprob] = ()


class _Segment(enum.Enum):
    FREE = enum.auto()  # to the end of the turn
    HEADER = enum.auto()  # to the next <|message|>
    NAME = enum.auto()  # one of the tools' names
    BODY = enum.auto()  # a message under its grammar


class Turn:
    """Samples one turn: iterate ``run`` once, then read the attributes.

    Attributes:
        finish_reason: ``stop``, ``length`` or ``tool_calls``.
        prompt_tokens, cached_tokens: the size of the prompt, and how much of it was cached.
        completion_tokens, reasoning_tokens: what the model sampled; what was written for it does
            not count.
    """

    def __init__(
        self,
        client: EngineClient,
        *,
        prompt: Iterable[harmony.Piece],
        markers: Mapping[str, int],
        sampling: Completion,
        rules: Rules,
        stop: Sequence[str] = (),
    ) -> None:
        self.finish_reason = "stop"
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.completion_tokens = 0
        self.reasoning_tokens = 0
        self._client = client
        self._ids = {Marker(name): id_ for name, id_ in markers.items()}
        self._by_id = {id_: marker for marker, id_ in self._ids.items()}
        self._sampling = sampling
        self._rules = rules
        self._parser = harmony.Parser(tools=rules.tools)
        self._stop = StopStrings(stop)
        self._prompt = _Prompt(prompt, self._ids)
        self._calls: dict[int, int] = {}  # the parser's number of a call → ours
        self._answered = False
        self._corrections = 0
        self._choosing = False  # the next words are a tool's name
        self._refused = False  # the model began a call though there are no tools
        self._over = False
        self._end: Marker | None = None  # how the model ended the turn
        self._segment = _Segment.FREE
        self._header_complete = False  # the current segment ended with a real <|message|>
        self._body: list[str] = []  # the current segment's text
        self._done: Done | None = None  # the current segment's end
        self._predicted = 0  # the current segment's tokens so far

    async def run(self) -> AsyncGenerator[list[Spoken], None]:
        """Yields what arrives together, together. Raises what ``EngineClient.complete`` raises."""
        if not self._rules.think and (self._rules.must_call or not self._rules.tools):
            yield self._write_header(call=self._rules.must_call)
        while (segment := self._next_segment()) is not None:
            self._segment, self._header_complete = segment, False
            self._body, self._done, self._predicted = [], None, 0
            async with self._client.complete(self._completion(segment)) as output:
                async for pieces in output:
                    if batch := self._hear(pieces):
                        yield batch
                    if self._stop.hit or self._refused or self._parser.ended is not None:
                        break
            if batch := self._conclude(segment):
                yield batch
        if batch := self._finish():
            yield batch

    # ------------------------------------------------------------------------------------ what next

    def _next_segment(self) -> _Segment | None:
        if self._over or self._parser.ended is not None:
            return None
        if self._left == 0:
            self.finish_reason = "length"
            return None
        if self._choosing:
            return _Segment.NAME
        if self._grammar is not None:
            return _Segment.BODY
        return _Segment.HEADER if self._rules.tools or self._rules.answer else _Segment.FREE

    @property
    def _left(self) -> int | None:
        budget = self._sampling.max_tokens
        return None if budget is None else max(0, budget - self.completion_tokens)

    @property
    def _grammar(self) -> str | None:
        header = self._parser.header
        if header is None:
            return None
        if header.tool is not None:
            return self._rules.tools.get(header.tool)
        return self._rules.answer if header.channel == "final" else None

    def _completion(self, segment: _Segment) -> Completion:
        completion = msgspec.structs.replace(
            self._sampling, prompt=self._prompt.parts(), max_tokens=self._left
        )
        match segment:
            case _Segment.FREE:
                return completion
            case _Segment.HEADER:
                return msgspec.structs.replace(completion, stop=[Marker.MESSAGE.value])
            case _Segment.NAME:
                names = choice_grammar(self._rules.tools, then=" ")
                return msgspec.structs.replace(completion, grammar=names, stop=[" "])
            case _Segment.BODY:
                banned = {self._ids[marker]: -math.inf for marker in _BANNED_UNDER_GRAMMAR}
                return msgspec.structs.replace(
                    completion,
                    grammar=self._grammar or "",
                    stop=[Marker.END.value],
                    logit_bias={**self._sampling.logit_bias, **banned},
                )

    # ------------------------------------------------------------------------- what the engine says

    def _hear(self, pieces: Sequence[Progress | Piece | Done]) -> list[Spoken]:
        heard: list[Spoken] = []
        for piece in pieces:
            match piece:
                case Progress():
                    self._count_prompt(piece)
                case Done():
                    self._done = piece
                    self._count(piece.predicted_tokens)
                case Piece():
                    self._count(piece.predicted)
                    if self._end is None and not self._refused:
                        heard += self._hear_piece(piece)
        return self._until_stop(heard)

    def _hear_piece(self, piece: Piece) -> list[Spoken]:
        marker = self._by_id.get(piece.tokens[-1]) if piece.tokens else None
        text = piece.text if marker is None else piece.text.removesuffix(marker.value)
        deltas = self._add_text(text)
        if marker in _ENDS:
            self._end = marker
        elif marker is Marker.MESSAGE and self._segment is _Segment.HEADER:
            self._header_complete = True
        elif marker is not None:
            deltas += self._add_marker(marker)
        if not self._rules.tools and any(isinstance(d, harmony.CallStart) for d in deltas):
            self._refused = True
            return []
        return self._spoken(deltas, piece.logprobs)

    def _count_prompt(self, progress: Progress) -> None:
        if not self.prompt_tokens:  # later segments only repeat it
            self.prompt_tokens = progress.prompt_tokens
            self.cached_tokens = progress.cached_tokens

    def _count(self, predicted: int) -> None:
        new, self._predicted = predicted - self._predicted, predicted
        self.completion_tokens += new
        header = self._parser.header
        if header is not None and header.channel == "analysis" and header.tool is None:
            self.reasoning_tokens += new

    def _spoken(
        self, deltas: Iterable[harmony.Delta], logprobs: Sequence[TokenLogprob] = ()
    ) -> list[Spoken]:
        """Numbers the calls that stand, and keeps log-probabilities for the answer alone."""
        spoken = []
        for delta in deltas:
            match delta:
                case harmony.CallStart(index, name):
                    self._calls[index] = len(self._calls)
                    spoken.append(Spoken(harmony.CallStart(self._calls[index], name)))
                case harmony.Arguments(index, text):
                    spoken.append(Spoken(harmony.Arguments(self._calls[index], text)))
                case harmony.Content():
                    self._answered = True
                    spoken.append(Spoken(delta, logprobs))
                case _:
                    spoken.append(Spoken(delta))
        return spoken

    def _until_stop(self, heard: Iterable[Spoken]) -> list[Spoken]:
        kept = []
        for spoken in heard:
            if self._stop.hit:
                break
            if isinstance(spoken.delta, harmony.Content):
                text = self._stop.feed(spoken.delta.text)
                if not text:
                    continue
                spoken = msgspec.structs.replace(spoken, delta=harmony.Content(text))
            kept.append(spoken)
        return kept

    # --------------------------------------------------------------------------- a segment has ended

    def _conclude(self, segment: _Segment) -> list[Spoken]:
        if self._stop.hit or self._parser.ended is not None:
            self._over = True
            return []
        if self._done is not None and self._done.stop_type == "limit":
            self._over = True
            self.finish_reason = "length"
            return []
        match segment:
            case _Segment.NAME:
                self._choosing = False
                return self._spoken(self._write(" ", Marker.CONSTRAIN, "json", Marker.MESSAGE))
            case _Segment.BODY:
                return self._end_body()
            case _Segment.HEADER if self._done is not None and self._done.stop_type == "word":
                return self._end_header()
            case _:
                return self._end_turn()

    def _end_body(self) -> list[Spoken]:
        header = self._parser.header
        is_call = header is not None and header.tool is not None
        if is_call or self._rules.answer_is_json:
            _check_json("".join(self._body))
        self._over = True
        return self._spoken(self._parser.marker(Marker.CALL if is_call else Marker.RETURN))

    def _end_header(self) -> list[Spoken]:
        """The model has written ``<|message|>``, or text that spells it; is its header allowed?"""
        if not self._header_complete:
            return self._until_stop(self._spoken(self._add_text(Marker.MESSAGE.value)))
        if self._parser.in_body:  # out of place
            self._add_marker(Marker.MESSAGE)
            return []
        deltas = self._add_marker(Marker.MESSAGE)
        header = self._parser.header
        if header is None:
            return []
        if header.tool is not None:
            allowed = header.tool in self._rules.tools
        else:
            allowed = not (self._rules.must_call and header.channel == "final")
        if allowed:
            return self._spoken(deltas)
        return self._correct(call=self._rules.must_call or bool(self._rules.tools))

    def _end_turn(self) -> list[Spoken]:
        """The model has ended the turn. Did it do what the turn is for?"""
        header = self._parser.header
        silent = not (self._answered or self._calls or (header and header.channel == "final"))
        if self._refused or self._rules.must_call or silent:
            return self._correct(call=self._rules.must_call)
        self._over = True
        return self._spoken(self._parser.marker(self._end or Marker.RETURN))

    def _correct(self, *, call: bool) -> list[Spoken]:
        """Writes the right header in place of an unwanted one, or after a message that is not enough."""
        if self._corrections == _MAX_CORRECTIONS:
            self._over = True
            return []
        self._corrections += 1
        if self._end is not None and self._parser.in_body:
            self._add_marker(Marker.END)
        else:
            self._parser.marker(Marker.END)
            self._prompt.take_back()
        self._end, self._refused = None, False
        return self._write_header(call=call)

    def _write_header(self, *, call: bool) -> list[Spoken]:
        if not self._prompt.fresh:
            self._write(Marker.START, "assistant")
        if not call:
            return self._spoken(self._write(Marker.CHANNEL, "final", Marker.MESSAGE))
        self._write(Marker.CHANNEL, "commentary to=functions.")
        if len(self._rules.tools) > 1:
            self._choosing = True
            return []
        (name,) = self._rules.tools
        return self._spoken(self._write(f"{name} ", Marker.CONSTRAIN, "json", Marker.MESSAGE))

    def _finish(self) -> list[Spoken]:
        spoken = self._until_stop(self._spoken(self._parser.close()))
        if rest := self._stop.close():
            spoken.append(Spoken(harmony.Content(rest)))
        if self._calls and self.finish_reason == "stop":
            self.finish_reason = "tool_calls"
        return spoken

    # ------------------------------------------------- the prompt and the parser, always in step

    def _write(self, *pieces: harmony.Piece) -> list[harmony.Delta]:
        deltas: list[harmony.Delta] = []
        for piece in pieces:
            deltas += (
                self._add_marker(piece) if isinstance(piece, Marker) else self._add_text(piece)
            )
        return deltas

    def _add_text(self, text: str) -> list[harmony.Delta]:
        self._body.append(text)
        self._prompt.add_text(text)
        return self._parser.text(text)

    def _add_marker(self, marker: Marker) -> list[harmony.Delta]:
        self._prompt.add_marker(marker)
        return self._parser.marker(marker)


class _Prompt:
    """The conversation so far as the engine takes it: token ids for markers, texts that hold none."""

    def __init__(self, pieces: Iterable[harmony.Piece], ids: Mapping[Marker, int]) -> None:
        self._ids = ids
        self._parts: list[int | str] = []
        self._text: list[str] = []  # grows by one token at a time; tokenized as a whole
        for piece in pieces:
            self.add_marker(piece) if isinstance(piece, Marker) else self.add_text(piece)
        self._flush()
        self._start = self._message_at = len(self._parts)

    @property
    def fresh(self) -> bool:
        """Whether the turn is still empty, so that ``<|start|>assistant`` stands there already."""
        return len(self._parts) == self._start and not self._text

    def parts(self) -> list[int | str]:
        self._flush()
        return list(self._parts)

    def add_text(self, text: str) -> None:
        if text:
            self._text.append(text)

    def add_marker(self, marker: Marker) -> None:
        self._flush()
        if marker is Marker.START:
            self._message_at = len(self._parts)
        self._parts.append(self._ids[marker])

    def take_back(self) -> None:
        """Forgets the message that was begun last."""
        self._text.clear()
        del self._parts[self._message_at :]

    def _flush(self) -> None:
        self._parts += harmony.defuse("".join(self._text))
        self._text.clear()


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
        found = [at for string in self._strings if (at := text.find(string)) >= 0]
        if found:
            self.hit = True
            return text[: min(found)]
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


def _check_json(text: str) -> None:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UpstreamError("the engine left the grammar it was given", retryable=True) from error
