"""One model call: folds chat completion chunks, or a whole completion, into items and events."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from trunkline import ids
from trunkline.errors import UpstreamError
from trunkline.responses.output import Output
from trunkline.wire.chat import Logprobs, TokenLogprob, Usage, peek_usage
from trunkline.wire.responses.client_tools import WHOLE_PREFIXES, Unwrapping, whole_call
from trunkline.wire.responses.output import (
    ItemStatus,
    OutputItem,
    OutputMessage,
    OutputText,
    ReasoningItem,
)
from trunkline.wire.responses.tools import Called


class _Function(Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(Struct):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(Struct):
    """``delta`` of a chunk, ``message`` of a whole completion: the same, in one piece."""

    index: int = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    logprobs: Raw = Raw()
    finish_reason: str | None = None


class _Document(Struct):
    """What is of use in a chunk; ``usage`` and logprobs that are not as published say nothing."""

    choices: list[_Choice] = []
    usage: Raw = Raw()
    x_groq: Raw = Raw()


_decode = msgspec.json.Decoder(_Document).decode
_decode_logprobs = msgspec.json.Decoder(Logprobs | None).decode
_NULL = Raw(b"null")
_encode = msgspec.json.Encoder().encode

Fate = Literal["client", "ours", "refused", "surplus"]
"""Whose a call is: the caller runs it, it is run here, it may not be made, or it is one too many."""


@dataclass(slots=True)
class ModelCall:
    """A tool call of the model's. ``item_id`` is that of an item which is run here.

    ``problem`` says, in words for the model, why a call is refused or not run.
    """

    id: str
    name: str
    arguments: str
    fate: Fate
    called: Called | None = None
    item_id: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the calls of a step are held to.

    ``names`` say what the names that the model calls stand for; only the ``allowed`` may be called
    unless that is None; with ``single`` the first call is the only one.
    """

    names: Mapping[str, Called]
    allowed: Collection[str] | None = None
    single: bool = False
    logprobs: bool = False

    def problem(self, name: str) -> str:
        """Returns, in words for the model, why a tool must not be called; empty if it may."""
        allowed = [one for one in self.names if self.allowed is None or one in self.allowed]
        if name in allowed:
            return ""
        if not allowed:
            return "no tool may be called now; answer without one"
        which = "may not be called now" if name in self.names else "does not exist"
        return f"the tool {name!r} {which}; there are: {', '.join(allowed)}"


