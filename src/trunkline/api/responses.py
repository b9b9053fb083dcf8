"""``POST /v1/responses``: decodes, lets the engine respond over the relay, and leaves a receipt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial

from msgspec import Raw
from starlette.types import Receive, Scope, Send

from trunkline import ids
from trunkline.accounts import Price, total_cost
from trunkline.accounts import Usage as BilledUsage
from trunkline.api.exchange import Exchange, exchange_of
from trunkline.api.pulse import Pulse
from trunkline.api.receive import until_hangup
from trunkline.api.run import Intake, Recorded, Run, billed, estimated_usage
from trunkline.api.send import send_json, send_rest, send_stream
from trunkline.errors import (
    APIError,
    StoreUnavailable,
    TrunklineError,
    UpstreamFailed,
    UpstreamTimeout,
)
from trunkline.providers.base import Call
from trunkline.responses.attachments import Attachments, files_of
from trunkline.responses.context import LOGPROBS, Context, context_of
from trunkline.responses.ending import failed
from trunkline.responses.engine import Generation, Turn, failing, output_of, respond
from trunkline.responses.output import Output
from trunkline.responses.state import Conversation, State
from trunkline.routing import Answer, Plan, Relay, Resolve, sees_images
from trunkline.store import Attempt
from trunkline.wire import chat
from trunkline.wire.responses import (
    DONE,
    CreateRequest,
    Encoding,
    Event,
    ResponseCompleted,
    ResponseFailed,
    ResponseIncomplete,
    decode_create,
    decode_input,
    decode_tools,
    encoding_of,
    name_of,
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
        pulse_s: float = 15.0,
    ) -> None:
        self._intake = intake
        self._relay = relay
        self._state = state
        self._attachments = attachments
        self._pulse_s = pulse_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.serve(scope, receive, send, self._intake.catalog.resolve)

    async def serve(self, scope: Scope, receive: Receive, send: Send, resolve: Resolve) -> None:
        """Answers a request whose model's name ``resolve`` understands."""
        body = await self._intake.body(scope, receive)
        lenient = self._intake.is_lenient(scope)
        exchange = exchange_of(scope)
        request = decode_create(body, lenient=lenient)
        offered = decode_tools(request.parameters.tools)
        conversation = await self._state.conversation(
            decode_input(request.parameters.input),
            previous_id=request.parameters.previous_response_id,
            account_id=exchange.caller.account_id,
        )
        items = conversation.items
        if files := list(files_of(items)):
            await until_hangup(receive, exchange, self._attachments.read_files(files))
        context = context_of(request, offered, items)
        if context.images and not sees_images(resolve(request.parameters.model).deployments):
            context.refuse_images()

        def refused(nobody: Plan, error: Exception) -> None:
            run = _Run(exchange, request, nobody, self._relay, lenient=lenient)
            run.failed(error)
            self._intake.settle(run)

        try:
            plan = self._intake.plan(
                exchange,
                chat.request_of(context.fields),
                resolve,
                lenient=lenient,
                refused=refused,
            )
            response = response_of(
                request,
                offered,
                id=ids.new_id("resp"),
                created_at=int(time.time()),
                model=plan.asked,
            )
            turn = Turn(
                response=response,
                fields=context.fields,
                names=offered.names,
                allowed=context.allowed,
                logprobs=LOGPROBS in (request.parameters.include or ()),
            )
            run = _Run(exchange, request, plan, self._relay, lenient=lenient)
            with Recorded(run, partial(self._intake.settle, run)):
                await until_hangup(
                    receive, exchange, self._answer(run, turn, context, conversation, send)
                )
        except APIError as error:
            raise renamed(error, sent=request.fields) from error.__cause__

    async def _answer(
        self, run: _Run, turn: Turn, context: Context, conversation: Conversation, send: Send
    ) -> None:
        if context.images:  # only now: somebody sees them
            await self._attachments.show_images(context.images)
            context.write_messages()
        output = output_of(turn)
        events = respond(turn, generate=run.generate, on_failure=run.fails, output=output)
        kept_events = self._kept(run, events, conversation, output)
        async with aclosing(events), aclosing(kept_events) as kept:
            if run.exchange.stream:
                await self._stream(run, turn, kept, send)
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
        run: _Run,
        events: AsyncIterator[list[Event]],
        conversation: Conversation,
        output: Output,
    ) -> AsyncGenerator[list[Event], None]:
        """Passes events on; the response is stored before the one that tells of its end."""
        async for some in events:
            last = some[-1]
            if isinstance(last, ResponseCompleted | ResponseIncomplete | ResponseFailed):
                response = last.response
                told = run.exchange.stream or not isinstance(last, ResponseFailed)
                if response.store and told:
                    try:
                        await self._state.keep(
                            response,
                            conversation,
                            account_id=run.exchange.caller.account_id,
                            log=output.log(),
                        )
                    except StoreUnavailable as error:
                        run.fails(error)
                        some = [*some[:-1], *failed(response, error)]
            yield some

    async def _stream(
        self, run: _Run, turn: Turn, events: AsyncGenerator[list[Event], None], send: Send
    ) -> None:
        """Sends events as they come, with comments before the first if it takes long."""
        pulse = Pulse(send, run.exchange, every_s=self._pulse_s)
        beat = asyncio.get_running_loop().create_task(pulse.beat())
        try:
            first = await anext(events)
        except (UpstreamFailed, UpstreamTimeout) as error:
            run.fails(error)
            first = failing(turn, error)
        except APIError as error:
            if not pulse.begun:
                raise
            run.fails(error)
            first = failing(turn, error)
        finally:
            beat.cancel()
            await asyncio.wait([beat])
        frames = _frames(run, first, events)
        if pulse.begun:
            await send_rest(send, run.exchange, frames)
        else:
            await send_stream(send, run.exchange, frames, headers=run.headers())


