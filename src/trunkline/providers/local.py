"""The embedded engine as a provider: a chat request in, chat chunks out, harmony in between."""

from __future__ import annotations

import asyncio
import datetime
import re
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from trunkline.engine.client import Completion, EngineClient, TokenLogprob
from trunkline.engine.grammar import (
    MAX_BYTES,
    check_grammar,
    choice_grammar,
    json_grammar,
    regex_grammar,
)
from trunkline.engine.model import ModelCard
from trunkline.errors import InvalidRequest
from trunkline.ids import new_id, now
from trunkline.providers.base import Call, ReasoningFields, Reply
from trunkline.providers.parameters import FEATURES, engine_support, features_of
from trunkline.providers.request import leave_out
from trunkline.providers.turn import Rules, Spoken, Turn
from trunkline.wire import chat, harmony
from trunkline.wire.invalid import translated

_EFFORTS: Mapping[str, harmony.Effort] = {
    "none": "low",  # for what must be thought all the same
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}

_SUPPORT = engine_support()
_MAKES_NO_DIFFERENCE = frozenset(
    [name for name, one in chat.PARAMETERS.items() if one.engine is chat.Fate.IGNORED]
)

_TOKEN_ID = re.compile(r"\d{1,9}", re.ASCII)


def today() -> datetime.date:
    """Returns the date that the system message names."""
    return now().date()


class LocalModels:
    """Answers chat calls on the engine that runs the model of the call; one engine a model."""

    def __init__(self, models: Mapping[str, LocalProvider]) -> None:
        self._models = models

    def open(self, call: Call, /) -> AbstractAsyncContextManager[Reply]:
        """As ``LocalProvider.open``."""
        return self._models[call.model].open(call)


class LocalProvider:
    """Answers chat calls on one engine."""

    def __init__(
        self,
        *,
        client: EngineClient,
        card: ModelCard,
        reasoning_fields: ReasoningFields = "both",
        today: Callable[[], datetime.date] = today,
    ) -> None:
        self._client = client
        self._card = card
        self._reasoning_fields = reasoning_fields
        self._today = today

    @asynccontextmanager
    async def open(self, call: Call, /) -> AsyncIterator[Reply]:
        """Enters with the first chunk, or with the whole answer.

        Raises InvalidRequest for what the engine cannot serve, EngineOverloaded, EngineUnavailable,
        and UpstreamError if the engine fails.
        """
        body, ignored = _served(call)
        job = await _read_job(body, self._card)
        prompt = harmony.render(
            job.messages,
            date=self._today().isoformat(),
            effort=_EFFORTS[job.effort],
            tools=job.tools,
            response_formats=job.formats,
            persona=harmony.Persona(
                identity=job.identity or self._card.identity,
                knowledge_cutoff=self._card.knowledge_cutoff,
                channel_required=self._card.channel_rule,
            ),
        )
        async with self._client.slot(job.choices):
            endpoint = await self._client.wait_ready()
            turns = [
                Turn(
                    self._client,
                    prompt=prompt,
                    markers=endpoint.markers,
                    sampling=job.sampling_of(choice),
                    rules=job.rules,
                    stop=job.stop,
                )
                for choice in range(job.choices)
            ]
            async with _together(turns) as batches:
                first = await anext(batches)
                chunks = _Writer(job, self._card.name, self._reasoning_fields).chunks(
                    turns, first, batches
                )
                if call.stream:
                    async with aclosing(_encoded(chunks)) as encoded:
                        yield Reply(encoded, ignored=ignored)
                else:
                    whole = chat.fold([chunk async for some in chunks for chunk in some])
                    yield Reply(_one(chat.encode(whole)), ignored=ignored)


# ------------------------------------------------------------------------------------- the request


class _Job(msgspec.Struct, frozen=True, kw_only=True):
    """A request as the engine serves it."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    formats: list[harmony.ResponseFormat]
    effort: str
    identity: str | None
    sampling: Completion
    rules: Rules
    stop: list[str]
    choices: int
    top_logprobs: int | None
    show_reasoning: bool

    def sampling_of(self, choice: int) -> Completion:
        if self.sampling.seed is None:
            return self.sampling
        return msgspec.structs.replace(self.sampling, seed=self.sampling.seed + choice)


class _TemplateSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``chat_template_kwargs``, as servers of gpt-oss take them."""

    reasoning_effort: chat.Effort | None = None
    enable_thinking: bool | None = None
    model_identity: str | None = None


