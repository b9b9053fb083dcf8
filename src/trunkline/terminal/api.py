"""The router's API from outside: small questions at once, an answer as a stream of events.

Any server that speaks OpenAI's Chat Completions answers; what only ours tells is then missing.
"""

from __future__ import annotations

import http.client
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, closing
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Raw, Struct

from trunkline.errors import ServerRefused, TrunklineError, UpstreamError
from trunkline.terminal.printable import one_line
from trunkline.wire import sse

if TYPE_CHECKING:
    from trunkline.transport import Timeouts

HEALTH_S = 2.0
"""How long a server may take to say that it is one."""
SMALL_S = 10.0
"""How long any other small question may take."""

_CONNECT_S = 5.0
_SILENCE_S = 1800.0  # a model that is loaded first, or reads a long prompt on a CPU; Ctrl-C ends it
_LONGEST_S = 86_400.0
_MAX_BYTES = 16 * 1024 * 1024
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Answering:
    """Somebody answers: ``model`` at ``provider``. Each is None if the server does not tell."""

    model: str | None = None
    provider: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of what the model thinks."""

    text: str


@dataclass(frozen=True, slots=True)
class Content:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A whole call; ``arguments`` is JSON as the model wrote it."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The end. ``usage`` is as the server sent it, ``tokens`` (in, out, of these reasoning) from it."""

    reason: str | None
    usage: Raw | None = None
    tokens: tuple[int, int, int] | None = None
    cost_usd: Decimal | None = None


Event = Answering | Reasoning | Content | ToolCall | Finished


