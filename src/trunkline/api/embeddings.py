"""``POST /v1/embeddings``: chosen, tried, metered and recorded as a chat completion is, without a stream."""

from __future__ import annotations

from functools import partial

from starlette.types import Receive, Scope, Send

from trunkline.accounts import Usage as BilledUsage
from trunkline.accounts import cost, usd
from trunkline.api.exchange import Exchange, exchange_of
from trunkline.api.receive import until_hangup
from trunkline.api.run import Intake, Run, recorded
from trunkline.api.send import send_json
from trunkline.providers.base import Call
from trunkline.routing import (
    Plan,
    Relay,
    Resolve,
)
from trunkline.store import Request
from trunkline.wire import chat, embeddings


class Embeddings:
    """Serves embeddings: decodes, asks the relay, encodes, and leaves a receipt.

    ``relay`` reaches the providers' embeddings.
    """

    def __init__(self, intake: Intake, relay: Relay) -> None:
        self._intake = intake
        self._relay = relay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.serve(scope, receive, send, self._resolve)

    async def serve(self, scope: Scope, receive: Receive, send: Send, resolve: Resolve) -> None:
        """Answers a request whose model's name ``resolve`` understands."""
        body = await self._intake.body(scope, receive)
        lenient = self._intake.is_lenient(scope)
        request = embeddings.decode_request(body, lenient=lenient)
        exchange = exchange_of(scope)

        def refused(nobody: Plan, error: Exception) -> None:
            run = _Run(exchange, request, nobody)
            run.failed(error)
            self._settle(run)

        plan = self._intake.plan(exchange, request, resolve, lenient=lenient, refused=refused)
        run = _Run(exchange, request, plan)
        with recorded(run, partial(self._settle, run)):
            await until_hangup(receive, exchange, self._answer(run, send))

    def _resolve(self, name: str) -> Plan:
        return self._intake.catalog.resolve(name, kind="embedding")

    async def _answer(self, run: _Run, send: Send) -> None:
        async with self._relay.open(run.plan, run.call(), on_given_up=run.given_up) as answer:
            run.committed(answer)
            (body,) = [document async for some in answer.reply.chunks for document in some]
            run.usage = chat.peek_usage(body)
            answer.ended(None if run.usage is None else run.usage.prompt_tokens)
            await send_json(send, run.exchange, body, headers=run.headers())

    def _settle(self, run: _Run) -> None:
        """Hands the receipt over; nothing here waits."""
        exchange = run.exchange
        self._intake.requests.add(run.receipt())
        if run.usage is not None and exchange.provider and (model := exchange.metered_model):
            self._intake.metrics.used(exchange.provider, model, run.usage)


class _Run(Run):
    """One request for embeddings on its way."""

    def __init__(
        self, exchange: Exchange, request: embeddings.EmbeddingRequest, plan: Plan
    ) -> None:
        super().__init__(exchange, plan, ignored=request.ignored)
        self.usage: chat.Usage | None = None
        self._request = request

    def call(self) -> Call:
        return Call(
            model=self.plan.model,
            body=self._request.fields,
            stream=False,
            request_id=self.exchange.request_id,
        )

    def headers(self) -> list[tuple[bytes, bytes]]:
        headers = super().headers()
        if (nano := self._cost()) is not None:
            headers.append((b"x-trunkline-cost-usd", usd(nano).encode()))
        return headers

    def _cost(self) -> int | None:
        """Nano-dollars; None if the price or the usage is not known."""
        price = self.answer.deployment.price if self.answer else None
        if price is None or self.usage is None:
            return None
        return cost(BilledUsage(prompt_tokens=self.usage.prompt_tokens, completion_tokens=0), price)

    def receipt(self) -> Request:
        exchange, usage = self.exchange, self.usage or chat.Usage()
        return Request(
            id=exchange.request_id,
            account_id=exchange.caller.account_id,
            key_id=exchange.caller.key_id,
            created_at=self.created_at,
            api="embeddings",
            model=self.plan.asked,
            provider=exchange.provider,
            answered_model=exchange.model,
            attempts=self.attempts,
            decision=self.plan.decision,
            stream=False,
            status=self.status,
            error_code=self.error_code,
            prompt_tokens=usage.prompt_tokens,
            cost_nano_usd=self._cost(),
            duration_ms=round(exchange.elapsed_s() * 1000),
        )
