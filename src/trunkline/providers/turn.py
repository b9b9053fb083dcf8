"""One harmony turn on the embedded engine: what it samples freely, under a grammar, and not at all.

A turn without constraints is one completion. With tools or a response format it is sampled in
segments: freely up to ``<|message|>``, where the header tells what comes; then the arguments of a
call or the constrained answer under a grammar, with control tokens banned. Where the model's own
header is not allowed (no call though one is required, a tool that does not exist), the header is
taken back and the right one is written for it. So every choice holds by construction.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from trunkline.engine.client import (
    Completion,
    Done,
    EngineClient,
    Piece,
    Progress,
    TokenLogprob,
)
from trunkline.engine.grammar import admits, choice_grammar
from trunkline.errors import InvalidRequest, UpstreamError
from trunkline.providers.stop import Logprobs, StopStrings
from trunkline.wire import harmony
from trunkline.wire.harmony import Marker

_MAX_CORRECTIONS = 3
_ENDS = frozenset({Marker.RETURN, Marker.CALL})
_CALL = "commentary to=functions."
_FINAL, _ANALYSIS = "final", "analysis"
_CHOSEN = " <|constrain|>"  # what a model itself writes after a tool's name
# Low enough never to be sampled, but finite: where a schema's own words spell a marker, the grammar
# may leave no other token.
_BAN = -1000.0
_TEXT_TO_A_GRAMMAR = (Marker.START, Marker.END, Marker.MESSAGE, Marker.CHANNEL, Marker.CONSTRAIN)


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn must obey.

    ``tools`` maps the names that may be called to the grammar of their arguments; ``answer`` is the
    grammar of the final message, None for free text. ``think`` False leaves the reasoning out.
    """

    tools: Mapping[str, str] = {}
    must_call: bool = False
    answer: str | None = None
    think: bool = True


class Spoken(msgspec.Struct, frozen=True):
    """A delta with the log-probabilities of its tokens, if they were asked for."""

    delta: harmony.Delta
    logprobs: Sequence[TokenLogprob] = ()


class _Kind(enum.Enum):
    FREE = enum.auto()  # to the end of the turn
    HEADER = enum.auto()  # to the next <|message|>
    CHOICE = enum.auto()  # one of several headings
    BODY = enum.auto()  # a message under its grammar


