"""``POST /v1/responses``: decodes, lets the engine respond over the relay, and leaves a receipt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from functools import partial

from starlette.types import Receive, Scope, Send

from trunkline import ids
from trunkline.api.dialect import dialect_of
from trunkline.api.exchange import Exchange, exchange_of
from trunkline.api.pulse import Pulse
from trunkline.api.receive import until_hangup
from trunkline.api.response_run import ResponseRun
from trunkline.api.run import Intake, Recorded
from trunkline.api.send import send_json, send_rest, send_stream
from trunkline.errors import (
    APIError,
    StoreUnavailable,
    UpstreamFailed,
    UpstreamTimeout,
)
from trunkline.responses.attachments import Attachments, files_of
from trunkline.responses.context import ENCRYPTED, Context, context_of
from trunkline.responses.ending import failed
from trunkline.responses.engine import Turn, broken_off, failing, output_of, respond
from trunkline.responses.output import Output
from trunkline.responses.sealing import Seal
from trunkline.responses.state import Conversation, State
from trunkline.routing import Plan, Relay, Resolve, sees_images
from trunkline.wire import chat
from trunkline.wire.responses import (
    DONE,
    CreateRequest,
    Dialect,
    Ended,
    Event,
    Offered,
    ResponseCompleted,
    ResponseIncomplete,
    added_tools,
    decode_create,
    decode_input,
    decode_tools,
    encoding_of,
    numbered,
    renamed,
    response_of,
)


class Responses:
    """Serves ``POST /v1/responses``."""

    def __init__(
        self,
        intake: Intake,
        relay: Relay,
        state: State,
        attachments: Attachments,
        *,
        seal: Seal,
        dialect: Dialect = "openai",
        pulse_s: float = 15.0,
    ) -> None:
        self._intake = intake
        self._relay = relay
        self._state = state
        self._attachments = attachments
        self._seal = seal
        self._dialect = dialect
        self._pulse_s = pulse_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.serve(scope, receive, send, self._intake.catalog.resolve)

    async def serve(self, scope: Scope, receive: Receive, send: Send, resolve: Resolve) -> None:
        """Answers a request whose model's name ``resolve`` understands."""
        body = await self._intake.body(scope, receive)
        lenient = self._intake.is_lenient(scope)
        dialect = dialect_of(scope, self._dialect)
        exchange = exchange_of(scope)
        request = decode_create(body, lenient=lenient)
        conversation = await self._state.conversation(
            decode_input(request.parameters.input),
            previous_id=request.parameters.previous_response_id,
            account_id=exchange.caller.account_id,
        )
        items = conversation.items
        offered = decode_tools(request.parameters.tools, added_tools(items))
        if files := list(files_of(items)):
            await until_hangup(receive, exchange, self._attachments.read_files(files))
        context = context_of(request, offered, items, unseal=partial(self._unseal, exchange))
        if context.images and not sees_images(resolve(request.parameters.model).deployments):
            context.refuse_images()

        encoding = encoding_of(dialect, obfuscate=request.obfuscated)

        def run_of(plan: Plan) -> ResponseRun:
            ignored = (*request.ignored, *offered.ignored)
            return ResponseRun(
                exchange,
                request,
                plan,
                self._relay,
                chooser=self._intake.chooser,
                ignored=ignored,
                lenient=lenient,
                encoding=encoding,
            )

        def refused(nobody: Plan, error: Exception) -> None:
            run = run_of(nobody)
            run.failed(error)
            self._intake.settle(run)

        try:
            asked = chat.request_of(context.fields)
            plan = self._intake.plan(exchange, asked, resolve, lenient=lenient, refused=refused)
            run = run_of(plan)
            turn = self._turn(exchange, request, offered, context, model=plan.asked)
            with Recorded(run, partial(self._intake.settle, run)):
                await until_hangup(
                    receive, exchange, self._answer(run, turn, context, conversation, send)
                )
        except APIError as error:
            raise renamed(error, sent=request.fields) from error.__cause__

    def _turn(
        self,
        exchange: Exchange,
        request: CreateRequest,
        offered: Offered,
        context: Context,
        *,
        model: str,
    ) -> Turn:
        include = request.parameters.include or ()
        seal = None
        if ENCRYPTED in include:
            seal = partial(self._seal.seal, account_id=exchange.caller.account_id)
        return Turn(
            response=response_of(
                request, offered, id=ids.new_id("resp"), created_at=int(time.time()), model=model
            ),
            fields=context.fields,
            names=offered.names,
            allowed=context.allowed,
            logprobs="logprobs" in context.fields,
            seal=seal,
        )

    def _unseal(self, exchange: Exchange, sealed: str, *, at: str) -> str:
        return self._seal.unseal(sealed, account_id=exchange.caller.account_id, at=at)

    async def _answer(
        self, run: ResponseRun, turn: Turn, context: Context, conversation: Conversation, send: Send
    ) -> None:
        if context.images:  # only now: somebody sees them
            await self._attachments.show_images(context.images)
            context.write_messages()
        output = output_of(turn)
        events = respond(turn, generate=run.generate, on_failure=run.fails, output=output)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(aclosing(events))
            if run.exchange.stream:
                pulse = Pulse(send, run.exchange, every_s=self._pulse_s)
                events = _failing(run, turn, output, events, pulse)
                await stack.enter_async_context(aclosing(events))
            kept = self._kept(run, events, conversation, output)
            await stack.enter_async_context(aclosing(kept))
            if run.exchange.stream:
                await self._stream(run, kept, pulse, send)
                return
            async for some in kept:
                last = some[-1]
        if run.failure is not None:
            raise run.failure
        if not isinstance(last, ResponseCompleted | ResponseIncomplete):
            raise AssertionError("a response ended without an end")
        headers = run.headers() + run.cost_headers()
        await send_json(send, run.exchange, run.encoding.response(last.response), headers=headers)

    async def _kept(
        self,
        run: ResponseRun,
        events: AsyncIterator[list[Event]],
        conversation: Conversation,
        output: Output,
    ) -> AsyncGenerator[list[Event], None]:
        """Passes events on; the response is stored before the one that tells of its end."""
        async for some in events:
            last = some[-1]
            if isinstance(last, Ended):
                run.prices(last.response)
                some = [*some[:-1], *await self._keep(run, last, conversation, output)]
            yield some

    async def _keep(
        self, run: ResponseRun, last: Ended, conversation: Conversation, output: Output
    ) -> list[Event]:
        """Stores a response that has ended; returns the events that tell of its end."""
        if last.response.store and run.tells(last):
            try:
                await self._state.keep(
                    last.response,
                    conversation,
                    account_id=run.exchange.caller.account_id,
                    log=output.log(),
                )
            except StoreUnavailable as error:
                run.fails(error)
                return [*failed(last.response, error)]
        return [last]

    async def _stream(
        self, run: ResponseRun, events: AsyncGenerator[list[Event], None], pulse: Pulse, send: Send
    ) -> None:
        """Sends events as they come, with comments before the first if it takes long."""
        beat = asyncio.get_running_loop().create_task(pulse.beat())
        try:
            first = await anext(events)
        finally:
            beat.cancel()
            await asyncio.wait([beat])
        frames = _frames(run, first, events)
        if pulse.begun:
            await send_rest(send, run.exchange, frames)
        else:
            await send_stream(send, run.exchange, frames, headers=run.headers())


async def _failing(
    run: ResponseRun,
    turn: Turn,
    output: Output,
    events: AsyncIterator[list[Event]],
    pulse: Pulse,
) -> AsyncGenerator[list[Event], None]:
    """Passes events on, and tells as events what failed before there were any, or should never fail.

    The caller's own mistakes are raised as long as the status can still tell of them.
    """
    begun = False
    try:
        async for some in events:
            begun = True
            yield some
    except Exception as error:  # the edge of a stream: it is told there
        if not (begun or pulse.begun or isinstance(error, UpstreamFailed | UpstreamTimeout)):
            raise
        failure = run.fails(error)
        yield broken_off(turn, output, failure) if begun else failing(turn, output, failure)


async def _frames(
    run: ResponseRun, first: list[Event], events: AsyncIterator[list[Event]]
) -> AsyncGenerator[bytes, None]:
    """Numbers and writes the events."""
    number = 0
    some: list[Event] | None = first
    while some is not None:
        if run.exchange.first_chunk_s is None:
            run.exchange.first_chunk_s = run.exchange.elapsed_s()
        number = numbered(some, number)
        yield run.encoding.events(some)
        some = await anext(events, None)
    yield DONE
