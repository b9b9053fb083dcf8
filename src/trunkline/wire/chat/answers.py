"""Completions, chunks and usage: what a chat answer is made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

Count = Annotated[int, Meta(ge=0, le=2**53)]
"""Tokens. An upstream that reports anything else has reported nothing."""


class PromptTokensDetails(Struct, kw_only=True):
    """``usage.prompt_tokens_details``."""

    cached_tokens: Count | None = 0


class CompletionTokensDetails(Struct, kw_only=True):
    """``usage.completion_tokens_details``."""

    reasoning_tokens: Count | None = 0


class Usage(Struct, kw_only=True):
    """Token counts of one answer; ``completion_tokens`` includes the reasoning."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    total_tokens: Count = 0
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None

    @property
    def cached_tokens(self) -> int:
        return (self.prompt_tokens_details and self.prompt_tokens_details.cached_tokens) or 0

    @property
    def reasoning_tokens(self) -> int:
        details = self.completion_tokens_details
        return (details and details.reasoning_tokens) or 0


def added(one: Usage, other: Usage) -> Usage:
    """Returns what two model calls used together."""
    return Usage(
        prompt_tokens=one.prompt_tokens + other.prompt_tokens,
        completion_tokens=one.completion_tokens + other.completion_tokens,
        total_tokens=one.total_tokens + other.total_tokens,
        prompt_tokens_details=PromptTokensDetails(
            cached_tokens=one.cached_tokens + other.cached_tokens
        ),
        completion_tokens_details=CompletionTokensDetails(
            reasoning_tokens=one.reasoning_tokens + other.reasoning_tokens
        ),
    )


class TopLogprob(Struct, kw_only=True):
    """An alternative at one position."""

    token: str
    logprob: float
    bytes: list[int] | None = None


class TokenLogprob(Struct, kw_only=True):
    """One sampled token with its log-probability."""

    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: list[TopLogprob] = []


class Logprobs(Struct, kw_only=True):
    """``choices[].logprobs``."""

    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


class FunctionDelta(Struct, kw_only=True):
    """A piece of a function call."""

    name: str | UnsetType = UNSET
    arguments: str | UnsetType = UNSET


class ToolCallDelta(Struct, kw_only=True):
    """A piece of ``tool_calls``; the first one of a call has its id, type and name."""

    index: int
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET
    function: FunctionDelta | UnsetType = UNSET


class Delta(Struct, kw_only=True):
    """What one chunk adds to a choice's message."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    reasoning: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ToolCallDelta] | UnsetType = UNSET


class ChunkChoice(Struct, kw_only=True):
    """A choice's part in a chunk."""

    index: int
    delta: Delta
    logprobs: Logprobs | None = None
    finish_reason: str | None = None


class Chunk(Struct, kw_only=True):
    """``chat.completion.chunk``."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    system_fingerprint: str | UnsetType = UNSET
    usage: Usage | UnsetType | None = UNSET


class CalledFunction(Struct, kw_only=True):
    """The function of a finished call; ``arguments`` is JSON as text."""

    name: str
    arguments: str


class MessageToolCall(Struct, kw_only=True):
    """A finished call."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class AssistantMessage(Struct, kw_only=True):
    """``choices[].message``."""

    role: Literal["assistant"] = "assistant"
    content: str | None = None
    refusal: str | None = None
    reasoning: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[MessageToolCall] | UnsetType = UNSET


class Choice(Struct, kw_only=True):
    """One answer of ``chat.completion``."""

    index: int
    message: AssistantMessage
    logprobs: Logprobs | None = None
    finish_reason: str | None = None