async def _frames(
    run: _Run, first: list[Event], events: AsyncIterator[list[Event]]
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


class _Run(Run):
    """One response on its way, over as many model calls as it takes.

    The headers and the log line name who answered the first one; the receipt has the attempts of all.
    """

    api = "responses"

    def __init__(
        self,
        exchange: Exchange,
        request: CreateRequest,
        plan: Plan,
        relay: Relay,
        *,
        lenient: bool,
    ) -> None:
        super().__init__(exchange, plan, ignored=request.ignored)
        self._sent = request.fields
        self._relay = relay
        self._lenient = lenient
        self._earlier: tuple[Attempt, ...] = ()
        self.failure: TrunklineError | None = None
        self._bills: list[tuple[BilledUsage, Price | None]] = []
        exchange.stream = bool(request.parameters.stream)
        options = request.parameters.stream_options
        self.encoding: Encoding = encoding_of(
            "openai", obfuscate=bool(options and options.include_obfuscation)
        )

    @asynccontextmanager
    async def generate(self, fields: Mapping[str, Raw]) -> AsyncIterator[Generation]:
        """Makes one model call; see `Generate`."""
        call = Call(
            model=self.plan.model,
            body=fields,
            stream=self.exchange.stream,
            request_id=self.exchange.request_id,
            lenient=self._lenient,
        )
        self._earlier = self.attempts
        async with self._relay.open(self.plan, call, self.given_up) as answer:
            if self.answer is None:
                self.committed(answer)
            self.attempts = (*self._earlier, *answer.attempts)
            yield _Generation(self, answer, prompt_bytes=len(bytes(fields["messages"])))

    def called(self, parameter: str) -> str:
        return name_of(parameter, sent=self._sent)

    def fails(self, error: TrunklineError) -> None:
        """Notes what the response fails of."""
        if isinstance(error, APIError):
            renamed(error, sent=self._sent)
        self.failure = error
        self.broke_off(error)

    def given_up(self, attempts: Sequence[Attempt]) -> None:
        self.attempts = (*self._earlier, *attempts)

    def used(self, answer: Answer, usage: chat.Usage, *, estimated: bool) -> None:
        """Adds what a model call used, at the price of whoever answered it."""
        self._bills.append((billed(usage), answer.deployment.price))
        self.usage = usage if self.usage is None else chat.added(self.usage, usage)
        self.estimated = self.estimated or estimated

    def cost_nano_usd(self) -> int | None:
        bills = [(used, price) for used, price in self._bills if price is not None]
        return total_cost(bills) if bills and len(bills) == len(self._bills) else None


class _Generation:
    """A model call of a run, as the relay answers it."""

    def __init__(self, run: _Run, answer: Answer, *, prompt_bytes: int) -> None:
        self._run = run
        self._answer = answer
        self._prompt_bytes = prompt_bytes

    @property
    def chunks(self) -> AsyncIterator[Sequence[bytes]]:
        return self._answer.reply.chunks

    def ended(self, usage: chat.Usage | None, *, chunks: int, held_up_s: float) -> chat.Usage:
        tokens = None if usage is None else usage.completion_tokens
        self._answer.ended(tokens, held_up_s=held_up_s)
        used = usage or estimated_usage(self._prompt_bytes, chunks)
        self._run.used(self._answer, used, estimated=usage is None)
        self._run.note_reply(self._answer.reply)
        return used

    def broke_off(self, error: Exception) -> None:
        self._answer.broke_off(error)