class Step:
    """What one model call adds to a response's output.

    ``spare`` is how many calls may still be run here, None if there is no limit. ``usage``,
    ``finish_reason``, ``calls`` and ``said`` are known in the end.
    """

    def __init__(self, output: Output, rules: Rules, *, spare: int | None = None) -> None:
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.calls: list[ModelCall] = []
        self._output = output
        self._rules = rules
        self._spare = spare
        self._growing: list[_Growing] = []
        self._at: dict[int, _Growing] = {}
        self._first = len(output.items)
        self._spoke = False
        self._late: list[tuple[_Delta, Raw]] = []

    @property
    def cut_off(self) -> bool:
        """Whether the model had more to say."""
        return self.finish_reason in ("length", "content_filter")

    def feed(self, document: bytes) -> None:
        """Takes a chunk, or a whole completion. Raises UpstreamError if it is neither."""
        try:
            found = _decode(document)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamError("sent what is no chat completion", retryable=False) from error
        if (found.usage and found.usage != _NULL) or found.x_groq:
            self.usage = peek_usage(document) or self.usage
        for choice in found.choices:
            delta = choice.delta or choice.message
            if delta is not None and choice.index == 0:
                self._add(delta, choice.logprobs)
            if choice.finish_reason:
                self.finish_reason = choice.finish_reason

    def end(self) -> None:
        """Closes what is open, and decides on calls that were waiting for their turn."""
        status: ItemStatus = "incomplete" if self.cut_off else "completed"
        for call in self._growing:
            if not call.begun:
                self._finish_before(call)
                self._begin(call)
        last = self._growing[-1] if self._growing else None
        if last is not None and (last.finished or self._late):
            last = None
        for call in self._growing:
            self._finish(call, status if call is last else "completed")
        for delta, logprobs in self._late:
            self._say(delta, logprobs)
        self._output.close(status if last is None else "completed")
        if not self._spoke and not self.calls and not self.cut_off:
            self._output.text("", [])  # nothing was said: that is an answer, and has a message
            self._output.close()

    def messages(self, results: Iterable[str]) -> list[dict[str, Any]]:
        """Returns the step as chat messages: what the model said and called, and each call's result."""
        thought, text = said_in(self._output.items[self._first :])
        said: dict[str, Any] = {"role": "assistant", "content": text or None}
        if thought:
            said["reasoning"] = thought
        said["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in self.calls
        ]
        answers = [
            {"role": "tool", "tool_call_id": call.id, "content": result}
            for call, result in zip(self.calls, results, strict=True)
        ]
        return [said, *answers]

    def _add(self, delta: _Delta, logprobs: Raw) -> None:
        if self._growing and self._is_calling():
            if delta.content or delta.reasoning or delta.reasoning_content or delta.refusal:
                self._late.append((delta, logprobs))
        else:
            self._say(delta, logprobs)
        if delta.tool_calls:
            for place, call in enumerate(delta.tool_calls):
                self._add_call(call, place if call.index is None else call.index)

    def _is_calling(self) -> bool:
        """Whether a call has not come to its end yet: words beside it are told after it."""
        for call in self._growing:
            if call.begun and not call.finished and call.complete:
                self._finish(call, "completed")
        return bool(self._late) or any(call.begun and not call.finished for call in self._growing)

    def _say(self, delta: _Delta, logprobs: Raw) -> None:
        if thought := delta.reasoning or delta.reasoning_content:
            self._output.reasoning(thought)
        tokens = _tokens(logprobs) if logprobs and self._rules.logprobs else _NO_LOGPROBS
        if delta.content or (tokens and not delta.refusal):
            self._spoke = True
            self._output.text(delta.content or "", tokens)
        if delta.refusal:
            self._spoke = True
            self._output.refusal(delta.refusal)

    def _add_call(self, piece: _Call, index: int) -> None:
        """Adds to a call. One at a time is told: providers may mix the pieces of several."""
        function = piece.function or _Function()
        call = self._at.get(index)
        if call is None or call.is_another(piece.id, function.name):
            call = self._at[index] = _Growing()
            if not (self._rules.single and self._growing):
                self._growing.append(call)
        if self._rules.single and call is not self._growing[0]:
            return
        call.id = call.id or piece.id or ""
        call.name += function.name or ""
        call.add(function.arguments or "")
        if call.begun:
            self._tell(call)
        elif self._is_known(call) and self._is_its_turn(call):
            self._finish_before(call)
            self._begin(call)

    def _is_known(self, call: _Growing) -> bool:
        """Whether the name is whole: it is a tool's, or arguments have come."""
        return call.name in self._rules.names or bool(call.name and call.has_arguments)

    def _is_its_turn(self, call: _Growing) -> bool:
        before = itertools.takewhile(lambda one: one is not call, self._growing)
        return all(one.complete for one in before)

    def _finish_before(self, call: _Growing) -> None:
        for one in self._growing:
            if one is call:
                return
            self._finish(one, "completed")

    def _begin(self, call: _Growing) -> None:
        call.begun = True
        taken = any(call.id == made.id for made in self.calls)
        made = call.made = ModelCall(_call_id("" if taken else call.id), call.name, "", "client")
        made.called = self._rules.names.get(call.name)
        made.problem = self._rules.problem(call.name)
        self.calls.append(made)
        if made.problem or made.called is None:
            made.fate = "refused"
        elif made.called.ours and self._spare == 0:
            made.fate = "surplus"
        elif made.called.ours:
            made.fate = "ours"
            self._spare = None if self._spare is None else self._spare - 1
        if made.fate in ("client", "ours") and made.called and not made.called.whole:
            if made.called.type == "custom_tool_call":
                call.unwrapping = Unwrapping()
            self._output.call(made.called, made.id)
            call.told = True
        self._tell(call)

    def _tell(self, call: _Growing) -> None:
        new = call.take()
        if call.unwrapping is not None:
            new = call.unwrapping.feed(new)
        if new and call.told:
            self._output.arguments(new)

    def _finish(self, call: _Growing, status: ItemStatus) -> None:
        """The arguments are whole, or cut off."""
        made = call.made
        if made is None or call.finished:
            return
        call.finished = True
        made.arguments = call.arguments
        if not made.arguments and call.unwrapping is None and status == "completed":
            made.arguments = "{}"  # what OpenAI has there; callers decode it
            if call.told:
                self._output.arguments("{}")
        if call.told and made.fate == "ours" and status == "completed":
            made.item_id = self._output.run()
        elif call.told:
            if call.unwrapping is not None and (rest := call.unwrapping.end()):
                self._output.arguments(rest)
            self._output.close(status)
        elif made.fate == "client" and made.called is not None:
            self._tell_whole(made, made.called)

    def _tell_whole(self, made: ModelCall, called: Called) -> None:
        id = ids.new_id(WHOLE_PREFIXES[called.type])
        try:
            self._output.whole(whole_call(called.type, id, made.id, made.arguments))
        except ValueError as error:
            made.fate, made.problem = "refused", str(error)


