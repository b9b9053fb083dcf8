"""The turn loop: generate, run the calls that are ours, and go round until none is left to run."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Protocol

import msgspec
from msgspec import Raw

from trunkline.errors import APIError, TrunklineError, UpstreamError
from trunkline.responses.output import Output
from trunkline.responses.step import Step
from trunkline.wire.chat import Usage
from trunkline.wire.responses.events import (
    ErrorDetails,
    ErrorEvent,
    Event,
    ResponseCompleted,
    ResponseCreated,
    ResponseFailed,
    ResponseIncomplete,
    ResponseInProgress,
)
from trunkline.wire.responses.response import (
    IncompleteDetails,
    InputTokensDetails,
    OutputTokensDetails,
    Response,
    ResponseFault,
    ResponseUsage,
)
from trunkline.wire.responses.tools import Called


class Generation(Protocol):
    """One model call that somebody answers: its reply, in the chat wire format.

    Whoever reads the reply tells how it ended.
    """

    @property
    def chunks(self) -> AsyncIterator[Sequence[bytes]]:
        """Chat completion chunks, those of one network read together, or one whole completion."""
        ...

    def ended(self, usage: Usage | None, *, chunks: int, held_up_s: float) -> Usage:
        """The reply came to its end; ``chunks`` tells what it used if it did not say so itself.

        ``held_up_s`` is for how long it waited for its reader. Returns what counts.
        """
        ...

    def broke_off(self, error: Exception) -> None:
        """The reply ended with an error."""
        ...


Generate = Callable[[Mapping[str, Raw]], AbstractAsyncContextManager[Generation]]
"""Makes one model call out of a chat completion's fields; entered once somebody answers it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What is to be done: the response as it begins, the chat fields, and what the tools' names mean."""

    response: Response
    fields: Mapping[str, Raw]
    names: Mapping[str, Called]


async def respond(
    turn: Turn, *, generate: Generate, on_failure: Callable[[TrunklineError], None]
) -> AsyncGenerator[list[Event], None]:
    """Yields the events of a response, those that arrive together in one list.

    The first list comes once somebody answers the first model call. What fails before that is
    raised; what fails later is told to ``on_failure`` and as events. The last event holds the response
    as it ended.
    """
    output = Output()
    usage: Usage | None = None
    begun = False
    try:
        async with generate(turn.fields) as generation:
            begun = True
            yield [
                ResponseCreated(response=turn.response),
                ResponseInProgress(response=turn.response),
            ]
            step = Step(output, turn.names)
            async with aclosing(_stepped(step, output, generation)) as events:
                async for some in events:
                    yield some
            usage = step.usage
    except TrunklineError as error:
        if not begun:
            raise
        on_failure(error)
        output.close("incomplete")
        ended = msgspec.structs.replace(turn.response, output=output.items, usage=_usage(usage))
        yield [*output.take(), *failed(ended, error)]
        return
    yield [*output.take(), _ended(turn.response, output, step)]


async def _stepped(
    step: Step, output: Output, generation: Generation
) -> AsyncGenerator[list[Event], None]:
    """Yields the events of one model call, but for those that end its last item."""
    held_up_s, count = 0.0, 0
    try:
        async for some in generation.chunks:
            count += len(some)
            for document in some:
                step.feed(document)
            if events := output.take():
                handed_over = time.perf_counter()
                yield events
                held_up_s += time.perf_counter() - handed_over
    except Exception as error:
        generation.broke_off(error)
        raise
    step.end()
    step.usage = generation.ended(step.usage, chunks=count, held_up_s=held_up_s)


def failing(turn: Turn, error: TrunklineError) -> list[Event]:
    """Returns the events of a response that failed before anybody answered."""
    return [
        ResponseCreated(response=turn.response),
        ResponseInProgress(response=turn.response),
        *failed(turn.response, error),
    ]


def failed(response: Response, error: TrunklineError) -> list[Event]:
    """Returns the events that tell of a failure; the last one has the response, failed."""
    limited = isinstance(error, APIError) and error.status == 429
    message = error.public if isinstance(error, UpstreamError) else error.message
    fault = ResponseFault("rate_limit_exceeded" if limited else "server_error", message)
    code = error.code if isinstance(error, APIError) else fault.code
    kind = error.type if isinstance(error, APIError) else "server_error"
    details = ErrorDetails(type=kind, code=code, message=message, param=None)
    ended = msgspec.structs.replace(response, status="failed", error=fault, completed_at=None)
    return [
        ErrorEvent(code=code, message=message, param=None, error=details),
        ResponseFailed(response=ended),
    ]


def _ended(response: Response, output: Output, step: Step) -> Event:
    reason = _INCOMPLETE.get(step.finish_reason or "")
    ended = msgspec.structs.replace(response, output=output.items, usage=_usage(step.usage))
    if reason is not None:
        ended.status, ended.incomplete_details = "incomplete", reason
        return ResponseIncomplete(response=ended)
    ended.status, ended.completed_at = "completed", int(time.time())
    return ResponseCompleted(response=ended)


_INCOMPLETE = {
    "length": IncompleteDetails("max_output_tokens"),
    "content_filter": IncompleteDetails("content_filter"),
}


def _usage(usage: Usage | None) -> ResponseUsage | None:
    if usage is None:
        return None
    return ResponseUsage(
        input_tokens=usage.prompt_tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=usage.cached_tokens),
        output_tokens=usage.completion_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=usage.reasoning_tokens),
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
    )
