"""What a provider cannot be told to do: asked for in words, checked in its reply, asked for once more.

A reply that is checked is held back until it is right, also for a caller who streams.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any

import msgspec
from msgspec import Raw

from trunkline.config import Quirks
from trunkline.errors import InvalidRequest, UpstreamError
from trunkline.providers.base import Call, Provider, Reply
from trunkline.providers.checking import Check, NotAsAsked, checks_of
from trunkline.providers.one_call import first_calls
from trunkline.providers.parameters import ONE_CALL, Support, features_of, support_of
from trunkline.wire.chat import as_chunks, peek_usage

_MOST_CHOICES = 16
_ASKED_AGAIN = "asked_again"
"""The name of an emulation beside the features: a reply was not as asked, and the next one was."""

_Body = dict[str, Raw]
_encode = msgspec.json.encode
_decode = msgspec.json.Decoder().decode
_decode_messages = msgspec.json.Decoder(list[Raw]).decode


class Emulating:
    """Answers chat calls through a provider with these quirks, whose ``open`` it stands in for."""

    def __init__(self, provider: Provider, *, quirks: Quirks) -> None:
        self._provider = provider
        self._quirks = quirks
        self._support = support_of(quirks)

    def open(self, call: Call, /) -> AbstractAsyncContextManager[Reply]:
        """Enters with the provider's reply, or with one that was checked.

        Raises UpstreamError also if no reply was as asked, InvalidRequest for what cannot be checked.
        """
        if _WATCHED.isdisjoint(call.body):
            return self._provider.open(call)
        support = call.support or self._support
        wanted = features_of(call.body) & support.emulated
        quirks = self._quirks
        if not wanted and not quirks.schema_rules and quirks.streams_schemas:
            return self._provider.open(call)
        return self._emulated(call, wanted, support)

    @asynccontextmanager
    async def _emulated(
        self, call: Call, wanted: frozenset[str], support: Support
    ) -> AsyncIterator[Reply]:
        # In a thread, as a large schema takes a second to look through.
        task = await asyncio.to_thread(task_of, call, wanted, support, self._quirks)
        if task is not None:
            yield await _Asking(self._provider, call, task).reply()
            return
        opened = self._with_one_call(call) if ONE_CALL in wanted else self._provider.open(call)
        async with opened as reply:
            yield reply

    @asynccontextmanager
    async def _with_one_call(self, call: Call) -> AsyncIterator[Reply]:
        async with self._provider.open(call) as reply:
            chunks = first_calls(reply.chunks, stream=call.stream)
            async with aclosing(chunks):
                yield msgspec.structs.replace(reply, chunks=chunks)


class Task(msgspec.Struct, frozen=True):
    """A request that is asked in other words: its body, what a reply must be, and how many are wanted."""

    body: _Body
    checks: tuple[Check, ...]
    choices: int
    emulations: frozenset[str]


def task_of(call: Call, wanted: frozenset[str], support: Support, quirks: Quirks) -> Task | None:
    """Returns what is to be asked instead of a request, None if it can be asked as it is.

    ``wanted`` are the features that it asks for and that are to be emulated.
    """
    body = call.body
    checks = checks_of(call, wanted, support, quirks)
    whole = call.stream and not quirks.streams_schemas and "response_format" in body
    if not checks and not whole and "n" not in wanted:
        return None
    asked = dict(body)
    choices = 1
    if "n" in wanted:
        choices = _decode(asked.pop("n"))
        if choices > _MOST_CHOICES:
            raise InvalidRequest(
                f"n: this provider gives one choice; more than {_MOST_CHOICES} are not asked for",
                param="n",
            )
    for check in checks:
        check.ask(asked)
    emulations = {"n"} & wanted | {name for check in checks for name in check.features}
    if whole:
        emulations.add("stream: response_format")
    return Task(asked, tuple(checks), choices, frozenset(emulations))


_WATCHED = frozenset(
    {"n", "tool_choice", "parallel_tool_calls", "response_format", "guided_json", "guided_choice"}
)


class _Asking:
    """The requests that one call comes to."""

    def __init__(self, provider: Provider, call: Call, task: Task) -> None:
        self._provider = provider
        self._call = msgspec.structs.replace(call, body=task.body, stream=False)
        self._stream = call.stream
        self._task = task
        self._started = time.perf_counter()
        self._repairs: set[str] = set()
        self._emulations = set(task.emulations)
        self._ignored: set[str] = set()
        self._usages: list[dict[str, Any]] = []

    async def reply(self) -> Reply:
        try:
            return await self._reply()
        except UpstreamError as error:
            if self._usages:  # of the requests before it, or beside it
                error.used = peek_usage(_encode({"usage": _sum(self._usages)}))
            raise

    async def _reply(self) -> Reply:
        first, *others = await self._all()
        choices = [
            {**choice, "index": index}
            for index, document in enumerate([first, *others])
            for choice in document["choices"][:1]
        ]
        document = {**first, "choices": choices if others else first["choices"]}
        if self._usages:
            document["usage"] = _sum(self._usages)
        chunks = as_chunks(document) if self._stream else [_encode(document)]
        return Reply(_at_once(chunks), self._repairs, self._emulations, self._ignored)

    async def _all(self) -> list[dict[str, Any]]:
        if self._task.choices == 1:
            return [await self._one(self._call)]
        try:
            async with asyncio.TaskGroup() as group:
                asked = [
                    group.create_task(self._one(self._nth(k))) for k in range(self._task.choices)
                ]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        return [one.result() for one in asked]

    def _nth(self, number: int) -> Call:
        """Lets each choice have a seed of its own, so that they are not all the same."""
        seed = self._call.body.get("seed")
        if seed is None:
            return self._call
        body = {**self._call.body, "seed": Raw(_encode(_decode(seed) + number))}
        return msgspec.structs.replace(self._call, body=body)

    async def _one(self, call: Call) -> dict[str, Any]:
        document = await self._whole(call)
        try:
            return await self._checked(document)
        except NotAsAsked as problem:
            again = msgspec.structs.replace(call, body=_again(call.body, document, problem))
        document = await self._whole(again)
        try:
            checked = await self._checked(document)
        except NotAsAsked as problem:
            raise UpstreamError(
                f"{problem.outcome}, also when asked again", retryable=True, by_model=True
            ) from problem
        self._emulations.add(_ASKED_AGAIN)
        return checked

    async def _whole(self, call: Call) -> dict[str, Any]:
        if call.within_s is not None:
            spent_s = time.perf_counter() - self._started
            call = msgspec.structs.replace(call, within_s=max(call.within_s - spent_s, 0.001))
        document: dict[str, Any]
        try:
            document = await self._one_document(call)
        except UpstreamError as error:
            if error.used is not None:
                self._usages.append(msgspec.to_builtins(error.used))
            raise
        if isinstance(usage := document.get("usage"), dict):
            self._usages.append(usage)
        return document

    async def _one_document(self, call: Call) -> dict[str, Any]:
        document: dict[str, Any]
        async with self._provider.open(call) as reply:
            (document,) = [_decode(one) async for some in reply.chunks for one in some]
            self._repairs.update(reply.repairs)
            self._emulations.update(reply.emulations)
            self._ignored.update(reply.ignored)
        return document

    async def _checked(self, document: dict[str, Any]) -> dict[str, Any]:
        """Returns the document if it is as asked. In a thread: what is large takes as long to check."""
        if self._task.checks:
            await asyncio.to_thread(self._check, document)
        return document

    def _check(self, document: dict[str, Any]) -> None:
        for choice in document["choices"]:
            if choice.get("finish_reason") in _CUT_OFF or choice["message"].get("refusal"):
                continue
            for check in self._task.checks:
                check.right(choice["message"])


_CUT_OFF = frozenset({"length", "content_filter"})


def _again(body: Mapping[str, Raw], document: Mapping[str, Any], problem: NotAsAsked) -> _Body:
    """Returns the request with the reply that was not right, and with what was wrong with it."""
    said = document["choices"][0]["message"].get("content")
    added: list[Any] = [{"role": "assistant", "content": said}] if said else []
    added.append({"role": "user", "content": problem.correction})
    messages = [*_decode_messages(body["messages"]), *added]
    return {**body, "messages": Raw(_encode(messages)), **problem.fields}


def _sum(usages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Adds up what several requests used, for one reply."""
    return {name: _total([usage.get(name) for usage in usages]) for name in _names(usages)}


def _names(usages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from dict.fromkeys(name for usage in usages for name in usage)


def _total(values: Sequence[Any]) -> Any:
    if all(value is None or isinstance(value, dict) for value in values):
        parts = [value for value in values if value is not None]
        return _sum(parts) if parts else None
    numbers = [value for value in values if isinstance(value, int | float)]
    return sum(numbers) if numbers else values[-1]


async def _at_once(chunks: Sequence[bytes]) -> AsyncIterator[Sequence[bytes]]:
    yield chunks
