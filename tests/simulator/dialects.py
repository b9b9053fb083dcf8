"""How providers deviate from a well-behaved answer, and what they refuse: one line each, as data.

Sources are those of ``providers/providers.toml`` and the documents of the servers themselves: Cerebras
answers errors without an envelope, OpenRouter sends comments and its own ``reasoning_details``, Groq
wraps its usage twice, SGLang spells out every null, and so on. What a provider is known to refuse is
refused here in its own shape, so that a translation that is missing shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from tests.simulator.script import Script

Json = dict[str, Any]
Rule = Callable[[Json], tuple[str, str] | None]
"""Looks at a request; returns what it refuses as (message, parameter)."""


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """One provider's way of answering; the defaults are OpenAI's."""

    path: str = "/v1"
    reasoning: Literal["reasoning", "reasoning_content", "inline", "both", "parts"] = "reasoning"
    details: bool = False
    """OpenRouter's ``reasoning_details`` beside the reasoning."""
    head: Json = {}
    """Further fields of the completion and of each chunk."""
    nulls: Json = {}
    """Fields that each delta and message spells out."""
    role_always: bool = False
    """The role stands in each delta."""
    whole_calls: bool = False
    """A tool call comes in one chunk, with its arguments."""
    usage: Literal["alone", "with_finish", "with_choice", "x_groq", "every"] = "alone"
    comments: bool = False
    enforces_schemas: bool = True
    """Or it takes ``response_format`` and does not keep to it."""
    error: Callable[[int, str, str | None], Any] = lambda status, message, param: {
        "error": {
            "message": message,
            "type": _kind(status),
            "param": param,
            "code": None,
        }
    }
    rules: tuple[Rule, ...] = ()

    def refusal(self, request: Json) -> tuple[str, str] | None:
        """Returns what of a request this provider does not take."""
        return next((found for rule in self.rules if (found := rule(request))), None)

    def heard(self, request: Json) -> Json:
        """Returns what of a request is understood."""
        if self.enforces_schemas:
            return request
        return {name: value for name, value in request.items() if name != "response_format"}

    def refused(self, refusal: tuple[str, str]) -> Script:
        message, param = refusal
        return Script(status=400, body=_json(self.error(400, message, param)))

    def failed(self, script: Script) -> Script:
        """Gives an error status its body in this dialect."""
        body = _json(self.error(script.status, f"simulated {script.status}", None))
        return msgspec.structs.replace(script, body=body)

    def spoken(self, script: Script, model: str) -> Script:
        """Gives a script what of a dialect it can say itself."""
        changes: Json = {"comments": True} if self.comments else {}
        if self.reasoning == "inline" and "gpt-oss" not in model:
            changes["reasoning"] = ""  # other models do not reason there
        if self.reasoning == "reasoning_content":
            changes["reasoning_field"] = "reasoning_content"
        return msgspec.structs.replace(script, **changes) if changes else script

    def completion(self, completion: Json, script: Script) -> Json:
        choices = [
            {**choice, "message": self._message(choice["message"], script)}
            for choice in completion["choices"]
        ]
        return {**completion, **self.head, "choices": choices}

    def chunks(self, chunks: Iterable[Json], script: Script) -> Iterator[Json]:
        whole = [chunk | self.head for chunk in self._calls_joined(chunks)]
        usage = next((chunk["usage"] for chunk in whole if chunk.get("usage")), None)
        opened = False
        for chunk in whole:
            if not chunk["choices"]:
                yield from self._usage_at_the_end(chunk)
                continue
            (choice,) = chunk["choices"]
            delta = self._delta(choice["delta"], script)
            if self.reasoning == "inline" and script.reasoning:
                delta, opened = _inline(delta, script.reasoning_field, opened)
            out = {**chunk, "choices": [{**choice, "delta": delta}]}
            if choice["finish_reason"] and usage and self.usage == "with_finish":
                out["usage"] = usage
            if choice["finish_reason"] and usage and self.usage == "x_groq":
                out["x_groq"] = {"id": "req_sim", "usage": usage}
            if self.usage == "every" and usage:
                out["usage"] = usage
            yield out

    def _usage_at_the_end(self, chunk: Json) -> Iterator[Json]:
        if self.usage == "with_choice":
            delta = {"role": "assistant", "content": ""}
            choice = {"index": 0, "delta": delta, "finish_reason": None}
            yield {**chunk, "choices": [choice]}
        elif self.usage != "with_finish":
            yield chunk

    def _message(self, message: Json, script: Script) -> Json:
        thought = message.get(script.reasoning_field)
        if self.reasoning == "inline" and thought:
            message = {k: v for k, v in message.items() if k != script.reasoning_field}
            message["content"] = f"<reasoning>{thought}</reasoning>{message['content'] or ''}"
        if self.reasoning == "both" and thought:
            message = {**message, "reasoning": thought, "reasoning_content": thought}
        if self.reasoning == "parts" and thought:
            message = {k: v for k, v in message.items() if k != script.reasoning_field}
            said = [{"type": "text", "text": message["content"]}] if message["content"] else []
            message["content"] = [_part(thought), *said]
        if self.details and thought:
            message = {**message, "reasoning_details": [_detail(thought)]}
        return {**self.nulls, **message}

    def _delta(self, delta: Json, script: Script) -> Json:
        thought = delta.get(script.reasoning_field)
        if self.reasoning == "both" and thought:
            delta = {**delta, "reasoning": thought, "reasoning_content": thought}
        if self.reasoning == "parts" and thought:
            delta = {k: v for k, v in delta.items() if k != script.reasoning_field}
            delta["content"] = [_part(thought)]
        if self.details and thought:
            delta = {**delta, "content": "", "reasoning_details": [_detail(thought)]}
        if self.role_always:
            delta = {"role": "assistant", "content": "", **delta}
        return {**self.nulls, **delta}

    def _calls_joined(self, chunks: Iterable[Json]) -> Iterator[Json]:
        """Puts the pieces of each tool call into the chunk that begins it."""
        if not self.whole_calls:
            yield from chunks
            return
        waiting: Json | None = None
        for chunk in chunks:
            calls = chunk["choices"] and chunk["choices"][0]["delta"].get("tool_calls")
            if calls and "id" not in calls[0] and waiting:
                function = waiting["choices"][0]["delta"]["tool_calls"][0]["function"]
                function["arguments"] += calls[0]["function"]["arguments"]
                continue
            if waiting:
                yield waiting
            waiting = chunk if calls else None
            if not calls:
                yield chunk