@dataclass(slots=True)
class _Segment:
    """One completion, and what became of it."""

    kind: _Kind
    predicted: int = 0  # tokens
    text: list[str] = field(default_factory=list)
    is_header: bool = False  # ended with <|message|>, not with text that spells it
    ended_turn: bool = False  # by the model
    refused: bool = False  # the model began what it may not
    wanted_call: bool = False  # and that was a call
    stop_type: str = ""


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
        self._logprobs = Logprobs()
        self._prompt = _Prompt(prompt, self._ids)
        self._segment = _Segment(_Kind.FREE)
        self._choices: tuple[str, ...] = ()  # headings, or the rest of them, to choose from next
        self._called = False
        self._answered = False
        self._corrections = 0
        self._over = False

    async def run(self) -> AsyncGenerator[list[Spoken], None]:
        """Yields what arrives together, together; first when the engine has begun to answer.

        Raises what ``EngineClient.complete`` raises, and UpstreamError if the engine breaks out of
        its grammar.
        """
        said = self._open()
        while (kind := self._next()) is not None:
            self._segment = _Segment(kind)
            try:
                async with self._client.complete(self._completion(kind)) as output:
                    async for pieces in output:
                        said += self._hear(pieces)
                        if said:
                            yield said
                            said = []
                        if not self._listening:
                            break
            except InvalidRequest:
                if not self.completion_tokens:
                    raise
                self._run_out()  # it was the turn itself that filled the context
            said += await self._conclude()
        said += self._finish()
        if said:
            yield said

    # ------------------------------------------------------------------------------------ what next

    def _open(self) -> list[Spoken]:
        if self._rules.think:
            return []
        return self._write_header(call=bool(self._rules.tools), final=not self._rules.must_call)

    def _next(self) -> _Kind | None:
        if self._over or self._stop.hit:
            return None
        if self._left == 0:
            self._run_out()
            return None
        if self._choices:
            return _Kind.CHOICE
        if self._grammar is not None:
            return _Kind.BODY
        return _Kind.HEADER if self._rules.tools or self._rules.answer is not None else _Kind.FREE

    @property
    def _left(self) -> int | None:
        budget = self._sampling.max_tokens
        return None if budget is None else max(0, budget - self.completion_tokens)

    @property
    def _grammar(self) -> str | None:
        """The grammar of the message that has been begun."""
        header = self._parser.header
        if header is None:
            return None
        if header.tool is not None:
            return self._rules.tools.get(header.tool)
        return self._rules.answer if header.channel == _FINAL else None

    def _completion(self, kind: _Kind) -> Completion:
        free = msgspec.structs.replace(
            self._sampling, prompt=self._prompt.parts(), max_tokens=self._left
        )
        match kind:
            case _Kind.FREE:
                return free
            case _Kind.HEADER:
                return msgspec.structs.replace(free, stop=[Marker.MESSAGE.value])
            case _Kind.CHOICE:
                names = choice_grammar(self._choices, then=_CHOSEN)
                return msgspec.structs.replace(free, grammar=names, stop=[_CHOSEN])
            case _Kind.BODY:
                banned = {self._ids[marker]: _BAN for marker in _TEXT_TO_A_GRAMMAR}
                return msgspec.structs.replace(
                    free,
                    grammar=self._grammar or "",
                    logit_bias={**self._sampling.logit_bias, **banned},
                )

    # ------------------------------------------------------------------------- what the engine says

    @property
    def _listening(self) -> bool:
        segment = self._segment
        cut = self._stop.hit or segment.refused or segment.ended_turn
        return not cut and self._parser.ended is None

    def _hear(self, pieces: Sequence[Progress | Piece | Done]) -> list[Spoken]:
        said: list[Spoken] = []
        for piece in pieces:
            match piece:
                case Progress():
                    self._count_prompt(piece)
                case Done():
                    self._segment.stop_type = piece.stop_type
                    self._count(piece.predicted_tokens)
                case Piece():
                    self._count(piece.predicted)
                    if self._listening:
                        said += self._hear_piece(piece)
        return said

    def _hear_piece(self, piece: Piece) -> list[Spoken]:
        if self._segment.kind in (_Kind.CHOICE, _Kind.BODY):
            self._logprobs.add(piece.logprobs)
            return self._hear_constrained(piece.text)
        marker = self._by_id.get(piece.tokens[-1]) if piece.tokens else None
        if marker is None:
            self._logprobs.add(piece.logprobs)
            return self._judged(self._add_text(piece.text))
        said = self._judged(self._add_text(piece.text.removesuffix(marker.value)))
        return said + self._hear_marker(marker) if self._listening else said

    def _hear_constrained(self, text: str) -> list[Spoken]:
        self._segment.text.append(text)
        if self._segment.kind is _Kind.CHOICE:
            self._add_text(text)
            return []
        header = self._parser.header
        is_call = header is not None and header.tool is not None
        return self._spoken([harmony.Arguments(0, text) if is_call else harmony.Content(text)])

    def _hear_marker(self, marker: Marker) -> list[Spoken]:
        if marker in _ENDS:
            self._segment.ended_turn = True
            return []
        if marker is Marker.MESSAGE and self._segment.kind is _Kind.HEADER:
            self._segment.is_header = True
            return []
        said = self._judged(self._parser.marker(marker))
        if not self._segment.refused:
            self._keep(marker)
        return said

    def _judged(self, deltas: list[harmony.Delta]) -> list[Spoken]:
        """Lets pass what may be said under a header that was not seen to be complete.

        Not a call, nor an answer where only a constrained one will do: ``_end_header`` begins those.
        """
        is_call = any(isinstance(delta, harmony.CallStart) for delta in deltas)
        is_final = self._channel == _FINAL and self._rules.answer is not None
        if is_call or is_final or not self._is_allowed:
            self._segment.refused, self._segment.wanted_call = True, is_call
            return []
        return self._spoken(deltas)

    @property
    def _channel(self) -> str | None:
        return self._parser.header.channel if self._parser.header is not None else None

    @property
    def _is_allowed(self) -> bool:
        """Whether the message that has been begun may stand."""
        header = self._parser.header
        if header is not None and header.tool is not None:
            return header.tool in self._rules.tools
        if self._channel == _FINAL:
            return not self._rules.must_call
        return self._rules.think or self._channel != _ANALYSIS

    def _count_prompt(self, progress: Progress) -> None:
        if not self.prompt_tokens:  # later segments only repeat it
            self.prompt_tokens = progress.prompt_tokens
            self.cached_tokens = progress.cached_tokens

    def _count(self, predicted: int) -> None:
        new, self._segment.predicted = predicted - self._segment.predicted, predicted
        self.completion_tokens += new
        if self._is_reasoning and self._listening:
            self.reasoning_tokens += new

    @property
    def _is_reasoning(self) -> bool:
        header = self._parser.header
        if header is None or header.tool is not None:
            return False
        return header.channel == _ANALYSIS or not (self._is_answer or header.channel == _FINAL)

    # -------------------------------------------------------------------------- what the caller gets

    def _spoken(self, deltas: Iterable[harmony.Delta]) -> list[Spoken]:
        said: list[Spoken] = []
        for delta in deltas:
            match delta:
                case harmony.CallStart(_, name):
                    self._called = True
                    said.append(Spoken(harmony.CallStart(0, name)))
                case harmony.Content(text) if self._is_answer:
                    said += self._answer(text)
                case harmony.Content(text) | harmony.Reasoning(text):
                    self._logprobs.clear()
                    said.append(Spoken(harmony.Reasoning(text)))
                case _:
                    said.append(Spoken(delta))
        return said

    @property
    def _is_answer(self) -> bool:
        """Whether visible text is part of the answer; beside a constrained one there is no other."""
        return self._rules.answer is None or self._segment.kind is _Kind.BODY

    def _answer(self, text: str) -> list[Spoken]:
        self._answered = True
        if self._stop.hit:
            return []
        text = self._stop.feed(text)
        return [Spoken(harmony.Content(text), self._logprobs.take(text))] if text else []

    # --------------------------------------------------------------------------- a segment has ended

    async def _conclude(self) -> list[Spoken]:
        segment = self._segment
        if self._over or self._stop.hit:
            return []
        if segment.refused:
            return self._correct()
        if self._parser.ended is not None:
            return self._end_turn()
        if segment.stop_type == "limit":
            self._run_out()
            return []
        match segment.kind:
            case _Kind.CHOICE:
                return self._end_choice()
            case _Kind.BODY:
                return await self._end_body()
            case _Kind.HEADER if segment.stop_type == "word":
                return self._end_header()
            case _:
                return self._end_turn()

    def _run_out(self) -> None:
        self._over = True
        self.finish_reason = "length"

    def _end_choice(self) -> list[Spoken]:
        chosen = "".join(self._segment.text)
        if chosen not in self._choices:
            raise _grammar_left()
        self._choices = ()
        return self._spoken(self._begin_body(is_call=chosen != _FINAL))

    async def _end_body(self) -> list[Spoken]:
        # The engine would ignore a grammar that it cannot follow to the end, without a word.
        if not await admits(self._grammar or "", "".join(self._segment.text)):
            raise _grammar_left()
        self._over = True
        return []

    def _end_header(self) -> list[Spoken]:
        """The model has written ``<|message|>``, or text that spells it; is its header allowed?"""
        if not self._segment.is_header:
            said = self._judged(self._add_text(Marker.MESSAGE.value))
            return self._correct() if self._segment.refused else said
        if self._parser.in_body:  # out of place
            self._add_marker(Marker.MESSAGE)
            return []
        deltas = self._add_marker(Marker.MESSAGE)
        header = self._parser.header
        if header is None:  # of somebody else's message
            return self._end_turn()
        if self._is_allowed:
            return self._spoken(deltas)
        self._segment.wanted_call = header.tool is not None
        return self._correct()

    def _end_turn(self) -> list[Spoken]:
        """The model has ended the turn. Did it do what the turn is for?"""
        said: list[Spoken] = []
        if not self._parser.in_body:  # a header without <|message|>, or of somebody else's message
            said = self._judged(self._parser.marker(Marker.END))
            if self._segment.refused:
                return self._correct()
            if said:
                self._keep(Marker.END)
            else:
                self._take_back()
        if self._parser.in_body:
            self._answered |= self._channel == _FINAL
            self._add_marker(Marker.END)
        return said + self._go_on(call=self._rules.must_call)

    def _correct(self) -> list[Spoken]:
        """Takes back the message that the model began, and begins the right one in its place."""
        self._take_back()
        wants_call = self._segment.wanted_call and bool(self._rules.tools)
        return self._go_on(call=self._rules.must_call or wants_call)

    def _go_on(self, *, call: bool) -> list[Spoken]:
        """Begins a call or the answer, unless there is enough of an answer already."""
        enough = self._answered and not call and self._rules.answer is None
        if enough or self._corrections == _MAX_CORRECTIONS:
            self._over = True
            return []
        self._corrections += 1
        return self._write_header(call=call, final=not call)

    def _finish(self) -> list[Spoken]:
        said = self._judged(self._parser.close())
        if rest := self._stop.close():
            said.append(Spoken(harmony.Content(rest), self._logprobs.take(rest)))
        if self._called and self.finish_reason == "stop":
            self.finish_reason = "tool_calls"
        return said

    # ------------------------------------------------------------------------ what is written for it

    def _write_header(self, *, call: bool, final: bool) -> list[Spoken]:
        """Begins a call, the answer or, if both are allowed, what the model chooses."""
        if not self._prompt.fresh:
            self._add_marker(Marker.START)
            self._add_text("assistant")
        self._add_marker(Marker.CHANNEL)
        headings = [_CALL + name for name in self._rules.tools] if call else []
        if final:
            headings.append(_FINAL)
        if len(headings) == 1:
            self._add_text(headings[0])
            return self._spoken(self._begin_body(is_call=call))
        if not final:
            self._add_text(_CALL)
            headings = list(self._rules.tools)
        self._choices = tuple(headings)
        return []

    def _begin_body(self, *, is_call: bool) -> list[harmony.Delta]:
        if is_call:
            self._add_text(" ")
            self._add_marker(Marker.CONSTRAIN)
            self._add_text("json")
        return self._add_marker(Marker.MESSAGE)

    # ------------------------------------------------- the prompt and the parser, always in step

    def _add_text(self, text: str) -> list[harmony.Delta]:
        self._prompt.add_text(text)
        return self._parser.text(text)

    def _add_marker(self, marker: Marker) -> list[harmony.Delta]:
        self._keep(marker)
        return self._parser.marker(marker)

    def _keep(self, marker: Marker) -> None:
        self._prompt.add_marker(marker)
        if marker is not Marker.END:  # text that was held back may still be said
            self._logprobs.clear()

    def _take_back(self) -> None:
        self._prompt.take_back()
        self._parser.take_back()


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
        self._parts.append(self._ids[marker])
        if marker is Marker.END:
            self._message_at = len(self._parts)

    def take_back(self) -> None:
        """Forgets the message that was begun after the last whole one."""
        self._text.clear()
        del self._parts[self._message_at :]

    def _flush(self) -> None:
        self._parts += harmony.defuse("".join(self._text))
        self._text.clear()


def _grammar_left() -> UpstreamError:
    return UpstreamError("the engine left the grammar it was given", retryable=True)
