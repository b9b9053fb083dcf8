"""The two things that come from a client: a body, and the moment it hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from starlette.types import Receive, Scope

from trunkline.api.exchange import BODY, Exchange
from trunkline.errors import APIError, RequestTooLarge
from trunkline.interruption import Interruption
from trunkline.log import get_logger

log = get_logger()

_MAX_DIGITS = 18


class ClientGoneError(Exception):
    """The client hung up. Not an error of anybody's."""


class RequestTimeoutError(APIError):
    """the request body did not arrive in time"""

    status = 408
    type = "invalid_request_error"
    code = "request_timeout"


async def read_body(scope: Scope, receive: Receive, *, limit: int, timeout_s: float) -> bytes:
    """Reads a request's body.

    Raises RequestTooLarge beyond ``limit`` bytes, RequestTimeoutError after ``timeout_s``, and
    ClientGoneError.
    """
    body: bytes | None = scope.get(BODY)
    if body is not None and len(body) <= limit:
        return body
    for name, value in scope["headers"]:
        if name == b"content-length" and _declares_more(value, limit):
            raise _too_large(limit)
    try:
        async with asyncio.timeout(timeout_s):
            return await _read(receive, limit)
    except TimeoutError as error:
        raise RequestTimeoutError from error


def _declares_more(length: bytes, limit: int) -> bool:
    if not length.isdigit():  # the server's affair, which reads the body by it
        return False
    return len(length) > _MAX_DIGITS or int(length) > limit


async def _read(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(
        f"the request body is larger than {limit} bytes; send less or raise [server] max_body_bytes"
    )


async def until_hangup(receive: Receive, exchange: Exchange, work: Awaitable[None]) -> None:
    """Awaits ``work``, cancelling it when the client hangs up: then raises ClientGoneError.

    If ``work`` fails over that, its failure is raised instead.

    The request's body must have been read. A client that leaves with its whole answer did not hang
    up: servers tell both in the same way, while ``work`` may still be clearing up.
    """
    if exchange.hangups is None:
        await _until_disconnect(receive, exchange, work)
        return
    hangup = Interruption()

    def hang_up() -> None:
        if not exchange.answered:
            hangup.happen()

    exchange.hangups.add(hang_up)
    try:
        await work
    except asyncio.CancelledError as error:
        if hangup.alone:
            raise ClientGoneError from error
        raise
    finally:
        exchange.hangups.discard(hang_up)
        hangup.over()


async def _until_disconnect(receive: Receive, exchange: Exchange, work: Awaitable[None]) -> None:
    """Listens in a task of its own, as ASGI has it."""
    try:
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(_watch(receive, exchange))
            await work
            watcher.cancel()
    except BaseExceptionGroup as errors:
        failure, *others = sorted(errors.exceptions, key=_is_hangup)  # a group of one, mostly
        for other in others:
            log.warning("also_failed", request_id=exchange.request_id, exc_info=other)
        raise failure from failure.__cause__


def _is_hangup(error: BaseException) -> bool:
    return isinstance(error, ClientGoneError)


async def _watch(receive: Receive, exchange: Exchange) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    if not exchange.answered:
        raise ClientGoneError