def _inline(delta: Json, field: str, opened: bool) -> tuple[Json, bool]:
    """Writes a piece of reasoning into the content, and closes it before the first of the answer."""
    rest = {name: value for name, value in delta.items() if name != field}
    if thought := delta.get(field):
        return {**rest, "content": thought if opened else f"<reasoning>{thought}"}, True
    if opened and rest.get("content"):
        return {**rest, "content": f"</reasoning>{rest['content']}"}, False
    return rest, opened


def _part(thought: str) -> Json:
    return {"type": "reasoning", "summary": [{"type": "summary_text", "text": thought}]}


def _detail(thought: str) -> Json:
    return {"type": "reasoning.text", "text": thought, "format": "unknown", "index": 0}


def _kind(status: int) -> str:
    return "invalid_request_error" if status < 500 else "server_error"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# ------------------------------------------------------------------------------------ what is refused


def _without(*names: str) -> Rule:
    def rule(request: Json) -> tuple[str, str] | None:
        given = next((name for name in names if request.get(name) is not None), None)
        return (f"property '{given}' is unsupported", given) if given else None

    return rule


def _efforts(*taken: str) -> Rule:
    def rule(request: Json) -> tuple[str, str] | None:
        effort = request.get("reasoning_effort")
        if effort is None or effort in taken:
            return None
        return f"reasoning_effort must be one of {', '.join(taken)}", "reasoning_effort"

    return rule


def _tool_choices(*taken: str) -> Rule:
    def rule(request: Json) -> tuple[str, str] | None:
        choice = request.get("tool_choice")
        if choice is None or choice in taken:
            return None
        return f"tool_choice must be one of {', '.join(taken)}", "tool_choice"

    return rule


def _messages_without(*names: str) -> Rule:
    def rule(request: Json) -> tuple[str, str] | None:
        for number, message in enumerate(request["messages"]):
            for name in names:
                if name in message:
                    return f"'messages.{number}' : property '{name}' is unsupported", "messages"
        return None

    return rule


