"""The turn loop: generate, run the calls that are ours, and go round until none is left to run."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Protocol

import msgspec
from msgspec import Raw

from trunkline.errors import TrunklineError, UpstreamError
from trunkline.responses.ending import beginning, ended, failed, last_event, response_usage
from trunkline.responses.items import Seal
from trunkline.responses.output import Output
from trunkline.responses.step import ModelCall, Rules, Step, following
from trunkline.responses.toolbox import Listing, Outcome, Toolbox, run_all
from trunkline.wire.chat import Usage, added
from trunkline.wire.responses.events import Event
from trunkline.wire.responses.response import Response
from trunkline.wire.responses.tools import Called

MAX_STEPS = 32
"""Model calls of one response at most, however many tools the model calls."""


class Generation(Protocol):
    """One model call that somebody answers: its reply, in the chat wire format.

    Whoever reads the reply tells how it ended.
    """

    @property
    def chunks(self) -> AsyncIterator[Sequence[bytes]]:
        """Chat completion chunks, those of one network read together, or one whole completion."""
        ...

    def ended(self, usage: Usage | None, *, chunks: int, held_up_s: float) -> Usage:
        """The reply came to its end; ``chunks`` tells what it used if it did not say so itself.

        ``held_up_s`` is for how long it waited for its reader. Returns what counts.
        """
        ...

    def broke_off(self, error: Exception, usage: Usage | None, *, chunks: int) -> None:
        """The reply ended with an error; what it used until then is told as for ``ended``."""
        ...


Generate = Callable[[Mapping[str, Raw]], AbstractAsyncContextManager[Generation]]
"""Makes one model call out of a chat completion's fields; entered once somebody answers it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What is to be done: the response as it begins, the chat fields, and what the tools' names mean.

    Only the ``allowed`` names may be called, unless that is None. With ``logprobs`` they are told;
    ``seal`` makes the reasoning's ``encrypted_content``; ``tools`` runs the calls that are ours;
    ``listings`` are told before the model says anything.
    """

    response: Response
    fields: Mapping[str, Raw]
    names: Mapping[str, Called]
    allowed: Collection[str] | None = None
    logprobs: bool = False
    seal: Seal | None = None
    tools: Toolbox | None = None
    listings: Sequence[Listing] = ()
    max_steps: int = MAX_STEPS

    @property
    def rules(self) -> Rules:
        """What the model's calls are held to."""
        return Rules(
            names=self.names,
            allowed=() if self.fields.get("tool_choice") == _NONE else self.allowed,
            single=not self.response.parallel_tool_calls,
            logprobs=self.logprobs,
        )


def output_of(turn: Turn) -> Output:
    """Returns the output of a turn before anything is in it."""
    asked = turn.response.reasoning
    return Output(summary=asked.summary if asked else None, seal=turn.seal)


async def respond(
    turn: Turn,
    *,
    generate: Generate,
    on_failure: Callable[[TrunklineError], object],
    output: Output | None = None,
) -> AsyncGenerator[list[Event], None]:
    """Yields the events of a response, those that arrive together in one list.

    The first list comes once somebody answers the first model call. What fails before that is
    raised; what fails later is told to ``on_failure`` and as events. The last event holds the response
    as it ended; by then the log of ``output`` is what `replay` needs beside it.
    """
    output = output_of(turn) if output is None else output
    running = _Running(turn, output)
    try:
        while running.goes_on:
            async with generate(running.fields) as generation:
                if not running.steps:
                    for listing in turn.listings:
                        output.listed(listing.server_label, listing.tools)
                    yield [*beginning(turn.response), *output.take()]
                step = running.next_step()
                async with aclosing(_stepped(step, output, generation)) as events:
                    async for some in events:
                        yield some
            if some := output.take():
                yield some
            running.ended(step, await run_all(turn.tools, running.own_calls(step)))
    except TrunklineError as error:
        if not running.steps:
            raise
        on_failure(error)
        running.count()
        yield broken_off(turn, output, error, running.usage)
        return
    output.break_off()  # calls that would have been run, had the model not been cut off
    response = ended(turn.response, output.items, running.usage, running.finish_reason)
    yield [*output.take(), last_event(response)]


