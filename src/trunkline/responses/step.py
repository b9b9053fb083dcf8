"""One model call: folds chat completion chunks, or a whole completion, into items and events."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from trunkline import ids
from trunkline.errors import UpstreamError
from trunkline.responses.output import Output
from trunkline.wire.chat import Logprobs, Usage
from trunkline.wire.responses.output import ItemStatus
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
    logprobs: Logprobs | None = None
    finish_reason: str | None = None


class _Document(Struct):
    choices: list[_Choice] = []
    usage: Usage | None = None


_decode = msgspec.json.Decoder(_Document).decode


class Step:
    """What one model call adds to a response's output.

    ``names`` say what the names that the model calls stand for; ``usage`` and ``finish_reason`` are
    known in the end.
    """

    def __init__(self, output: Output, names: Mapping[str, Called]) -> None:
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self._output = output
        self._names = names
        self._calls: list[_Growing] = []

    def feed(self, document: bytes) -> None:
        """Takes a chunk, or a whole completion. Raises UpstreamError if it is neither."""
        try:
            found = _decode(document)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamError("sent what is no chat completion", retryable=False) from error
        if found.usage is not None:
            self.usage = found.usage
        for choice in found.choices:
            delta = choice.delta or choice.message
            if delta is not None and choice.index == 0:
                self._add(delta, choice.logprobs)
            self.finish_reason = choice.finish_reason or self.finish_reason

    def end(self) -> None:
        """Closes what is open."""
        cut_off = self.finish_reason in ("length", "content_filter")
        status: ItemStatus = "incomplete" if cut_off else "completed"
        self._output.close("completed" if self._waiting() else status)
        for call in self._waiting():
            self._tell(call)
            self._output.close(status)

    def _add(self, delta: _Delta, logprobs: Logprobs | None) -> None:
        if thought := delta.reasoning or delta.reasoning_content:
            self._output.reasoning(thought)
        if delta.content:
            self._output.text(delta.content, (logprobs and logprobs.content) or [])
        for place, call in enumerate(delta.tool_calls or ()):
            self._add_call(call, place if call.index is None else call.index)

    def _add_call(self, piece: _Call, index: int) -> None:
        """Adds to a call. One at a time is told: providers may mix the pieces of several."""
        while len(self._calls) <= index:
            self._calls.append(_Growing())
        call = self._calls[index]
        function = piece.function or _Function()
        call.id = call.id or piece.id or ""
        call.name += function.name or ""
        call.pieces.append(function.arguments or "")
        if call.told:
            self._output.arguments(call.take())
        elif all(one.complete for one in self._calls[:index]):
            self._tell(call)

    def _tell(self, call: _Growing) -> None:
        call.told = True
        called = self._names.get(call.name) or Called("function_call", call.name)
        self._output.call(called, call.id or ids.new_id("call"))
        if arguments := call.take():
            self._output.arguments(arguments)

    def _waiting(self) -> list[_Growing]:
        return [call for call in self._calls if not call.told]


class _Growing:
    """A call in pieces; ``told`` once its item has begun."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.pieces: list[str] = []
        self.told = False
        self._taken = ""

    @property
    def complete(self) -> bool:
        """Whether its arguments are JSON already: then nothing more of it comes."""
        if not self.told:
            return False
        try:
            msgspec.json.decode(self._taken)
        except msgspec.DecodeError:
            return False
        return True

    def take(self) -> str:
        """Returns the arguments that have not been told yet."""
        new = "".join(self.pieces)
        self.pieces.clear()
        self._taken += new
        return new
