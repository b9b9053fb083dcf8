"""A response on its way: the model calls that the relay answers for it, and what they cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from msgspec import UNSET, Raw

from trunkline.accounts import Price, total_cost
from trunkline.accounts import Usage as BilledUsage
from trunkline.api.exchange import Exchange
from trunkline.api.run import Run, billed, estimated_usage
from trunkline.errors import APIError
from trunkline.providers.base import Call
from trunkline.responses.engine import Generation
from trunkline.routing import Answer, Chooser, Plan, Relay
from trunkline.store import Attempt
from trunkline.wire import chat
from trunkline.wire.responses import (
    CreateRequest,
    Encoding,
    Ended,
    Response,
    ResponseFailed,
    name_of,
    renamed,
)


class ResponseRun(Run):
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
        chooser: Chooser,
        ignored: Sequence[str],
        lenient: bool,
        encoding: Encoding,
    ) -> None:
        super().__init__(exchange, plan, ignored=ignored)
        self.encoding = encoding
        self._sent = request.fields
        self._relay = relay
        self._chooser = chooser
        self._lenient = lenient
        self._earlier: tuple[Attempt, ...] = ()
        self.failure: Exception | None = None
        self._bills: list[tuple[BilledUsage, Price | None]] = []
        exchange.stream = bool(request.parameters.stream)

    def tells(self, last: Ended) -> bool:
        """Whether the caller gets to know of a response: of one that failed, only from a stream."""
        return self.exchange.stream or not isinstance(last, ResponseFailed)

    def prices(self, response: Response) -> None:
        """Writes what a response cost into its usage, where both are known."""
        cost_usd = self.cost_usd()
        if cost_usd is not None and response.usage is not UNSET:
            response.usage.cost = Raw(cost_usd.encode())

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
                self._chooser.answered(self.plan, answer.deployment)
            self.attempts = (*self._earlier, *answer.attempts)
            yield _Generation(self, answer, prompt_bytes=len(bytes(fields["messages"])))

    def called(self, parameter: str) -> str:
        return name_of(parameter, sent=self._sent)

    def fails(self, error: Exception) -> APIError:
        """Notes what the response fails of; returns what to tell."""
        if isinstance(error, APIError):
            renamed(error, sent=self._sent)
            if error.attempts:
                self.attempts = (*self._earlier, *error.attempts)
        self.failure = error
        return self.broke_off(error)

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

    def __init__(self, run: ResponseRun, answer: Answer, *, prompt_bytes: int) -> None:
        self._run = run
        self._answer = answer
        self._prompt_bytes = prompt_bytes

    @property
    def chunks(self) -> AsyncIterator[Sequence[bytes]]:
        return self._answer.reply.chunks

    def ended(self, usage: chat.Usage | None, *, chunks: int, held_up_s: float) -> chat.Usage:
        tokens = None if usage is None else usage.completion_tokens
        self._answer.ended(tokens, held_up_s=held_up_s)
        return self._used(usage, chunks)

    def broke_off(self, error: Exception, usage: chat.Usage | None, *, chunks: int) -> None:
        self._answer.broke_off(error)
        self._used(usage, chunks)

    def _used(self, usage: chat.Usage | None, chunks: int) -> chat.Usage:
        used = usage or estimated_usage(self._prompt_bytes, chunks)
        self._run.used(self._answer, used, estimated=usage is None)
        self._run.note_reply(self._answer.reply)
        return used