def _served(call: Call) -> tuple[dict[str, Raw], Collection[str]]:
    """Returns what is asked of the engine, and the names of what is left out.

    That is what makes no difference, and for a ``lenient`` caller what is refused otherwise.
    """
    body = dict(call.body)
    features = features_of(body)
    without = features & _MAKES_NO_DIFFERENCE
    if call.lenient:
        without |= {name for name in features & _SUPPORT.refused if FEATURES[name].droppable}
    return body, sorted({leave_out(body, name) for name in without})


async def _read_job(body: Mapping[str, Raw], card: ModelCard) -> _Job:
    _refuse_unsupported(body)
    parameters = msgspec.json.decode(chat.encode(body), type=chat.ChatParameters)
    if parameters.top_logprobs and not parameters.logprobs:
        raise InvalidRequest("top_logprobs needs logprobs: true", param="top_logprobs")
    template = _TemplateSettings()
    if raw := parameters.chat_template_kwargs:
        template = _json(raw, _TemplateSettings, "chat_template_kwargs")
    chat.decode_messages(parameters.messages)
    tools = chat.decode_tools(parameters.tools)
    choice = chat.decode_tool_choice(parameters.tool_choice, tools)
    effort = _effort(parameters, template)
    answer = await _answer(parameters, card)
    return _Job(
        messages=msgspec.json.decode(parameters.messages),
        tools=msgspec.to_builtins(choice.allowed),
        formats=answer.formats,
        effort=effort,
        identity=template.model_identity,
        sampling=_sampling(parameters, card),
        rules=Rules(
            tools=await _argument_grammars(tools, choice, card),
            must_call=choice.required,
            answer=answer.grammar,
            think=effort != "none",
        ),
        stop=_strings(parameters.stop),
        choices=parameters.n or 1,
        top_logprobs=(parameters.top_logprobs or 0) if parameters.logprobs else None,
        show_reasoning=not (parameters.reasoning and parameters.reasoning.exclude),
    )


def _refuse_unsupported(fields: Mapping[str, Raw]) -> None:
    for name in fields:
        parameter = chat.PARAMETERS.get(name)
        if parameter is not None and parameter.engine is chat.Fate.REFUSED:
            raise InvalidRequest(
                f"the embedded engine does not serve '{name}': {parameter.note}",
                code="unsupported_parameter",
                param=name,
            )
    if (modalities := fields.get("modalities")) and msgspec.json.decode(modalities) != ["text"]:
        raise InvalidRequest(
            'modalities: the embedded engine serves ["text"] only',
            code="unsupported_parameter",
            param="modalities",
        )


def _effort(parameters: chat.ChatParameters, template: _TemplateSettings) -> str:
    reasoning = parameters.reasoning or chat.ReasoningOptions()
    if reasoning.max_tokens is not None:
        raise InvalidRequest(
            "reasoning.max_tokens: gpt-oss has efforts, not budgets; send reasoning.effort",
            code="unsupported_parameter",
            param="reasoning.max_tokens",
        )
    if reasoning.enabled is False or template.enable_thinking is False:
        return "none"
    return parameters.reasoning_effort or reasoning.effort or template.reasoning_effort or "medium"


class _Answer(msgspec.Struct, frozen=True):
    """What the final message must look like, and what of it the model is shown."""

    grammar: str | None = None
    formats: list[harmony.ResponseFormat] = []


async def _answer(parameters: chat.ChatParameters, card: ModelCard) -> _Answer:
    if parameters.guided_regex is not None:
        grammar = regex_grammar(parameters.guided_regex)
        return _Answer(await check_grammar(grammar, param="guided_regex"))
    if parameters.guided_choice:
        choices = _json(parameters.guided_choice, list[str], "guided_choice")
        if not choices:
            raise InvalidRequest(
                "guided_choice must hold at least one string", param="guided_choice"
            )
        grammar = choice_grammar(choices)
        return _Answer(await check_grammar(grammar, param="guided_choice"))
    if parameters.guided_json:
        schema = _json(parameters.guided_json, dict[str, Any], "guided_json")
        wanted = chat.JSONSchemaFormat(name="answer", schema=schema)
        return await _json_answer(wanted, card, param="guided_json")
    format_ = chat.decode_response_format(parameters.response_format)
    if format_ is None:
        return _Answer()
    return await _json_answer(format_, card, param="response_format.json_schema.schema")


