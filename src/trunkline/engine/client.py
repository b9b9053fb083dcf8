"""The engine's client: raw completions, token by token, and tokenizing. Knows nothing of harmony."""

from __future__ import annotations

import asyncio
import errno
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Self

import aiohttp
import msgspec

from trunkline.engine.admission import Admission
from trunkline.engine.endpoint import Endpoint, Where
from trunkline.engine.prompt import in_short_texts, least_tokens
from trunkline.engine.session import authorization, open_session
from trunkline.errors import EngineUnavailable, InvalidRequest, TrunklineError, UpstreamError

_POLL_S = 0.02
_NOTICED_S = 2.0  # for the supervisor to see that the child has ended, and to tell
_SEEDS = 0xFFFFFFFF  # the last one means "random" to llama.cpp
_INT32 = 2**31 - 1
_MAX_EVENT = 8 << 20  # bytes


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """One raw completion.

    ``prompt`` mixes token ids and texts. Each text is tokenized apart, and a marker spelled in one
    becomes the real marker: cut callers' text beforehand. ``max_tokens`` None means until the
    context is full, ``seed`` None a random one. ``grammar`` is GBNF or, if it starts with
    ``%llguidance``, Lark; the engine ignores a broken one silently, so compile it beforehand.
    ``n_probs`` asks for that many alternatives per token.
    """

    prompt: Sequence[int | str]
    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repeat_penalty: float = 1.0
    stop: Sequence[str] = ()
    grammar: str = ""
    logit_bias: Mapping[int, float] = {}
    n_probs: int = 0
    cache_prompt: bool = True


class Alternative(msgspec.Struct, frozen=True):
    """A token that could have been chosen. ``bytes`` are its UTF-8 bytes as integers."""

    id: int
    token: str
    bytes: list[int]
    logprob: float


class TokenLogprob(Alternative, frozen=True):
    """The token that was chosen, with the likeliest ones in its place."""

    top_logprobs: list[Alternative] = []


class Piece(msgspec.Struct, frozen=True):
    """What one step of the engine added.

    ``text`` may be empty: the token that ends a reply has none, and text that could become a stop
    string is held back. While a character is incomplete nothing is sent; the piece that completes
    it names only its last token in ``tokens`` and ``logprobs``, so count with ``predicted``: the
    number of tokens so far.
    """

    text: str
    tokens: list[int]
    predicted: int
    logprobs: list[TokenLogprob]


class Progress(msgspec.Struct, frozen=True):
    """The engine is reading the prompt; sent at least once, before the first piece.

    ``cached_tokens`` is the part of ``prompt_tokens`` that had been evaluated before.
    """

    prompt_tokens: int
    cached_tokens: int


class Done(msgspec.Struct, frozen=True):
    """The end of a completion.

    ``stop_type`` is ``eos``, ``word`` (then ``stopping_word`` tells which) or ``limit``: max_tokens
    are spent or the context is full. ``cached_tokens`` is the part of ``prompt_tokens`` that had
    been evaluated before.
    """

    stop_type: str
    stopping_word: str
    prompt_tokens: int
    cached_tokens: int
    predicted_tokens: int


Output = AsyncIterator[list[Progress | Piece | Done]]
"""What arrived together, together; the very last element is the Done."""


