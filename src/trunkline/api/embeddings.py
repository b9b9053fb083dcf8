"""``POST /v1/embeddings``: chosen, tried, metered and recorded as a chat completion is, without a stream."""

from __future__ import annotations

from functools import partial

from starlette.types import Receive, Scope, Send

from trunkline.api.exchange import Exchange, exchange_of
from trunkline.api.receive import until_hangup
from trunkline.api.run import Intake, Recorded, Run
from trunkline.api.send import send_json
from trunkline.providers.base import Call
from trunkline.routing import (
    Plan,
    Relay,
    Resolve,
)
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
            self._intake.settle(run)

        plan = self._intake.plan(exchange, request, resolve, lenient=lenient, refused=refused)
        run = _Run(exchange, request, plan)
        with Recorded(run, partial(self._intake.settle, run)):
            await until_hangup(receive, exchange, self._answer(run, send))

    def _resolve(self, name: str) -> Plan:
        return self._intake.catalog.resolve(name, kind="embedding")

    async def _answer(self, run: _Run, send: Send) -> None:
        async with self._relay.open(run.plan, run.call(), on_given_up=run.given_up) as answer:
            run.committed(answer)
            (body,) = [document async for some in answer.reply.chunks for document in some]
            run.usage = chat.peek_usage(body)
            answer.ended(None if run.usage is None else run.usage.prompt_tokens)
            await send_json(send, run.exchange, body, headers=run.headers() + run.cost_headers())


class _Run(Run):
    """One request for embeddings on its way."""

    api = "embeddings"

    def __init__(
        self, exchange: Exchange, request: embeddings.EmbeddingRequest, plan: Plan
    ) -> None:
        super().__init__(exchange, plan, ignored=request.ignored)
        self._request = request

    def call(self) -> Call:
        return Call(
            model=self.plan.model,
            body=self._request.fields,
            stream=False,
            request_id=self.exchange.request_id,
        )