class API:
    """A server at ``url`` (without ``/v1``), which gets ``key`` if one is given."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = url
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def healthy(self) -> bool:
        """Whether a Trunkline answers there. The key is not sent."""
        try:
            status, body = self._get("/health", {}, HEALTH_S)
            return status == 200 and "engine" in _object(body)
        except TrunklineError:
            return False

    def models(self, *, timeout_s: float = SMALL_S) -> list[str]:
        """Returns the names of the models. Raises TrunklineError; ServerRefused says with which status."""
        status, body = self._get("/v1/models", self._headers, timeout_s)
        if status != 200:
            raise refusal(status, body)
        try:
            return [str(model["id"]) for model in _object(body)["data"]]
        except (KeyError, TypeError):
            raise TrunklineError(f"{self.url} does not list its models as OpenAI does") from None

    def check_model(self, name: str) -> None:
        """Asks whether a model can be asked. Raises TrunklineError with the server's reason if not."""
        status, body = self._get(f"/v1/models/{quote(name)}", self._headers, SMALL_S)
        if status != 200:
            raise refusal(status, body)

    async def answer(self, request: Mapping[str, Any]) -> AsyncGenerator[Event]:
        """Sends a chat completion request, which must ask for a stream; yields what comes.

        Leaving hangs up, and the server then stops too. Raises TrunklineError with a sentence for
        the user: the server cannot be reached, refuses, or breaks off.
        """
        from trunkline.transport import Client

        body = msgspec.json.encode(request)
        headers = {**self._headers, "Content-Type": "application/json"}
        path = f"{self.url}/v1/chat/completions"
        try:
            async with (
                Client() as client,
                client.send(path, headers=headers, timeouts=_timeouts(), body=body) as incoming,
            ):
                if incoming.status != 200:
                    raise refusal(incoming.status, await incoming.head(_MAX_BYTES))
                yield _answering(incoming.headers)
                decoder = Decoder()
                async with aclosing(incoming.reads()) as reads:
                    async for read in reads:
                        incoming.progressed()
                        for event in decoder.feed(read):
                            yield event
                        if decoder.done:
                            break
                for event in decoder.end():
                    yield event
        except UpstreamError as error:
            raise TrunklineError(f"{self.url} {error.public}") from error

    def _get(self, path: str, headers: Mapping[str, str], timeout_s: float) -> tuple[int, bytes]:
        where = urlsplit(self.url)
        kind = (
            http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
        )
        try:
            with closing(kind(where.netloc, timeout=timeout_s)) as connection:
                connection.request("GET", where.path + path, headers=dict(headers))
                response = connection.getresponse()
                return response.status, response.read(_MAX_BYTES)
        except TimeoutError as error:
            raise TrunklineError(f"{self.url} did not answer within {timeout_s:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise TrunklineError(f"{self.url} could not be reached{_reason(error)}") from error


def refusal(status: int, body: bytes) -> ServerRefused:
    """Returns what an answer other than 200 says, in the server's words if it has any."""
    try:
        return _refusal(status, _object(body)["error"])
    except (TrunklineError, KeyError):
        return ServerRefused(f"the server answered with status {status}", status=status)


def _refusal(status: int | None, error: Any) -> ServerRefused:
    """``error`` is an envelope's content: an object with a message, or at some servers a text."""
    message = error.get("message") if isinstance(error, dict) else error
    code = error.get("code") if isinstance(error, dict) else None
    return ServerRefused(
        one_line(message) if isinstance(message, str) else "the server gives no reason",
        status=status,
        code=code if isinstance(code, str) else None,
    )


class _FunctionDelta(Struct):
    name: str | None = None
    arguments: str | None = None


class _CallDelta(Struct):
    index: int = 0
    function: _FunctionDelta | None = None


class _Delta(Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_CallDelta] | None = None


class _Choice(Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(Struct):
    """A chunk, as leniently as we can use it; ``error`` stands where a stream failed."""

    choices: list[_Choice] = []
    usage: Raw = Raw()
    error: Any = None


class _Details(Struct):
    reasoning_tokens: int | None = None


class _Usage(Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    completion_tokens_details: _Details | None = None
    cost: Decimal | None = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_usage = msgspec.json.Decoder(_Usage).decode


class Decoder:
    """From the bytes of one streamed answer to its events, however the bytes were cut. Pure."""

    def __init__(self) -> None:
        self.done = False
        self._parser = sse.Parser()
        self._calls: list[tuple[list[str], list[str]]] = []  # the pieces of name and arguments
        self._reason: str | None = None
        self._usage: Raw | None = None

    def feed(self, read: bytes) -> list[Event]:
        """Returns the events that these bytes complete.

        Raises TrunklineError if the server says that it failed, or sends what is no chunk.
        """
        events: list[Event] = []
        for payload in self._parser.feed(read):
            if payload == sse.DONE:
                self.done = True
                break
            events += self._events(payload)
        return events

    def end(self) -> list[Event]:
        """Returns the last events. Raises TrunklineError if the answer is not complete."""
        if not self.done and self._reason is None:
            raise TrunklineError("the server broke off its answer")
        calls = [ToolCall("".join(name), "".join(arguments)) for name, arguments in self._calls]
        return [*calls, self._finished()]

    def _events(self, payload: bytes) -> list[Event]:
        try:
            chunk = _decode_chunk(payload)
        except _NOT_JSON as error:
            raise TrunklineError("the server sent something that is no chat completion") from error
        if chunk.error is not None:
            raise _refusal(None, chunk.error)
        if bytes(chunk.usage) not in (b"", b"null"):
            self._usage = chunk.usage.copy()
        events: list[Event] = []
        for choice in chunk.choices[:1]:
            self._reason = choice.finish_reason or self._reason
            delta = choice.delta or _Delta()
            if reasoning := delta.reasoning or delta.reasoning_content:
                events.append(Reasoning(reasoning))
            if content := delta.content or delta.refusal:
                events.append(Content(content))
            for call in delta.tool_calls or ():
                self._add(call)
        return events

    def _add(self, call: _CallDelta) -> None:
        if call.index >= len(self._calls):
            self._calls.append(([], []))
        name, arguments = self._calls[min(call.index, len(self._calls) - 1)]
        if call.function is not None:
            name.append(call.function.name or "")
            arguments.append(call.function.arguments or "")

    def _finished(self) -> Finished:
        if self._usage is None:
            return Finished(self._reason)
        try:
            usage = _decode_usage(self._usage)
        except _NOT_JSON:
            return Finished(self._reason, self._usage)
        details = usage.completion_tokens_details or _Details()
        tokens = (usage.prompt_tokens, usage.completion_tokens, details.reasoning_tokens or 0)
        return Finished(self._reason, self._usage, tokens, usage.cost)


def _answering(headers: Mapping[str, str]) -> Answering:
    return Answering(
        model=headers.get("x-trunkline-model"),
        provider=headers.get("x-trunkline-provider"),
        request_id=headers.get("x-request-id"),
    )


def _timeouts() -> Timeouts:
    """The server keeps the deadlines of what it asks; ours only end a wait that has no sense."""
    from trunkline.transport import Timeouts

    return Timeouts(
        connect_s=_CONNECT_S, first_chunk_s=_SILENCE_S, idle_s=_SILENCE_S, total_s=_LONGEST_S
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except _NOT_JSON as error:
        raise TrunklineError("the server answered with something that is no JSON object") from error


def _reason(error: Exception) -> str:
    return f" ({os.strerror(error.errno)})" if isinstance(error, OSError) and error.errno else ""