async def _json_answer(wanted: chat.JSONSchemaFormat, card: ModelCard, *, param: str) -> _Answer:
    grammar = await _schema_grammar(wanted.schema, wanted.strict, card, param=param)
    shown = harmony.ResponseFormat(
        name=wanted.name, schema=wanted.schema, description=wanted.description
    )
    is_free = wanted.name == "json_object"
    return _Answer(grammar, formats=[] if is_free else [shown])


async def _argument_grammars(
    tools: Sequence[chat.Tool], choice: chat.ToolChoice, card: ModelCard
) -> dict[str, str]:
    grammars = {}
    for tool in choice.allowed:
        schema = tool.function.parameters or {"type": "object", "properties": {}}
        param = f"tools[{tools.index(tool)}].function.parameters"
        grammars[tool.function.name] = await _schema_grammar(
            schema, tool.function.strict, card, param=param
        )
    return grammars


async def _schema_grammar(
    schema: Mapping[str, Any], strict: bool | None, card: ModelCard, *, param: str
) -> str:
    if len(chat.encode(schema)) > MAX_BYTES:  # before anything is done with it on this thread
        raise InvalidRequest(f"{param}: larger than {MAX_BYTES} bytes", param=param)
    try:
        grammar = json_grammar(schema, strict=bool(strict), string_cap=card.string_cap)
    except RecursionError as error:
        raise InvalidRequest(f"{param}: nested too deeply", param=param) from error
    return await check_grammar(grammar, param=param)


def _sampling(parameters: chat.ChatParameters, card: ModelCard) -> Completion:
    limits = [
        limit
        for limit in (parameters.max_tokens, parameters.max_completion_tokens)
        if limit is not None
    ]
    return Completion(
        prompt=(),
        max_tokens=min(limits, default=card.max_tokens),
        temperature=_or(parameters.temperature, card.temperature),
        top_p=_or(parameters.top_p, 1.0),
        top_k=max(0, parameters.top_k or 0),
        min_p=_or(parameters.min_p, 0.0),
        seed=parameters.seed,
        presence_penalty=_or(parameters.presence_penalty, 0.0),
        frequency_penalty=_or(parameters.frequency_penalty, 0.0),
        repeat_penalty=_or(parameters.repetition_penalty, 1.0),
        logit_bias=_biases(parameters.logit_bias or {}),
        n_probs=max(1, parameters.top_logprobs or 0) if parameters.logprobs else 0,
    )


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _biases(given: Mapping[str, float]) -> dict[int, float]:
    for token in given:
        if not _TOKEN_ID.fullmatch(token):
            raise InvalidRequest(
                f"logit_bias: '{token[:40]}' must be a token id, such as '1234'", param="logit_bias"
            )
    return {int(token): bias for token, bias in given.items()}


def _strings(stop: str | list[str] | None) -> list[str]:
    return [stop] if isinstance(stop, str) else list(stop or ())


def _json(raw: Raw, type_: Any, name: str) -> Any:
    try:
        return msgspec.json.decode(raw, type=type_)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise translated(error, of=type_, at=name) from error


# -------------------------------------------------------------------------------------- the answer

_Batch = tuple[int, list[Spoken] | None]
"""A choice's number and what it says; None when it has ended."""


@asynccontextmanager
async def _together(turns: Sequence[Turn]) -> AsyncIterator[AsyncIterator[_Batch]]:
    """Runs the turns of one request side by side; leaving stops them."""
    if len(turns) == 1:
        async with aclosing(_alone(turns[0])) as batches:
            yield batches
        return
    queue: asyncio.Queue[_Batch | Exception] = asyncio.Queue()
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_pump(turn, n, queue)) for n, turn in enumerate(turns)]
        try:
            yield _drained(queue, len(turns))
        except Exception as error:  # noqa: BLE001  # raised below: a group would wrap it
            failure = error
        for task in tasks:
            task.cancel()
    if failure is not None:
        raise failure


async def _alone(turn: Turn) -> AsyncGenerator[_Batch, None]:
    async with aclosing(turn.run()) as batches:
        async for batch in batches:
            yield 0, batch
    yield 0, None


async def _pump(turn: Turn, number: int, queue: asyncio.Queue[_Batch | Exception]) -> None:
    try:
        async with aclosing(turn.run()) as batches:
            async for batch in batches:
                queue.put_nowait((number, batch))
        queue.put_nowait((number, None))
    except Exception as error:  # noqa: BLE001  # raised by the reader of the queue
        queue.put_nowait(error)