def _strings(*roles: str) -> Rule:
    def rule(request: Json) -> tuple[str, str] | None:
        for number, message in enumerate(request["messages"]):
            if message["role"] in roles and isinstance(message.get("content"), list):
                return f"messages.{number}.content: expected a string", "messages"
        return None

    return rule


def _no_nulls(request: Json) -> tuple[str, str] | None:
    for number, message in enumerate(request["messages"]):
        if None in message.values() and "tool_calls" not in message:
            return f"'messages.{number}' : no field may be null", "messages"
    return None


def _no_schema_with_tools(request: Json) -> tuple[str, str] | None:
    if request.get("tools") and request.get("response_format"):
        return "json mode cannot be combined with tool calling", "response_format"
    return None


def _results_follow_calls(request: Json) -> tuple[str, str] | None:
    """A result stands right behind a message that calls, and answers its one call."""
    messages = request["messages"]
    for number, message in enumerate(messages):
        if message["role"] == "tool" and not messages[number - 1].get("tool_calls"):
            return "a tool message must directly follow a message with tool_calls", "messages"
    return None


def _plain_tools(request: Json) -> tuple[str, str] | None:
    for number, tool in enumerate(request.get("tools") or ()):
        if "strict" in tool["function"]:
            where = f"tools[{number}].function.strict"
            return f"Extra inputs are not permitted, field: '{where}'", "tools"
    return None


def _sees_nothing(request: Json) -> tuple[str, str] | None:
    if "gpt-oss" not in request["model"]:
        return None
    for message in request["messages"]:
        if isinstance(message.get("content"), list) and any(
            part["type"] == "image_url" for part in message["content"]
        ):
            return "this model does not support image input", "messages"
    return None


# ------------------------------------------------------------------------------- who answers how


def _openai(**more: Any) -> Callable[[int, str, str | None], Any]:
    def error(status: int, message: str, param: str | None) -> Any:
        fault = {"message": message, "type": _kind(status), "param": param, "code": None}
        return {"error": fault | more}

    return error


def _flat(status: int, message: str, param: str | None) -> Any:
    code = "wrong_api_format" if status == 400 else "request_quota_exceeded"
    return {"message": message, "type": _kind(status), "param": param, "code": code}


def _fastapi(status: int, message: str, param: str | None) -> Any:
    if param is None:
        return {"detail": message}
    return {"detail": [{"loc": ["body", param], "msg": message, "type": "value_error"}]}


def _vllm(status: int, message: str, param: str | None) -> Any:
    kind = "BadRequestError" if status < 500 else "InternalServerError"
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


def _sglang(status: int, message: str, param: str | None) -> Any:
    fault: Json = _vllm(status, message, param)["error"]
    return {"object": "error", **fault}


_VLLM_HEAD: Json = {"prompt_logprobs": None, "kv_transfer_params": None, "service_tier": None}
_VLLM = Dialect(reasoning="reasoning_content", error=_vllm, head=_VLLM_HEAD, rules=(_sees_nothing,))

PLAIN = Dialect()
"""OpenAI's own, for what is not a question of dialects."""

