"""``POST /v1/chat/completions``: the hot path's first frame."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from functools import partial

from starlette.types import Receive, Scope, Send

from trunkline.api.errors import envelope
from trunkline.api.exchange import Exchange, exchange_of
from trunkline.api.pulse import Pulse
from trunkline.api.receive import until_hangup
from trunkline.api.run import Intake, Recorded, Run, estimated_usage
from trunkline.api.send import begin_stream, send_json, send_last, send_some
from trunkline.log import get_logger
from trunkline.providers.base import Call
from trunkline.providers.parameters import HELD_BACK_BY, features_of
from trunkline.routing import (
    Answer,
    Plan,
    Relay,
    Resolve,
)
from trunkline.wire import chat, sse

_DONE = b"data: [DONE]\n\n"

log = get_logger()


class ChatCompletions:
    """Serves chat completions: decodes, asks the relay, encodes, and leaves a receipt."""

    def __init__(self, intake: Intake, relay: Relay, *, pulse_s: float = 15.0) -> None:
        self._intake = intake
        self._relay = relay
        self._pulse_s = pulse_s

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return self.serve(scope, receive, send, self._intake.catalog.resolve)

    async def serve(self, scope: Scope, receive: Receive, send: Send, resolve: Resolve) -> None:
        """Answers a request whose model's name ``resolve`` understands."""
        body = await self._intake.body(scope, receive)
        lenient = self._intake.is_lenient(scope)
        request = chat.decode_request(body, lenient=lenient)
        exchange = exchange_of(scope)

        def refused(nobody: Plan, error: Exception) -> None:
            run = _Run(exchange, request, nobody, lenient=lenient)
            run.failed(error)
            self._settle(run)

        plan = self._intake.plan(exchange, request, resolve, lenient=lenient, refused=refused)
        run = _Run(exchange, request, plan, lenient=lenient)
        with Recorded(run, partial(self._settle, run)):
            await until_hangup(receive, run.exchange, self._answer(run, send))

    async def _answer(self, run: _Run, send: Send) -> None:
        if run.held_back:
            await self._answer_late(run, send)
            return
        async with self._relay.open(run.plan, run.call(), run.given_up) as answer:
            self._committed(run, answer)
            if run.exchange.stream:
                await begin_stream(send, run.exchange, headers=run.headers())
                await self._pass_on(run, answer, send)
                return
            (body,) = [document async for some in answer.reply.chunks for document in some]
            run.usage = chat.peek_usage(body)
            run.chunks = len(body) // 4
            answer.ended(run.tokens())
            headers = run.headers() + run.cost_headers()
            await send_json(send, run.exchange, body, headers=headers)

    async def _answer_late(self, run: _Run, send: Send) -> None:
        """Answers a stream whose reply is checked before any of it leaves, with comments until then."""
        pulse = Pulse(send, run.exchange, every_s=self._pulse_s)
        failure: Exception | None = None
        async with asyncio.TaskGroup() as group:
            beat = group.create_task(pulse.beat())
            try:
                async with self._relay.open(run.plan, run.call(), run.given_up) as answer:
                    self._committed(run, answer)
                    await _stopped(beat)
                    if not pulse.begun:
                        await begin_stream(send, run.exchange, headers=run.headers())
                    await self._pass_on(run, answer, send)
            except Exception as error:  # noqa: BLE001  # raised, or told in the stream, just below
                failure = error
                await _stopped(beat)
        if failure is None:
            return
        if not pulse.begun:
            raise failure
        await send_last(send, run.exchange, _told(run, failure))

    def _committed(self, run: _Run, answer: Answer) -> None:
        run.committed(answer)
        self._intake.chooser.answered(run.plan, answer.deployment)

    async def _pass_on(self, run: _Run, answer: Answer, send: Send) -> None:
        """Sends the chunks; usage is read on the way and passed on only if it was asked for."""
        exchange, held_up_s = run.exchange, 0.0
        try:
            async for some in answer.reply.chunks:
                if exchange.first_chunk_s is None:
                    exchange.first_chunk_s = exchange.elapsed_s()
                frames = sse.encode(some)
                usages = frames.count(b'"usage"')
                if usages and usages != frames.count(b'"usage":null'):
                    frames = sse.encode(run.metered(some, usages))
                run.chunks += len(some)
                if frames:
                    handed_over = time.perf_counter()
                    await send_some(send, frames)
                    held_up_s += time.perf_counter() - handed_over
            answer.ended(run.tokens(), held_up_s=held_up_s)
        except Exception as error:  # noqa: BLE001  # the edge of a stream: it is told there
            answer.broke_off(error)
            await send_last(send, exchange, _told(run, error))
            return
        last = run.last_usage()
        await send_last(send, exchange, _DONE if last is None else sse.encode([last]) + _DONE)

    def _settle(self, run: _Run) -> None:
        run.note_reply(run.reply)
        run.estimate()
        self._intake.settle(run)


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _told(run: _Run, error: Exception) -> bytes:
    """Returns what is left to a stream whose status line is gone: one error event."""
    failure = run.broke_off(error)
    return b"event: error\ndata: " + envelope(failure) + b"\n\n"


