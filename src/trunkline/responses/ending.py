"""How a response begins and ends: the events around its output."""

from __future__ import annotations

import time

import msgspec
from msgspec import UNSET, UnsetType

from trunkline.errors import TrunklineError, as_told
from trunkline.wire.chat import Usage
from trunkline.wire.responses.events import (
    Ended,
    ErrorDetails,
    ErrorEvent,
    Event,
    ResponseCompleted,
    ResponseCreated,
    ResponseFailed,
    ResponseIncomplete,
    ResponseInProgress,
)
from trunkline.wire.responses.output import OutputItem
from trunkline.wire.responses.response import (
    IncompleteDetails,
    InputTokensDetails,
    OutputTokensDetails,
    Response,
    ResponseFault,
    ResponseUsage,
)


def beginning(response: Response) -> list[Event]:
    """Returns the first events of a response, also of one that has ended."""
    begun = msgspec.structs.replace(
        response,
        status="in_progress",
        completed_at=None,
        error=None,
        incomplete_details=None,
        output=[],
        usage=UNSET,
    )
    return [ResponseCreated(response=begun), ResponseInProgress(response=begun)]


def ended(
    response: Response, output: list[OutputItem], usage: Usage | None, finish_reason: str | None
) -> Response:
    """Returns the response as it ended by itself."""
    after = msgspec.structs.replace(response, output=output, usage=response_usage(usage))
    reason = _INCOMPLETE.get(finish_reason or "")
    if reason is not None:
        after.status, after.incomplete_details = "incomplete", reason
    else:
        after.status, after.completed_at = "completed", int(time.time())
    return after


def failed(response: Response, error: TrunklineError) -> tuple[ErrorEvent, ResponseFailed]:
    """Returns the events that tell of a failure; the last one has the response, failed."""
    known = as_told(error)
    limited = known.status == 429
    fault = ResponseFault("rate_limit_exceeded" if limited else "server_error", known.message)
    event = fault_event(code=known.code, kind=known.type, message=known.message)
    after = msgspec.structs.replace(
        response, status="failed", error=fault, completed_at=None, incomplete_details=None
    )
    return event, ResponseFailed(response=after)


def fault_event(*, code: str | None, kind: str, message: str) -> ErrorEvent:
    """Returns the event that tells of a failure, in both shapes."""
    details = ErrorDetails(type=kind, code=code, message=message, param=None)
    return ErrorEvent(code=code, message=message, param=None, error=details)


def last_event(response: Response) -> Ended:
    """Returns the event that ends a response as it ended."""
    if response.status == "completed":
        return ResponseCompleted(response=response)
    if response.status == "incomplete":
        return ResponseIncomplete(response=response)
    return ResponseFailed(response=response)


_INCOMPLETE = {
    "length": IncompleteDetails("max_output_tokens"),
    "content_filter": IncompleteDetails("content_filter"),
}


def response_usage(usage: Usage | None) -> ResponseUsage | UnsetType:
    """Returns what model calls used, as a response tells it."""
    if usage is None:
        return UNSET
    return ResponseUsage(
        input_tokens=usage.prompt_tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=usage.cached_tokens),
        output_tokens=usage.completion_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=usage.reasoning_tokens),
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
    )