async def _drained(queue: asyncio.Queue[_Batch | Exception], running: int) -> AsyncIterator[_Batch]:
    while running:
        batch = await queue.get()
        if isinstance(batch, Exception):
            raise batch
        running -= batch[1] is None
        yield batch


class _Writer:
    """Writes what turns say as chat chunks."""

    def __init__(self, job: _Job, model: str, reasoning_fields: ReasoningFields) -> None:
        self._job = job
        self._model = model
        self._fields = reasoning_fields
        self._id = new_id("chatcmpl")
        self._created = int(time.time())

    async def chunks(
        self, turns: Sequence[Turn], first: _Batch, rest: AsyncIterator[_Batch]
    ) -> AsyncIterator[list[chat.Chunk]]:
        opened: set[int] = set()
        async for number, batch in _chained(first, rest):
            some = []
            if number not in opened:
                opened.add(number)
                some.append(self._chunk(number, chat.Delta(role="assistant", content="")))
            if batch is None:
                some.append(self._chunk(number, chat.Delta(), finish=turns[number].finish_reason))
            for spoken in batch or ():
                delta = self._delta(spoken.delta)
                if delta is not None:
                    some.append(self._chunk(number, delta, logprobs=self._logprobs(spoken)))
            if some:
                yield some
        yield [self._usage_chunk(turns)]

    def _chunk(
        self,
        choice: int,
        delta: chat.Delta,
        *,
        logprobs: chat.Logprobs | None = None,
        finish: str | None = None,
    ) -> chat.Chunk:
        piece = chat.ChunkChoice(index=choice, delta=delta, logprobs=logprobs, finish_reason=finish)
        return chat.Chunk(id=self._id, created=self._created, model=self._model, choices=[piece])

    def _delta(self, delta: harmony.Delta) -> chat.Delta | None:
        match delta:
            case harmony.Content(text):
                return chat.Delta(content=text)
            case harmony.Reasoning(text):
                if not self._job.show_reasoning:
                    return None
                return chat.Delta(
                    reasoning=text if self._fields != "reasoning_content" else UNSET,
                    reasoning_content=text if self._fields != "reasoning" else UNSET,
                )
            case harmony.CallStart(index, name):
                function = chat.FunctionDelta(name=name, arguments="")
                call = chat.ToolCallDelta(
                    index=index, id=new_id("call"), type="function", function=function
                )
                return chat.Delta(tool_calls=[call])
            case harmony.Arguments(index, text):
                function = chat.FunctionDelta(arguments=text)
                return chat.Delta(tool_calls=[chat.ToolCallDelta(index=index, function=function)])

    def _logprobs(self, spoken: Spoken) -> chat.Logprobs | None:
        alternatives = self._job.top_logprobs
        if alternatives is None or not isinstance(spoken.delta, harmony.Content):
            return None
        return chat.Logprobs(content=[_logprob(token, alternatives) for token in spoken.logprobs])

    def _usage_chunk(self, turns: Sequence[Turn]) -> chat.Chunk:
        prompt = turns[0].prompt_tokens
        completion = sum(turn.completion_tokens for turn in turns)
        usage = chat.Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,
            prompt_tokens_details=chat.PromptTokensDetails(cached_tokens=turns[0].cached_tokens),
            completion_tokens_details=chat.CompletionTokensDetails(
                reasoning_tokens=sum(turn.reasoning_tokens for turn in turns)
            ),
        )
        return chat.Chunk(
            id=self._id, created=self._created, model=self._model, choices=[], usage=usage
        )


def _logprob(token: TokenLogprob, alternatives: int) -> chat.TokenLogprob:
    return chat.TokenLogprob(
        token=token.token,
        logprob=token.logprob,
        bytes=token.bytes,
        top_logprobs=[
            chat.TopLogprob(token=other.token, logprob=other.logprob, bytes=other.bytes)
            for other in token.top_logprobs[:alternatives]
        ],
    )


async def _chained(first: _Batch, rest: AsyncIterator[_Batch]) -> AsyncIterator[_Batch]:
    yield first
    async for batch in rest:
        yield batch


async def _encoded(
    chunks: AsyncIterator[Iterable[chat.Chunk]],
) -> AsyncGenerator[list[bytes], None]:
    async for some in chunks:
        yield [chat.encode(chunk) for chunk in some]


async def _one(body: bytes) -> AsyncIterator[list[bytes]]:
    yield [body]