class _Run(Run):
    """One chat completion on its way."""

    api = "chat"

    def __init__(
        self, exchange: Exchange, request: chat.ChatRequest, plan: Plan, *, lenient: bool
    ) -> None:
        super().__init__(exchange, plan, ignored=request.ignored)
        self.chunks = 0
        self._lenient = lenient
        self._last_usage: bytes | None = None
        self._request = request
        parameters = request.parameters
        exchange.stream = bool(parameters.stream)
        options = parameters.stream_options
        self._wants_usage = bool(options and options.include_usage)

    @property
    def held_back(self) -> bool:
        """Whether there may be none of a stream to send before all of it is there."""
        offers = self.plan.deployments
        if not self.exchange.stream or HELD_BACK_BY.isdisjoint(self._request.fields) or not offers:
            return False
        features = features_of(self._request.fields)
        return any(one.support and one.support.holds_back(features) for one in offers)

    def call(self) -> Call:
        return Call(
            model=self.plan.model,
            body=self._request.fields,
            stream=self.exchange.stream,
            request_id=self.exchange.request_id,
            lenient=self._lenient,
        )

    def tokens(self) -> int | None:
        """Returns how many tokens the answer had, reasoning included; None if nobody said."""
        return None if self.usage is None else self.usage.completion_tokens

    def metered(self, chunks: Sequence[bytes], usages: int) -> list[bytes]:
        """Reads the usage out of the chunks, and takes it out: the caller gets it once, at the end.

        ``usages`` is how often they name it; mostly the last one does, so they are searched from there.
        Providers report it in a chunk of its own, beside the last content, twice, or in every chunk,
        growing. The last one counts.
        """
        first = len(chunks)
        while usages > 0:
            first -= 1
            usages -= chunks[first].count(b'"usage"')
        out = [*chunks[:first]]
        for chunk in chunks[first:]:
            report = chat.peek_report(chunk)
            if report is None:
                out.append(chunk)
                continue
            self.usage = report.usage
            self._last_usage = chunk if not (report.choices or report.apart) else None
            if self._last_usage is None:
                out.append(chunk if report.apart else chat.without_usage(chunk))
                self._last_usage = chat.usage_alone(chunk) if self._wants_usage else None
        return out

    def last_usage(self) -> bytes | None:
        """Returns the chunk that ends the stream of a caller who asked for the usage."""
        if not self._wants_usage or self._last_usage is None:
            return None
        cost_usd = self.cost_usd()
        last = self._last_usage
        return last if cost_usd is None else chat.with_cost(last, cost_usd)

    def estimate(self) -> None:
        """Counts what a provider used that did not say so."""
        if self.usage is not None or self.answer is None or self.status != 200:
            return
        asked = len(bytes(self._request.parameters.messages))
        self.usage = estimated_usage(asked, self.chunks)
        self.estimated = True