class EngineClient:
    """Completes and tokenizes on the engine that ``endpoint`` tells of. An async context manager.

    ``slots`` and ``queue`` bound this process: with several workers, give each its share.
    ``stall_s`` is how long an open completion may be silent. ``wake`` is called whenever an engine is
    waited for that is not there.
    """

    def __init__(
        self,
        endpoint: Where,
        *,
        slots: int,
        queue: int,
        start_timeout_s: float = 60.0,
        stall_s: float = 60.0,
        wake: Callable[[], None] | None = None,
    ) -> None:
        self.admission = Admission(slots=slots, queue=queue)
        self._endpoint = endpoint
        self._start_timeout_s = start_timeout_s
        self._stall_s = stall_s
        self._wake = wake
        self._doubted: Endpoint | None = None  # a connection to it broke: it may be dying

    async def __aenter__(self) -> Self:
        self._session = open_session(read_timeout_s=self._stall_s)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def slot(self, n: int = 1) -> AbstractAsyncContextManager[None]:
        """Holds ``n`` of the engine's slots; see ``Admission.slot``."""
        return self.admission.slot(n)

    async def wait_ready(self) -> Endpoint:
        """Returns the endpoint, waiting while the engine starts; wakes one that sleeps.

        Raises EngineUnavailable if the engine is off or does not start within ``start_timeout_s``.
        """
        if (endpoint := self._endpoint()) is not None:
            return endpoint
        if self._wake is not None:
            self._wake()
        deadline = time.monotonic() + self._start_timeout_s
        while (endpoint := self._endpoint()) is None:
            if time.monotonic() >= deadline:
                raise EngineUnavailable(
                    f"the embedded engine did not start within {self._start_timeout_s:g} s",
                    retry_after_s=5.0,
                )
            await asyncio.sleep(_POLL_S)
        return endpoint

    @asynccontextmanager
    async def complete(self, completion: Completion) -> AsyncIterator[Output]:
        """Enters once the engine works on the completion; leaving stops it and frees its slot.

        Take a ``slot`` first. Raises InvalidRequest if the prompt is longer than the context,
        EngineUnavailable if there is no engine, else UpstreamError; the iterator raises
        UpstreamError if the engine fails on the way.
        """
        endpoint = await self._check_length(completion)
        response = await self._post("/completion", _body(completion))
        try:
            yield _output(response, self._stall_s, broke=lambda: self._doubt(endpoint))
        finally:
            response.close()

    async def _check_length(self, completion: Completion) -> Endpoint:
        """Refuses at once what the engine would tokenize for seconds before it refused it."""
        endpoint = await self.wait_ready()
        least = least_tokens(completion.prompt)
        if least > endpoint.context:
            raise _too_long(endpoint.context, f"at least {least}")
        return endpoint

    async def tokenize(self, text: str) -> list[int]:
        """Returns the token ids of a text; a marker spelled in it becomes the real marker."""
        response = await self._post("/tokenize", {"content": text, "add_special": False})
        async with response:
            try:
                body = await response.read()
            except (aiohttp.ClientError, TimeoutError) as error:
                raise _broken(error, self._stall_s) from error
        return msgspec.json.decode(body, type=_Tokens).tokens

    async def _post(self, path: str, body: dict[str, object]) -> aiohttp.ClientResponse:
        """Posts, once more if nobody was there to take the request: the engine may have restarted.

        What an engine has taken is never sent to its successor: it may be what ended it.
        """
        data = msgspec.json.encode(body)
        endpoint = await self.wait_ready()
        if endpoint == self._doubted:
            endpoint = await self._after_doubt(endpoint)
        try:
            try:
                response = await self._send(endpoint, path, data)
            except aiohttp.ClientOSError as error:
                if not _was_untaken(error):
                    raise
                await self._noticed_gone(endpoint, error)
                response = await self._send(await self.wait_ready(), path, data)
        except aiohttp.ClientError as error:
            self._doubt(endpoint)
            raise _broken(error, self._stall_s) from error
        except TimeoutError as error:
            raise _broken(error, self._stall_s) from error
        if response.status != 200:
            raise await _refusal(response)
        return response

    async def _send(self, endpoint: Endpoint, path: str, data: bytes) -> aiohttp.ClientResponse:
        headers = {"Content-Type": "application/json", **authorization(endpoint)}
        return await self._session.post(endpoint.address + path, data=data, headers=headers)

    def _doubt(self, endpoint: Endpoint) -> None:
        self._doubted = endpoint

    async def _after_doubt(self, endpoint: Endpoint) -> Endpoint:
        """Gives the supervisor time to notice an engine's end; one that lives on is trusted again."""
        deadline = time.monotonic() + _NOTICED_S
        while self._endpoint() == endpoint == self._doubted:
            if time.monotonic() >= deadline:
                break
            await asyncio.sleep(_POLL_S)
        self._doubted = None
        return await self.wait_ready()

    async def _noticed_gone(self, endpoint: Endpoint, error: aiohttp.ClientOSError) -> None:
        """Waits until an engine that takes no connections is no longer announced, else raises."""
        deadline = time.monotonic() + _NOTICED_S
        while self._endpoint() == endpoint:
            if time.monotonic() >= deadline:
                raise error
            await asyncio.sleep(_POLL_S)


class _Progress(msgspec.Struct, frozen=True):
    total: int
    cache: int = 0


class _Error(msgspec.Struct, frozen=True):
    message: str = ""
    type: str = ""
    code: int | None = None
    n_prompt_tokens: int = 0
    n_ctx: int = 0


class _Event(msgspec.Struct, frozen=True):
    content: str = ""
    tokens: list[int] = []
    tokens_predicted: int = 0
    tokens_evaluated: int = 0
    stop: bool = False
    stop_type: str = ""
    stopping_word: str = ""
    cached: int = msgspec.field(name="timings/cache_n", default=0)
    completion_probabilities: list[TokenLogprob] = []
    prompt_progress: _Progress | None = None
    error: _Error | None = None


class _Failure(msgspec.Struct, frozen=True):
    error: _Error


class _Tokens(msgspec.Struct, frozen=True):
    tokens: list[int]


_FINAL_FIELDS = [  # otherwise the last event repeats the whole prompt
    "content", "tokens", "stop", "stop_type", "stopping_word", "tokens_predicted",
    "tokens_evaluated", "timings/cache_n", "completion_probabilities",
]  # fmt: skip
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_failure = msgspec.json.Decoder(_Failure).decode


