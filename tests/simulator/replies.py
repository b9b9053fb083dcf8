"""What a well-behaved model would say: completions and chunks, as plain data."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from tests.simulator.schema import satisfying
from tests.simulator.script import Script

Json = dict[str, Any]

_HEAD = {"id": "chatcmpl-sim", "created": 1_760_000_000, "system_fingerprint": "fp_sim"}


def completion(request: Json, script: Script) -> Json:
    """Returns the chat completion that answers the request."""
    return {
        **_HEAD,
        "object": "chat.completion",
        "model": request["model"],
        "choices": [
            {
                "index": index,
                "message": (message := _message(request, script)),
                "finish_reason": _finish_reason(message),
                "logprobs": _logprobs(request, message["content"]),
            }
            for index in range(request.get("n") or 1)
        ],
        "usage": _usage(request, script),
    }


def chunks(request: Json, script: Script) -> Iterator[Json]:
    """Yields the chunks of the same completion as a stream."""

    def chunk(index: int, delta: Json, **more: Any) -> Json:
        choice = {"index": index, "delta": delta, "finish_reason": None, **more}
        return {**head, "choices": [choice]}

    head = {**_HEAD, "object": "chat.completion.chunk", "model": request["model"]}
    whole = completion(request, script)
    for choice in whole["choices"]:
        index, message = choice["index"], choice["message"]
        if script.role_chunk:
            yield chunk(index, {"role": "assistant", "content": ""})
        for word in _words(message.get(script.reasoning_field) or ""):
            yield chunk(index, {script.reasoning_field: word})
        for word in _words(message["content"] or ""):
            yield chunk(index, {"content": word}, logprobs=_logprobs(request, word))
        for number, call in enumerate(message.get("tool_calls") or []):
            name = {"name": call["function"]["name"], "arguments": ""}
            yield chunk(index, {"tool_calls": [{**call, "index": number, "function": name}]})
            for piece in _words(call["function"]["arguments"]):
                arguments = {"index": number, "function": {"arguments": piece}}
                yield chunk(index, {"tool_calls": [arguments]})
        yield chunk(index, {}) | {
            "choices": [{"index": index, "delta": {}, "finish_reason": choice["finish_reason"]}]
        }
    if script.usage and (request.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": whole["usage"]}


def embeddings(request: Json, script: Script) -> Json:
    """Returns a vector for each text: what it holds follows from the text alone."""
    texts = request["input"]
    if isinstance(texts, str) or isinstance(texts[0], int):
        texts = [texts]
    length = (script.takes_dimensions and request.get("dimensions")) or script.dimensions
    encoded = script.takes_encoding and request.get("encoding_format") == "base64"
    vectors = [vector(text, length) for text in texts]
    tokens = sum(len(_words(text)) if isinstance(text, str) else len(text) for text in texts)
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": i, "embedding": _packed(v) if encoded else v}
            for i, v in enumerate(vectors)
        ],
        "model": request["model"],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def vector(text: Any, length: int) -> list[float]:
    """Returns numbers that 32 bits hold exactly."""
    seed = zlib.crc32(repr(text).encode())
    return [((seed + 97 * place) % 256 - 128) / 256 for place in range(length)]


def _packed(numbers: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def _message(request: Json, script: Script) -> Json:
    message: Json = {"role": "assistant", "content": None, "refusal": None}
    if script.reasoning:
        message[script.reasoning_field] = script.reasoning
    if calls := _calls(request, script):
        made = sum(len(before.get("tool_calls") or []) for before in request["messages"])
        message["tool_calls"] = [
            {"id": f"call_sim{number or ''}", "type": "function", "function": call}
            for number, call in enumerate(calls, made)
        ]
    else:
        message["content"] = _content(request, script)
    return message


def _calls(request: Json, script: Script) -> list[Json]:
    if script.calls is not None:
        return [msgspec.to_builtins(call) for call in script.calls]
    return [
        {
            "name": tool["name"],
            "arguments": script.tool_arguments or _json(satisfying(tool.get("parameters") or {})),
        }
        for tool in _tools_to_call(request)
    ]


def _tools_to_call(request: Json) -> list[Json]:
    """The named tool, or the first; none once a tool has answered, so that a tool loop ends.

    All of them where the last message says "every tool", unless calls must not be parallel.
    """
    tools: list[Json] = [tool["function"] for tool in request.get("tools") or []]
    choice = request.get("tool_choice") or "auto"
    last = request["messages"][-1]
    if not tools or choice == "none":
        return []
    if isinstance(choice, dict):
        return [next(tool for tool in tools if tool["name"] == choice["function"]["name"])]
    if choice == "auto" and last["role"] == "tool":
        return []
    every = "every tool" in _text(last.get("content"))
    return tools if every and request.get("parallel_tool_calls") is not False else tools[:1]


def _content(request: Json, script: Script) -> str:
    if script.text is not None:
        return script.text
    if (schema := schema_wanted(request)) is not None:
        return _json(satisfying(schema))
    if (request.get("response_format") or {}).get("type") == "json_object":
        return "{}"
    effort = request.get("reasoning_effort")
    said = _text(request["messages"][-1].get("content"))
    return f"echo: {said}" + (f" [{effort}]" if effort else "")


def schema_wanted(request: Json) -> Json | None:
    """The schema of the answer, in whichever form it was asked for, words too; None if there is none."""
    wanted = request.get("response_format") or {}
    nested = wanted.get("json_schema") or {}
    forms = (nested.get("schema"), wanted.get("schema"), wanted.get("value"))
    told = _schema_in_words(request["messages"])
    return next((schema for schema in (*forms, request.get("guided_json"), told) if schema), None)


def _schema_in_words(messages: Sequence[Json]) -> Json | None:
    """The schema that stands in a message after these words, as whoever emulates schemas writes it."""
    for message in reversed(messages):
        _, found, rest = _text(message.get("content")).partition("JSON schema: ")
        if found:
            schema: Json = json.JSONDecoder().raw_decode(rest)[0]
            return schema
    return None


def _text(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(part.get("text", f"<{part['type']}>") for part in content)
    return content or ""


def _finish_reason(message: Json) -> str:
    return "tool_calls" if message.get("tool_calls") else "stop"


def _logprobs(request: Json, text: str | None) -> Json | None:
    if not request.get("logprobs") or not text:
        return None
    top = range(request.get("top_logprobs") or 0)
    return {
        "content": [
            _logprob(word) | {"top_logprobs": [_logprob(word) for _ in top]}
            for word in _words(text)
        ],
        "refusal": None,
    }


def _logprob(token: str) -> Json:
    return {"token": token, "logprob": -0.1, "bytes": list(token.encode())}


def _usage(request: Json, script: Script) -> Json:
    prompt = sum(len(_words(_text(message.get("content")))) for message in request["messages"])
    reasoning = len(_words(script.reasoning))
    answer = len(_words(_content(request, script)))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": reasoning + answer,
        "total_tokens": prompt + reasoning + answer,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+$", text)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