class _Growing:
    """A call in pieces; ``begun`` once it is its turn, ``told`` if it has an item that grows."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.begun = False
        self.told = False
        self.finished = False
        self.made: ModelCall | None = None
        self.unwrapping: Unwrapping | None = None
        self._pieces: list[str] = []
        self._taken = 0

    def add(self, piece: str) -> None:
        if piece:
            self._pieces.append(piece)

    def is_another(self, id: str | None, name: str | None) -> bool:
        """Whether a piece at its place begins another call: some providers give all of them one index."""
        return bool(id and name and self.id and id != self.id)

    @property
    def has_arguments(self) -> bool:
        return bool(self._pieces)

    @property
    def arguments(self) -> str:
        self._pieces = ["".join(self._pieces)]
        self._taken = 1
        return self._pieces[0]

    @property
    def complete(self) -> bool:
        """Whether its arguments are JSON already: then nothing more of it comes."""
        if not self.begun or not self._pieces or not self._pieces[-1].rstrip().endswith("}"):
            return self.finished
        if self.finished:
            return True
        try:
            msgspec.json.decode(self.arguments)
        except msgspec.DecodeError:
            return False
        return True

    def take(self) -> str:
        """Returns the arguments that have not been taken yet."""
        new = "".join(self._pieces[self._taken :])
        self._taken = len(self._pieces)
        return new


_NO_LOGPROBS: list[TokenLogprob] = []
_UNIQUE = re.compile(r"[A-Za-z0-9_-]{20,64}")


def _call_id(given: str) -> str:
    """Returns the provider's id of a call, or one of ours: some count calls, and begin anew each time."""
    return given if _UNIQUE.fullmatch(given) else ids.new_id("call")


def _tokens(logprobs: Raw) -> list[TokenLogprob]:
    try:
        found = _decode_logprobs(logprobs)
    except msgspec.DecodeError:
        return _NO_LOGPROBS
    return [_published(token) for token in (found and found.content) or ()]


def _published(token: TokenLogprob) -> TokenLogprob:
    """Returns a token's logprob with the bytes that are required there."""
    if token.bytes is None:
        token.bytes = list(token.token.encode("utf-8", "surrogatepass"))
    for other in token.top_logprobs:
        if other.bytes is None:
            other.bytes = list(other.token.encode("utf-8", "surrogatepass"))
    return token


def said_in(items: Iterable[OutputItem]) -> tuple[str, str]:
    """Returns what the model thought and what it said, as far as items tell."""
    thought, text = [], []
    for item in items:
        if isinstance(item, ReasoningItem) and item.content:
            thought += [part.text for part in item.content]
        elif isinstance(item, OutputMessage):
            text += [
                part.text if isinstance(part, OutputText) else part.refusal for part in item.content
            ]
    return "".join(thought), "".join(text)


def following(messages: Raw, more: Iterable[dict[str, Any]]) -> Raw:
    """Returns the messages of a request with more at their end."""
    head = bytes(messages).rstrip()[:-1]
    return Raw(b"%b,%b]" % (head, b",".join(_encode(message) for message in more)))