def _body(completion: Completion) -> dict[str, object]:
    if not any(isinstance(part, int) for part in completion.prompt):
        raise ValueError("a prompt needs a token id: the engine takes texts alone for many prompts")
    return {
        "prompt": in_short_texts(completion.prompt),
        "n_predict": -1 if completion.max_tokens is None else min(completion.max_tokens, _INT32),
        "temperature": completion.temperature,
        "top_p": completion.top_p,
        "top_k": min(completion.top_k, _INT32),
        "min_p": completion.min_p,
        "seed": _SEEDS if completion.seed is None else completion.seed % _SEEDS,
        "presence_penalty": completion.presence_penalty,
        "frequency_penalty": completion.frequency_penalty,
        "repeat_penalty": completion.repeat_penalty,
        "repeat_last_n": 64,
        "typical_p": 1.0,
        "top_n_sigma": -1.0,
        "dynatemp_range": 0.0,
        "xtc_probability": 0.0,
        "dry_multiplier": 0.0,
        "mirostat": 0,
        "stop": completion.stop,
        "grammar": completion.grammar,
        # False stands for minus infinity, which JSON has no word for.
        "logit_bias": [
            (token, bias if bias > -math.inf else False)
            for token, bias in completion.logit_bias.items()
        ],
        "n_probs": completion.n_probs,
        "post_sampling_probs": False,
        "ignore_eos": False,
        "cache_prompt": completion.cache_prompt,
        "stream": True,
        "return_tokens": True,
        "return_progress": True,  # a long prompt would look like a stall
        "response_fields": _FINAL_FIELDS,
    }


async def _output(
    response: aiohttp.ClientResponse, stall_s: float, *, broke: Callable[[], None]
) -> Output:
    rest = b""
    try:
        async for data in response.content.iter_any():
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > _MAX_EVENT:
                raise UpstreamError("the engine sent an endless event", retryable=True)
            pieces = [piece for line in lines for piece in _pieces(line)]
            if pieces:
                yield pieces
                if isinstance(pieces[-1], Done):
                    return
    except aiohttp.ClientError as error:
        broke()
        raise _broken(error, stall_s) from error
    except TimeoutError as error:
        raise _broken(error, stall_s) from error
    broke()
    raise UpstreamError("the engine's reply broke off", retryable=True)


def _pieces(line: bytes) -> list[Progress | Piece | Done]:
    """Returns what one line of the event stream holds: nothing, a piece, the end, or both."""
    if not line.startswith(b"data:"):
        return []
    try:
        event = _decode_event(line[5:])
    except msgspec.DecodeError as error:
        raise UpstreamError("the engine sent an event that is not valid", retryable=True) from error
    if event.error is not None:
        raise _upstream_error(event.error, 500)
    if event.prompt_progress is not None:
        return [Progress(event.prompt_progress.total, event.prompt_progress.cache)]
    pieces: list[Progress | Piece | Done] = []
    if event.content or event.tokens:
        pieces.append(
            Piece(
                event.content, event.tokens, event.tokens_predicted, event.completion_probabilities
            )
        )
    if event.stop:
        pieces.append(
            Done(
                event.stop_type,
                event.stopping_word,
                event.tokens_evaluated,
                event.cached,
                event.tokens_predicted,
            )
        )
    return pieces


async def _refusal(response: aiohttp.ClientResponse) -> TrunklineError:
    """Turns an answer other than 200 into what the caller should be told."""
    async with response:
        try:
            error = _decode_failure(await response.read()).error
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError):
            error = _Error()
    if error.type != "exceed_context_size_error":
        return _upstream_error(error, response.status)
    return _too_long(error.n_ctx, str(error.n_prompt_tokens))


def _too_long(context: int, tokens: str) -> InvalidRequest:
    return InvalidRequest(
        f"this model's context holds {context} tokens and the prompt has {tokens}; "
        "shorten the messages or raise [engine] context",
        code="context_length_exceeded",
        param="messages",
    )


def _upstream_error(error: _Error, status: int) -> UpstreamError:
    return UpstreamError(
        f"the engine refused: {error.message or 'no reason given'} (status {status})",
        retryable=status >= 500 or status == 401,  # 401: another engine has taken the port since
        status=status,
        public=error.message or None,
    )


def _was_untaken(error: aiohttp.ClientOSError) -> bool:
    """Tells whether nobody has read the request: a system resets only what is left unread.

    One that was read, and may have ended the engine, is closed in order instead.
    """
    return isinstance(error, aiohttp.ClientConnectorError) or error.errno == errno.ECONNRESET


def _broken(error: aiohttp.ClientError | TimeoutError, stall_s: float) -> UpstreamError:
    if isinstance(error, TimeoutError):
        return UpstreamError(
            f"the engine sent nothing for {stall_s:g} s", retryable=True, timed_out=True
        )
    return UpstreamError(
        f"the engine's connection broke: {type(error).__name__}",
        retryable=True,
        public="the engine stopped while it was answering",
    )
