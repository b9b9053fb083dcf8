"""From an exception to OpenAI's error envelope."""

from __future__ import annotations

import math

import msgspec

from trunkline.errors import (
    APIError,
    MethodNotAllowed,
    TrunklineError,
    as_told,
)


class ErrorBody(msgspec.Struct):
    """``error`` in every answer that is not a success."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorEnvelope(msgspec.Struct):
    """What every failed request is answered with."""

    error: ErrorBody


def api_error(error: BaseException) -> APIError:
    """Returns the error that the caller may see; what is unexpected stays in the log."""
    if isinstance(error, TrunklineError):
        return as_told(error)
    return APIError("something went wrong here; the log has it under this request id")


def envelope(error: APIError) -> bytes:
    """Returns ``{"error": {"message", "type", "param", "code"}}``."""
    body = ErrorBody(message=error.message, type=error.type, param=error.param, code=error.code)
    return msgspec.json.encode(ErrorEnvelope(body))


def headers(error: APIError) -> list[tuple[bytes, bytes]]:
    """Returns the headers that go with an error."""
    out = []
    if error.status == 408:  # the rest of the body could be taken for another request
        out.append((b"connection", b"close"))
    if error.status == 401:
        out.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, MethodNotAllowed):
        out.append((b"allow", error.allowed.encode()))
    if error.retry_after_s is not None:
        out.append((b"retry-after", str(max(1, math.ceil(error.retry_after_s))).encode()))
    return out
