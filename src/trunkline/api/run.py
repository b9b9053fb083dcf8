"""What every request for a model has in common on its way: strictness, a plan, an outcome, headers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from starlette.types import Receive, Scope

from trunkline.api.errors import api_error
from trunkline.api.exchange import Exchange
from trunkline.api.metrics import Metrics
from trunkline.api.receive import ClientGoneError, read_body
from trunkline.errors import InvalidRequest, NoMatchingProvider, ServerStopping
from trunkline.ids import now
from trunkline.providers.base import Reply
from trunkline.routing import (
    NOT_ASKED,
    Answer,
    Catalog,
    Chooser,
    Plan,
    Resolve,
    decode_wishes,
)
from trunkline.store import Attempt, Requests
from trunkline.wire.chat import ChatRequest
from trunkline.wire.embeddings import EmbeddingRequest


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What takes requests for models in: each body, and who is to be tried.

    ``params`` is whether parameters may be left out where a request does not say; ``requests`` keep the
    receipts.
    """

    catalog: Catalog
    chooser: Chooser
    requests: Requests
    metrics: Metrics
    params: Literal["strict", "lenient"]
    max_body_bytes: int
    body_timeout_s: float

    async def body(self, scope: Scope, receive: Receive) -> bytes:
        """Reads a request's body, within the limits."""
        return await read_body(
            scope, receive, limit=self.max_body_bytes, timeout_s=self.body_timeout_s
        )

    def is_lenient(self, scope: Scope) -> bool:
        """Returns whether a request may lose parameters, by its header or else by the configuration."""
        wanted: str = self.params
        for name, value in scope["headers"]:
            if name == b"x-trunkline-params":
                wanted = value.decode("latin-1").lower()
        if wanted not in ("strict", "lenient"):
            raise InvalidRequest(
                "the header x-trunkline-params must be 'strict' or 'lenient'",
                param="x-trunkline-params",
            )
        return wanted == "lenient"

    def plan(
        self,
        exchange: Exchange,
        request: ChatRequest | EmbeddingRequest,
        resolve: Resolve,
        *,
        lenient: bool,
        refused: Callable[[Plan, Exception], None],
    ) -> Plan:
        """Returns who is to be tried; ``refused`` gets the plan of a request for which nobody is left."""
        asked, caller = request.parameters.model, exchange.caller
        wishes = decode_wishes(request.fields.get("provider"))
        try:
            return self.chooser.choose(
                resolve(asked),
                request,
                wishes=wishes,
                limits=caller.limits,
                account_id=caller.account_id,
                lenient=lenient,
            )
        except NoMatchingProvider as error:
            refused(Plan(asked, asked, None, (), decision=error.decision), error)
            raise


class Run:
    """One request on its way, and what becomes known of it. ``ignored`` are parameters left out."""

    def __init__(self, exchange: Exchange, plan: Plan, *, ignored: Sequence[str]) -> None:
        self.exchange = exchange
        self.plan = plan
        self.status = 200
        self.error_code: str | None = None
        self.attempts: tuple[Attempt, ...] = ()
        self.created_at = now()
        self.answer: Answer | None = None
        self._ignored = ignored

    @property
    def reply(self) -> Reply | None:
        """What the provider replies, once one has answered."""
        return None if self.answer is None else self.answer.reply

    def committed(self, answer: Answer) -> None:
        """A deployment answers: from now on there is no other."""
        self.answer = answer
        self.attempts = tuple(answer.attempts)
        self.exchange.provider = answer.deployment.provider
        self.exchange.model = answer.deployment.model
        self.exchange.listed = answer.deployment.listed

    def given_up(self, attempts: Sequence[Attempt]) -> None:
        """Nobody waits any more for what was tried so far."""
        self.attempts = tuple(attempts)

    def failed(self, error: Exception) -> None:
        """Notes the error that the caller gets."""
        failure = api_error(error)
        self.status, self.error_code = failure.status, failure.code
        self.attempts = self.attempts or tuple(failure.attempts)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Returns the headers that tell who answers."""
        if self.answer is None:
            return []
        deployment = self.answer.deployment
        asked = sum(attempt.outcome != NOT_ASKED for attempt in self.attempts)
        headers = [
            (b"x-trunkline-provider", deployment.provider.encode()),
            (b"x-trunkline-model", _header_text(deployment.model)),
            (b"x-trunkline-attempts", str(asked).encode()),
        ]
        if self._ignored or self.answer.reply.ignored:
            names = sorted({*self._ignored, *self.answer.reply.ignored})
            headers.append((b"x-trunkline-ignored", _header_text(", ".join(names))))
        return headers


@contextmanager
def recorded(run: Run, settle: Callable[[], None]) -> Iterator[None]:
    """Notes how a run ends, and settles it, however that is."""
    try:
        yield
    except ClientGoneError:
        run.status, run.error_code = 499, "client_gone"
        raise
    except asyncio.CancelledError:
        run.status = run.exchange.status or ServerStopping.status
        run.error_code = ServerStopping.code
        raise
    except Exception as error:
        run.failed(error)
        raise
    finally:
        settle()


def _header_text(text: str) -> bytes:
    """Names come from the operator and from callers: nothing but printable ASCII may get into a header."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)[:200].encode()
