"""What every request for a model has in common on its way: strictness, a plan, an outcome, headers."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar, Literal

import msgspec
from starlette.types import Receive, Scope

from trunkline.accounts import Usage as BilledUsage
from trunkline.accounts import cost, usd
from trunkline.api.errors import api_error
from trunkline.api.exchange import Exchange
from trunkline.api.metrics import Metrics
from trunkline.api.receive import ClientGoneError, read_body
from trunkline.errors import (
    APIError,
    InvalidRequest,
    NoMatchingProvider,
    ServerStopping,
    TrunklineError,
    UpstreamError,
)
from trunkline.ids import now
from trunkline.log import get_logger
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
from trunkline.store import Attempt, Request, Requests
from trunkline.wire.chat import ChatRequest, Usage
from trunkline.wire.embeddings import EmbeddingRequest

log = get_logger()


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

    def settle(self, run: Run) -> None:
        """Hands the receipt over, and counts; nothing here waits."""
        exchange = run.exchange
        self.requests.add(run.receipt())
        if exchange.provider is None:
            return
        if exchange.repairs:
            self.metrics.repaired(exchange.provider, exchange.repairs)
        if exchange.emulations:
            self.metrics.emulated(exchange.provider, exchange.emulations)
        if run.usage is not None and (model := exchange.metered_model):
            self.metrics.used(exchange.provider, model, run.usage)


class Run:
    """One request on its way, and what becomes known of it. ``ignored`` are parameters left out.

    ``usage`` is None as long as nobody has told it; ``estimated`` says that it was counted here.
    """

    api: ClassVar[str]
    """What receipts call this kind of request."""

    def __init__(self, exchange: Exchange, plan: Plan, *, ignored: Sequence[str]) -> None:
        self.usage: Usage | None = None
        self.estimated = False
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

    def broke_off(self, error: Exception) -> APIError:
        """Notes an error that the caller reads in a stream, whose status is gone; returns what to tell."""
        failure = api_error(error)
        self.exchange.error_code = self.error_code = failure.code
        if isinstance(error, TrunklineError):
            reason = error.outcome if isinstance(error, UpstreamError) else error.message
            log.warning("stream_failed", request_id=self.exchange.request_id, reason=reason)
        else:
            log.error("stream_failed", request_id=self.exchange.request_id, exc_info=error)
        self.attempts = self.attempts or tuple(failure.attempts)
        if isinstance(error, UpstreamError) and self.answer is not None:
            *others, last = self.attempts
            outcome = f"{last.outcome}, then {error.outcome}"
            self.attempts = (*others, msgspec.structs.replace(last, outcome=outcome))
        return failure

    def note_reply(self, reply: Reply | None) -> None:
        """Notes what was put right, emulated and left out, which is known once the reply has ended."""
        if reply is None or not (reply.repairs or reply.emulations or reply.ignored):
            return
        *failed, committed = self.attempts
        committed = msgspec.structs.replace(
            committed,
            repairs=tuple(sorted(reply.repairs)),
            emulations=tuple(sorted(reply.emulations)),
            ignored=tuple(sorted(reply.ignored)),
        )
        self.exchange.repairs += committed.repairs
        self.exchange.emulations += committed.emulations
        self.attempts = (*failed, committed)

    def cost_nano_usd(self) -> int | None:
        """Returns what it costs in nano-dollars; None if the price or the usage is not known."""
        price = self.answer.deployment.price if self.answer else None
        if price is None or self.usage is None:
            return None
        return cost(billed(self.usage), price)

    def cost_usd(self) -> str | None:
        """Returns the same in dollars, as a decimal."""
        nano = self.cost_nano_usd()
        return None if nano is None else usd(nano)

    def cost_headers(self) -> list[tuple[bytes, bytes]]:
        """Returns the header that tells the cost, where it is known."""
        cost_usd = self.cost_usd()
        return [] if cost_usd is None else [(b"x-trunkline-cost-usd", cost_usd.encode())]

    def receipt(self) -> Request:
        """Returns what is kept of it."""
        exchange, usage = self.exchange, self.usage or Usage()
        first = exchange.first_chunk_s
        return Request(
            id=exchange.request_id,
            account_id=exchange.caller.account_id,
            key_id=exchange.caller.key_id,
            created_at=self.created_at,
            api=self.api,
            model=self.plan.asked,
            provider=exchange.provider,
            answered_model=exchange.model,
            attempts=self.attempts,
            decision=self.plan.decision,
            stream=exchange.stream,
            status=self.status,
            error_code=self.error_code,
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            completion_tokens=usage.completion_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            cost_nano_usd=self.cost_nano_usd(),
            estimated=self.estimated,
            first_token_ms=None if first is None else round(first * 1000),
            duration_ms=round(exchange.elapsed_s() * 1000),
        )

    def called(self, parameter: str) -> str:
        """Returns the caller's name of what a provider was to be sent."""
        return parameter

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
            names = sorted({*self._ignored, *map(self.called, self.answer.reply.ignored)})
            headers.append((b"x-trunkline-ignored", _header_text(", ".join(names))))
        return headers


def billed(usage: Usage) -> BilledUsage:
    """Returns the part of a usage that has a price."""
    return BilledUsage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
    )


def estimated_usage(prompt_bytes: int, chunks: int) -> Usage:
    """Counts what a provider used that did not say so: a token a chunk, and one for four bytes asked."""
    asked = prompt_bytes // 4
    return Usage(prompt_tokens=asked, completion_tokens=chunks, total_tokens=asked + chunks)


class Recorded:
    """Notes how a run ends, and settles it, however that is."""

    __slots__ = ("_run", "_settle")

    def __init__(self, run: Run, settle: Callable[[], None]) -> None:
        self._run = run
        self._settle = settle

    def __enter__(self) -> None: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        run = self._run
        if isinstance(error, ClientGoneError):
            run.status, run.error_code = 499, "client_gone"
        elif isinstance(error, asyncio.CancelledError):
            run.status = run.exchange.status or ServerStopping.status
            run.error_code = ServerStopping.code
        elif isinstance(error, Exception):
            run.failed(error)
        self._settle()


@functools.lru_cache(maxsize=1024)
def _header_text(text: str) -> bytes:
    """Names come from the operator and from callers: nothing but printable ASCII may get into a header."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)[:200].encode()
