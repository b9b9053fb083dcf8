"""The one middleware, pure ASGI: request id, Host, key, errors, access log.

``BaseHTTPMiddleware`` would cost a task and a memory stream per request; this costs one frame, and
none per chunk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from trunkline.accounts import Caller, Gate, Keyring
from trunkline.api.errors import api_error, envelope, headers
from trunkline.api.exchange import HANGUPS, Exchange, attach
from trunkline.api.metrics import Metrics
from trunkline.api.receive import ClientGoneError
from trunkline.api.send import send_json
from trunkline.errors import (
    APIError,
    HostNotAllowed,
    InvalidAPIKey,
    MethodNotAllowed,
    NotFound,
    ServerStopping,
    TrunklineError,
)
from trunkline.ids import new_id
from trunkline.log import get_logger
from trunkline.store import NO_LIMITS

OPEN_PATHS = frozenset({"/health", "/openapi.json"})
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
_READING = frozenset({"GET", "HEAD"})
_CLIENT_GONE = 499
_RESTART_S = 5.0

log = get_logger()


def accepted_hosts(bound: str, allowed: Sequence[str]) -> frozenset[str] | None:
    """Returns the names that may stand in ``Host``; None means any.

    Bound to loopback, a page in the operator's browser could otherwise reach the router through a
    name of its own that resolves here (DNS rebinding).
    """
    loopback = bound in {"localhost", "::1"} or bound.startswith("127.")
    if not loopback and not allowed:
        return None
    itself = f"[{bound}]" if ":" in bound else bound
    return _LOOPBACK_HOSTS | {name.lower() for name in (itself, *allowed)}


class Edge:
    """Wraps the routes: every request enters and leaves here."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        keyring: Keyring,
        gate: Gate,
        metrics: Metrics,
        hosts: frozenset[str] | None,
        access_log: bool,
    ) -> None:
        self._app = app
        self._keyring = keyring
        self._gate = gate
        self._metrics = metrics
        self._hosts = hosts
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(
            request_id=new_id("req"),
            method=scope["method"],
            path=scope["path"],
            hangups=scope.get(HANGUPS),
        )
        attach(scope, exchange)
        self._metrics.began()
        try:
            await self._answer(scope, exchange, receive, send)
        finally:
            exchange.route = getattr(scope.get("route"), "path", None)
            self._metrics.ended(exchange)
            if self._access_log:
                _log_access(exchange)

    async def _answer(self, scope: Scope, exchange: Exchange, receive: Receive, send: Send) -> None:
        try:
            self._check_host(scope)
            scope["app"] = self  # makes the router raise for what it does not know
            if scope["path"] in OPEN_PATHS:
                await self._app(scope, receive, send)
                return
            caller = await self._keyring.authenticate(_presented_key(scope))
            exchange.identified = caller
            if caller.limits is NO_LIMITS or not _counts(scope, caller):
                await self._app(scope, receive, send)
                return
            with self._gate.entered(caller):
                await self._app(scope, receive, send)
        except ClientGoneError:
            exchange.status = exchange.status or _CLIENT_GONE
            exchange.error_code = "client_gone"
        except asyncio.CancelledError:  # the server's own end: nobody else cancels a request
            exchange.error_code = ServerStopping.code
            if not exchange.status:
                await self._fail(exchange, ServerStopping(retry_after_s=_RESTART_S), send)
            raise
        except Exception as error:  # noqa: BLE001  # the edge: every failure becomes an envelope
            await self._fail(exchange, error, send)

    async def _fail(self, exchange: Exchange, error: Exception, send: Send) -> None:
        failure = _from_starlette(error) if isinstance(error, HTTPException) else api_error(error)
        exchange.error_code = failure.code
        if isinstance(error, InvalidAPIKey):
            log.info("key_refused", request_id=exchange.request_id, reason=error.reason)
        if not isinstance(error, TrunklineError | HTTPException):
            log.error("request_failed", request_id=exchange.request_id, exc_info=error)
        if exchange.status:  # the answer has begun: all that is left is to break it off
            raise error
        await send_json(
            send, exchange, envelope(failure), status=failure.status, headers=headers(failure)
        )

    def _check_host(self, scope: Scope) -> None:
        if self._hosts is None:
            return
        host = _header(scope, b"host").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name not in self._hosts:
            raise HostNotAllowed(
                f"the Host '{host[:100]}' is not served here; add it to [server] allowed_hosts"
            )


def _counts(scope: Scope, caller: Caller) -> bool:
    """Whether a request is one of those that the key's limits count: what only reads is not."""
    return caller.limits.counted and scope["method"] not in _READING


def _header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return ""


def _presented_key(scope: Scope) -> str | None:
    scheme, _, key = _header(scope, b"authorization").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def _from_starlette(error: HTTPException) -> APIError:
    if error.status_code == 405:
        return MethodNotAllowed(allowed=(error.headers or {}).get("Allow", "nothing"))
    if error.status_code == 404:
        return NotFound("there is no such path; see GET /openapi.json")
    failure = APIError(str(error.detail))
    failure.status = error.status_code
    return failure


def _log_access(exchange: Exchange) -> None:
    event: dict[str, Any] = {
        "request_id": exchange.request_id,
        "method": exchange.method,
        "path": exchange.path[:200],
        "status": exchange.status,
        "duration_ms": round(exchange.elapsed_s() * 1000, 1),
    }
    if exchange.identified is not None:
        event["key"] = exchange.identified.key_id
        event["account"] = exchange.identified.account_id
    if exchange.provider is not None:
        event["provider"] = exchange.provider
        event["model"] = exchange.model
        event["stream"] = exchange.stream
    if exchange.first_chunk_s is not None:
        event["first_chunk_ms"] = round(exchange.first_chunk_s * 1000, 1)
    if exchange.repairs:
        event["repairs"] = list(exchange.repairs)
    if exchange.emulations:
        event["emulations"] = list(exchange.emulations)
    if exchange.error_code is not None:
        event["error"] = exchange.error_code
    log.info("request", **event)