class Completion(Struct, kw_only=True):
    """``chat.completion``."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    system_fingerprint: str | UnsetType = UNSET


encode = msgspec.json.Encoder().encode


class _OfGroq(Struct):
    usage: Usage | None = None


class Report(Struct):
    """What a chunk or completion says of its usage. ``choices`` tells whether it says more.

    ``apart`` is that the usage stands in a field of the provider's own, ``x_groq``.
    """

    usage: Usage | None = None
    choices: list[Raw] = []
    x_groq: _OfGroq | None = None
    apart: bool = False


_decode_report = msgspec.json.Decoder(Report).decode


def peek_report(document: bytes) -> Report | None:
    """Returns the usage that a chunk or completion reports, None if none; for the price of a search."""
    if b'"usage"' not in document:
        return None
    try:
        report = _decode_report(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if report.usage is None and report.x_groq is not None:
        report.usage, report.apart = report.x_groq.usage, True
    return report if report.usage is not None else None


def peek_usage(document: bytes) -> Usage | None:
    """Returns the usage that a chunk or completion reports, None if none."""
    report = peek_report(document)
    return report.usage if report else None


_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


def with_cost(chunk: bytes, cost_usd: str) -> bytes:
    """Adds ``usage.cost`` (USD, a JSON number of exactly these digits) to a chunk that reports usage."""
    fields = _decode_object(chunk)
    usage = _decode_object(fields["usage"])
    usage["cost"] = Raw(cost_usd.encode())
    fields["usage"] = Raw(encode(usage))
    return encode(fields)


def usage_alone(chunk: bytes) -> bytes:
    """Returns a chunk of nothing but the usage that one reports beside something else."""
    fields = _decode_object(chunk)
    usage = fields.get("usage", b"null")
    if bytes(usage) == b"null":
        usage = _decode_object(fields["x_groq"])["usage"]
    head = {name: fields[name] for name in _HEAD if name in fields}
    return encode({**head, "choices": [], "usage": usage})


_HEAD = ("id", "object", "created", "model", "system_fingerprint")


def without_usage(chunk: bytes) -> bytes:
    """Takes the usage out of a chunk that also says something else."""
    fields = _decode_object(chunk)
    del fields["usage"]
    return encode(fields)


def as_chunks(completion: dict[str, Any]) -> list[bytes]:
    """Returns the chunks of the stream in which a decoded completion could have come."""
    about = {name: value for name, value in completion.items() if name not in ("choices", "usage")}
    about["object"] = "chat.completion.chunk"
    chunks = []
    for choice in completion["choices"]:
        index = {"index": choice["index"]}
        delta = {name: value for name, value in choice["message"].items() if value is not None}
        if calls := delta.get("tool_calls"):
            delta["tool_calls"] = [{"index": place, **call} for place, call in enumerate(calls)]
        said = {**index, "delta": delta, "finish_reason": None}
        if (logprobs := choice.get("logprobs")) is not None:
            said["logprobs"] = logprobs
        over = {**index, "delta": {}, "finish_reason": choice.get("finish_reason") or "stop"}
        chunks += [encode({**about, "choices": [one]}) for one in (said, over)]
    if (usage := completion.get("usage")) is not None:
        chunks.append(encode({**about, "choices": [], "usage": usage}))
    return chunks


def fold(chunks: Iterable[Chunk]) -> Completion:
    """Folds the chunks of a stream into the completion that the same request would have got whole.

    Raises ValueError if there are none.
    """
    first: Chunk | None = None
    choices: dict[int, _Folded] = {}
    usage = Usage()
    for chunk in chunks:
        first = first or chunk
        for piece in chunk.choices:
            choices.setdefault(piece.index, _Folded()).add(piece)
        if isinstance(chunk.usage, Usage):
            usage = chunk.usage
    if first is None:
        raise ValueError("no chunks to fold")
    return Completion(
        id=first.id,
        created=first.created,
        model=first.model,
        choices=[choices[index].choice(index) for index in sorted(choices)],
        usage=usage,
        system_fingerprint=first.system_fingerprint,
    )


class _Folded:
    """One choice being folded: lists of pieces, joined once."""

    def __init__(self) -> None:
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.reasoning_content: list[str] = []
        self.calls: list[tuple[str, list[str], list[str]]] = []
        self.logprobs: list[TokenLogprob] | None = None
        self.finish_reason: str | None = None

    def add(self, piece: ChunkChoice) -> None:
        delta = piece.delta
        if delta.content:
            self.content.append(delta.content)
        if delta.reasoning:
            self.reasoning.append(delta.reasoning)
        if delta.reasoning_content:
            self.reasoning_content.append(delta.reasoning_content)
        for call in delta.tool_calls or ():
            self._add_call(call)
        if piece.logprobs is not None:
            self.logprobs = self.logprobs or []
            self.logprobs.extend(piece.logprobs.content or ())
        self.finish_reason = piece.finish_reason or self.finish_reason

    def _add_call(self, delta: ToolCallDelta) -> None:
        if delta.index >= len(self.calls):
            self.calls.append((delta.id or "", [], []))
        _, names, arguments = self.calls[delta.index]
        if delta.function:
            names.append(delta.function.name or "")
            arguments.append(delta.function.arguments or "")

    def choice(self, index: int) -> Choice:
        message = AssistantMessage(
            content="".join(self.content) if self.content else None,
            reasoning="".join(self.reasoning) if self.reasoning else UNSET,
            reasoning_content="".join(self.reasoning_content) if self.reasoning_content else UNSET,
        )
        if self.calls:
            message.tool_calls = [
                MessageToolCall(
                    id=id_,
                    function=CalledFunction(name="".join(names), arguments="".join(arguments)),
                )
                for id_, names, arguments in self.calls
            ]
        logprobs = None if self.logprobs is None else Logprobs(content=self.logprobs)
        return Choice(
            index=index, message=message, logprobs=logprobs, finish_reason=self.finish_reason
        )