DIALECTS: Mapping[str, Dialect] = {
    "cerebras": Dialect(
        head={"time_info": {"queue_time": 0.001, "total_time": 0.2, "created": 1_760_000_000.5}},
        whole_calls=True,
        usage="with_finish",
        error=_flat,
        rules=(
            _without(
                "frequency_penalty",
                "presence_penalty",
                "logit_bias",
                "parallel_tool_calls",
                "service_tier",
            ),
            _efforts("low", "medium", "high"),
            _tool_choices("auto", "none"),
            _messages_without("reasoning_content", "reasoning"),
            _sees_nothing,
        ),
    ),
    "fireworks-ai": Dialect(
        path="/inference/v1",
        reasoning="reasoning_content",
        usage="with_finish",
        error=lambda status, message, param: {
            "error": {"object": "error", "type": _kind(status), "message": message}
        },
        rules=(_no_schema_with_tools, _plain_tools, _sees_nothing),
    ),
    "groq": Dialect(
        path="/openai/v1",
        whole_calls=True,
        usage="x_groq",
        head={"service_tier": "on_demand"},
        error=lambda status, message, param: {"error": {"message": message, "type": _kind(status)}},
        rules=(
            _messages_without("reasoning_content"),
            _no_nulls,
            _no_schema_with_tools,
            _without("logprobs", "top_logprobs", "logit_bias", "reasoning"),
            _efforts("low", "medium", "high"),
            _sees_nothing,
        ),
    ),
    "together": Dialect(
        usage="with_finish",
        head={"prompt": []},
        error=_openai(),
        rules=(_efforts("low", "medium", "high"), _sees_nothing),
    ),
    "deepinfra": Dialect(
        path="/v1/openai",
        reasoning="reasoning_content",
        role_always=True,
        error=_fastapi,
        rules=(_tool_choices("auto", "none"), _strings("tool"), _sees_nothing),
    ),
    "novita": Dialect(
        path="/v3/openai",
        reasoning="reasoning_content",
        error=lambda status, message, param: {
            "code": status,
            "reason": "INVALID_REQUEST_BODY",
            "message": message,
            "metadata": {},
        },
        rules=(_sees_nothing,),
    ),
    "nscale": _VLLM,
    "ovhcloud": _VLLM,
    "scaleway": _VLLM,
    "baseten": _VLLM,
    "hyperbolic": _VLLM,
    "wandb": _VLLM,
    "nebius": _VLLM,
    "sambanova": Dialect(
        usage="with_finish",
        error=_openai(),
        rules=(_strings("user", "system", "assistant", "tool"), _sees_nothing),
    ),
    "openrouter": Dialect(
        path="/api/v1",
        details=True,
        role_always=True,
        comments=True,
        usage="with_choice",
        head={"provider": "Simulated"},
        error=lambda status, message, param: {
            "error": {"message": message, "code": status, "metadata": {"provider_name": "Sim"}},
            "user_id": "user_sim",
        },
        rules=(_sees_nothing,),
    ),
    "databricks": Dialect(
        path="/serving-endpoints",
        reasoning="parts",
        error=lambda status, message, param: {"error_code": "BAD_REQUEST", "message": message},
        rules=(_results_follow_calls, _sees_nothing),
    ),
    "bedrock": Dialect(
        path="/openai/v1",
        reasoning="inline",
        enforces_schemas=False,
        error=_openai(code="validation_error"),
        rules=(_without("logit_bias"), _sees_nothing),
    ),
    "bedrock-mantle": Dialect(error=_openai(code="validation_error"), rules=(_sees_nothing,)),
    "cloudflare": Dialect(
        path="/client/v4/accounts/sim/ai/v1",
        error=lambda status, message, param: {
            "errors": [{"code": 5007, "message": message}],
            "success": False,
            "result": {},
            "messages": [],
        },
        rules=(_sees_nothing,),
    ),
    "vertex": Dialect(
        path="/v1/projects/sim/locations/sim/endpoints/openapi",
        reasoning="reasoning_content",
        error=lambda status, message, param: [
            {"error": {"code": status, "message": message, "status": "INVALID_ARGUMENT"}}
        ],
        rules=(_sees_nothing,),
    ),
    "huggingface": Dialect(
        error=lambda status, message, param: {"error": message},
        rules=(_sees_nothing,),
    ),
    "ollama": Dialect(
        role_always=True,
        whole_calls=True,
        error=lambda status, message, param: {
            "error": {"message": message, "type": "api_error", "param": None, "code": None}
        },
        rules=(_sees_nothing,),
    ),
    "lm-studio": Dialect(
        error=lambda status, message, param: {"error": message}, rules=(_sees_nothing,)
    ),
    "vllm": msgspec.structs.replace(_VLLM, usage="every"),
    "sglang": Dialect(
        reasoning="reasoning_content",
        nulls={"role": None, "content": None, "reasoning_content": None, "tool_calls": None},
        error=_sglang,
        rules=(_sees_nothing,),
    ),
    "llama-cpp": Dialect(
        reasoning="reasoning_content",
        head={"timings": {"prompt_n": 1, "predicted_per_second": 100.0}},
        error=lambda status, message, param: {
            "error": {"code": status, "message": message, "type": _kind(status)}
        },
        rules=(_sees_nothing,),
    ),
}
"""By the provider's name in the catalogue, or as a server of one's own is called."""