class _Running:
    """Where a response stands between its model calls."""

    def __init__(self, turn: Turn, output: Output) -> None:
        self.fields = turn.fields
        self.steps = 0
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.goes_on = True
        self.turn = turn
        self._output = output
        self._spare = turn.response.max_tool_calls
        self._asked_again = False
        self._step: Step | None = None

    def next_step(self) -> Step:
        self.steps += 1
        self._step = Step(self._output, self.turn.rules, spare=self._spare)
        return self._step

    def count(self) -> None:
        """Counts what the last model call used, as far as that is known."""
        step, self._step = self._step, None
        if step is not None and step.usage is not None:
            self.usage = added(self.usage, step.usage) if self.usage else step.usage

    def own_calls(self, step: Step) -> list[ModelCall]:
        """Returns the calls of a step that are to be run here."""
        return [] if step.cut_off else [call for call in step.calls if call.item_id]

    def ended(self, step: Step, outcomes: Mapping[str, Outcome]) -> None:
        """Settles what was run, and decides whether the model is to be asked once more.

        Raises UpstreamError if it calls again what it must not call, or never comes to an end.
        """
        self.count()
        self.finish_reason = step.finish_reason
        for call in step.calls:
            if (outcome := outcomes.get(call.id)) is not None:
                self._output.settle(call.item_id, outcome.output, outcome.error)
        self._spare = None if self._spare is None else max(self._spare - len(outcomes), 0)
        theirs = any(call.fate == "client" for call in step.calls)
        self.goes_on = bool(step.calls) and not theirs and not step.cut_off
        if self.goes_on:
            self._go_on(step, outcomes)

    def _go_on(self, step: Step, outcomes: Mapping[str, Outcome]) -> None:
        refused = [call for call in step.calls if call.fate == "refused"]
        if refused and self._asked_again:
            raise _mistaken(f"called tools wrongly twice: {refused[0].problem}")
        if self.steps >= self.turn.max_steps:
            raise _mistaken(f"was still calling tools after {self.steps} model calls")
        self._asked_again = bool(refused)
        results = [_result(call, outcomes, self.turn.response) for call in step.calls]
        messages = following(self.fields["messages"], step.messages(results))
        self.fields = {**self.fields, "messages": messages}
        if not refused and self.fields.get("tool_choice", _NONE) != _NONE:
            del self.fields[
                "tool_choice"
            ]  # a call was made as asked; what comes now is the model's


_NONE = Raw(b'"none"')


def _mistaken(what: str) -> UpstreamError:
    return UpstreamError(f"the model {what}", retryable=False, by_model=True)


def _result(call: ModelCall, outcomes: Mapping[str, Outcome], response: Response) -> str:
    if (outcome := outcomes.get(call.id)) is not None:
        return outcome.told
    if call.fate == "surplus":
        return (
            f"not run: this response may call {response.max_tool_calls} tools at most; "
            "answer with what you have"
        )
    return f"not called: {call.problem}"


async def _stepped(
    step: Step, output: Output, generation: Generation
) -> AsyncGenerator[list[Event], None]:
    """Yields the events of one model call, but for those that end its last item."""
    held_up_s, count = 0.0, 0
    try:
        async for some in generation.chunks:
            count += len(some)
            for document in some:
                step.feed(document)
            if events := output.take():
                handed_over = time.perf_counter()
                yield events
                held_up_s += time.perf_counter() - handed_over
    except Exception as error:
        generation.broke_off(error, step.usage, chunks=count)
        raise
    step.end()
    step.usage = generation.ended(step.usage, chunks=count, held_up_s=held_up_s)


def failing(turn: Turn, output: Output, error: TrunklineError) -> list[Event]:
    """Returns the events of a response that failed before anybody answered."""
    event, last = failed(turn.response, error)
    output.fault(event)
    return [*beginning(turn.response), event, last]


def broken_off(
    turn: Turn, output: Output, error: TrunklineError, usage: Usage | None = None
) -> list[Event]:
    """Returns the events that end a response which failed in its middle."""
    output.break_off()
    response = msgspec.structs.replace(
        turn.response, output=output.items, usage=response_usage(usage)
    )
    event, last = failed(response, error)
    output.fault(event)
    return [*output.take(), event, last]
