"""The two descriptions that an answer must fit: OpenAI's OpenAPI document, and our own.

What a description names must be as it says. OpenAI's may be silent about a field; ours may not, unless
a provider over HTTP has added it. The events of a response must also come in an order that makes sense.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator

from tests.conformance.recording import Exchange
from tests.serving import NANO

_DATA = Path(__file__).parents[1] / "data"
OPENAI = _DATA / "openai-openapi-chat.json"
OPENAI_RESPONSES = _DATA / "openai-openapi-responses.json"
OPEN_RESPONSES = _DATA / "open-responses-openapi.json"

Json = Any


class Answer(NamedTuple):
    """A JSON document of an answer, and what it claims to be: a chunk, an error, the event ``error``…"""

    kind: str
    document: Json


_OPENAI_NAMES = {
    "completion": "CreateChatCompletionResponse",
    "chunk": "CreateChatCompletionStreamResponse",
    "embeddings": "CreateEmbeddingResponse",
    "error": "ErrorResponse",
    "model": "Model",
    "models": "ListModelsResponse",
}
_KINDS = {
    ("POST", r"/v1/chat/completions", "application/json"): "completion",
    ("POST", r"/v1/chat/completions", "text/event-stream"): "chunk",
    ("POST", r"/v1/embeddings", "application/json"): "embeddings",
    ("POST", r"/v1/responses", "application/json"): "response",
    ("GET", r"/v1/responses/[^/]+", "application/json"): "response",
    ("DELETE", r"/v1/responses/[^/]+", "application/json"): "deletion",
    ("GET", r"/v1/responses/[^/]+/input_items", "application/json"): "items",
    ("GET", r"/v1/models", "application/json"): "models",
    ("GET", r"/v1/models/.+", "application/json"): "model",
    ("GET", r"/v1/requests/[^/]+", "application/json"): "receipt",
    ("GET", r"/health", "application/json"): "health",
}


class Descriptions:
    """Checks answers against OpenAI's document and against ``own``, our /openapi.json."""

    def __init__(self, own: Json) -> None:
        published = as_json_schema(json.loads(OPENAI.read_text()))
        self._openai = {kind: validator(published, name) for kind, name in _OPENAI_NAMES.items()}
        self._openai |= of_responses()
        self._own = {kind: validator(own, name) for kind, name in _own_names(own).items()}
        self._closed = {
            kind: validator(closed(own), name) for kind, name in _own_names(own).items()
        }

    def faults(self, exchange: Exchange) -> list[str]:
        """Returns what is wrong with an exchange, a sentence each."""
        read = list(answers(exchange))
        events = [answer for answer in read if answer.kind.startswith(EVENT)]
        unknown = [f"OpenAI knows no {one.kind}" for one in events if one.kind not in self._openai]
        if events and exchange.whole:
            unknown += disorder([event.document for event in events])
        return unknown + [
            fault
            for answer in read
            for whose, validators in (("OpenAI's", self._openai), ("our", self._own_for(answer)))
            if answer.kind in validators  # OpenAI knows neither receipts nor health
            for fault in _faults(answer, whose, validators)
        ]

    def _own_for(self, answer: Answer) -> dict[str, Draft202012Validator]:
        """A provider may add fields to its answers; what we say ourselves is described in full."""
        foreign = answer.kind in ("completion", "chunk") and answer.document.get("model") != NANO
        return self._own if foreign else self._closed


def _faults(
    answer: Answer, whose: str, validators: dict[str, Draft202012Validator]
) -> Iterator[str]:
    for error in validators[answer.kind].iter_errors(answer.document):
        yield f"{whose} {answer.kind}: {error.json_path}: {error.message[:500]}"


EVENT = "event "
"""What the kind of a response's event begins with; its type follows."""


def _mcp_error(type_: str, **properties: Json) -> Json:
    properties["type"] = {"type": "string", "enum": [type_]}
    return {"type": "object", "properties": properties, "required": list(properties)}


_CODED: Json = {"code": {"type": "integer"}, "message": {"type": "string"}}
_MCP_ERROR: Json = {
    "anyOf": [
        _mcp_error("mcp_tool_execution_error", content={"type": "array"}),
        _mcp_error("mcp_protocol_error", **_CODED),
        _mcp_error("http_error", **_CODED),
        {"type": "null"},
    ]
}


@functools.cache
def of_responses() -> dict[str, Draft202012Validator]:
    """Returns OpenAI's validators of a response, of the lists around it, and of each event."""
    document = json.loads(OPENAI_RESPONSES.read_text())
    union = document["components"]["schemas"]["ResponseStreamEvent"]["anyOf"]
    names = [one["$ref"].rpartition("/")[2] for one in union]
    # The document is behind its own SDKs, which have an object where it has a text.
    document["components"]["schemas"]["MCPToolCall"]["properties"]["error"] = _MCP_ERROR
    read = as_json_schema(document)
    return {
        "response": validator(read, "Response"),
        "items": validator(read, "ResponseItemList"),
        **_of_events(document, read, names),
    }


@functools.cache
def of_open_responses() -> dict[str, Draft202012Validator]:
    """Returns Open Responses' validators of a response and of each event."""
    document = json.loads(OPEN_RESPONSES.read_text())
    names = [name for name in document["components"]["schemas"] if name.endswith("StreamingEvent")]
    read = as_json_schema(document, extensible=True)
    return {
        "response": validator(read, "ResponseResource"),
        **_of_events(document, read, names),
    }


def _of_events(document: Json, read: Json, names: Sequence[str]) -> dict[str, Draft202012Validator]:
    schemas = document["components"]["schemas"]
    types = {schemas[name]["properties"]["type"]["enum"][0]: name for name in names}
    return {f"{EVENT}{type_}": validator(read, name) for type_, name in types.items()}


def disorder(events: Sequence[Json]) -> Iterator[str]:
    """Yields what is wrong with the order of a response's events, a sentence each."""
    numbers = [event["sequence_number"] for event in events]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        yield f"sequence numbers have gaps: {numbers}"
    if numbers[0] == 0 and events[0]["type"] != "response.created":
        yield f"the first event is {events[0]['type']}"
    if any(event["type"] in _LAST for event in events[:-1]):
        yield "an event follows the last"
    if events[-1]["type"] not in _LAST:
        yield f"the last event is {events[-1]['type']}"
    elif numbers[0] == 0:
        yield from _untold(events)


_LAST = ("response.completed", "response.incomplete", "response.failed")


def _untold(events: Sequence[Json]) -> Iterator[str]:
    """What a reader of the events alone would not have, or have otherwise, than the last one says."""
    begun = [event["item"]["id"] for event in events if event["type"] == f"{_ITEM}.added"]
    ended = [event for event in events if event["type"] == f"{_ITEM}.done"]
    done = [event["item"] for event in sorted(ended, key=lambda event: event["output_index"])]
    if begun != [item["id"] for item in done]:
        yield "the items that end are not those that began"
    if events[-1]["response"]["output"] != done:
        yield "the last event's output is not what the items were when they were done"
    deltas: dict[tuple[Any, ...], str] = {}
    wholes: dict[tuple[Any, ...], str] = {}
    for event in events:
        stem, _, end = event["type"].rpartition(".")
        key = (stem, *(event.get(name) for name in ("item_id", "content_index", "summary_index")))
        if end == "delta":
            deltas[key] = deltas.get(key, "") + event["delta"]
        elif end == "done" and (found := [event[name] for name in _WHOLES if name in event]):
            wholes[key] = found[0]
    for key in deltas.keys() | wholes.keys():
        if deltas.get(key, "") != wholes.get(key):
            yield f"the deltas of {key} add up to {deltas.get(key)!r}, not {wholes.get(key)!r}"


_ITEM = "response.output_item"
_WHOLES = ("text", "refusal", "arguments", "input")


def _own_names(own: Json) -> dict[str, str]:
    """Follows our document from its paths to the schemas, as a generated client would."""

    def name(path: str, method: str, status: str, media_type: str) -> str:
        content = own["paths"][path][method]["responses"][status]["content"]
        reference: str = content[media_type]["schema"]["$ref"]
        return reference.rpartition("/")[2]

    chat = "/v1/chat/completions"
    return {
        "completion": name(chat, "post", "200", "application/json"),
        "chunk": name(chat, "post", "200", "text/event-stream"),
        "error": name(chat, "post", "default", "application/json"),
        "embeddings": name("/v1/embeddings", "post", "200", "application/json"),
        "model": name("/v1/models/{id}", "get", "200", "application/json"),
        "models": name("/v1/models", "get", "200", "application/json"),
        "response": name("/v1/responses", "post", "200", "application/json"),
        "deletion": name("/v1/responses/{id}", "delete", "200", "application/json"),
        "items": name("/v1/responses/{id}/input_items", "get", "200", "application/json"),
        "receipt": name("/v1/requests/{id}", "get", "200", "application/json"),
        "health": name("/health", "get", "200", "application/json"),
    }


def validator(document: Json, name: str) -> Draft202012Validator:
    """Returns what validates against one of a document's component schemas."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return Draft202012Validator(schema)


def closed(schema: Json) -> Json:
    """Returns the schema without room for fields that it does not name."""
    if isinstance(schema, list):
        return [closed(element) for element in schema]
    if not isinstance(schema, dict):
        return schema
    read = {key: closed(value) for key, value in schema.items()}
    if "properties" in read and read.get("type") == "object":
        read.setdefault("additionalProperties", False)
    return read


def as_json_schema(document: Json, *, extensible: bool = False) -> Json:
    """Reads OpenAI's dialect of OpenAPI as JSON Schema.

    The document is of version 3.1 but still says ``nullable``, as 3.0 did; and its ``oneOf`` has
    branches that overlap, so that a literal reading refuses what the API itself answers. A union that
    is told apart by a ``type`` is read by it, so that a fault names the field and not the whole.
    ``extensible`` lets pass what an implementor has added to a union: types as in ``slug:type``.
    """
    return _Reading(document, extensible=extensible).read(document)


class _Reading:
    def __init__(self, document: Json, *, extensible: bool) -> None:
        self._schemas = document["components"]["schemas"]
        self._extensible = extensible

    def read(self, schema: Json) -> Json:
        if isinstance(schema, list):
            return [self.read(element) for element in schema]
        if not isinstance(schema, dict):
            return schema
        told_apart = self._told_apart(schema) if "discriminator" in schema else None
        read = told_apart or {
            "anyOf" if key == "oneOf" else key: self.read(value)
            for key, value in schema.items()
            if key not in ("nullable", "discriminator")
        }
        return {"anyOf": [read, {"type": "null"}]} if schema.get("nullable") is True else read

    def _told_apart(self, schema: Json) -> Json | None:
        branches: dict[str, list[Json]] = {}
        for branch in schema.get("oneOf") or schema.get("anyOf") or ():
            for kind in (types := self._types(branch)):
                branches.setdefault(kind, []).append(self.read(branch))
            if not types:
                return None
        known: Json = {"enum": sorted(branches)}
        if self._extensible:
            known = {"anyOf": [known, {"type": "string", "pattern": "^[a-z0-9_-]+:"}]}
        return {
            "type": "object",
            "required": ["type"],
            "properties": {"type": known},
            "allOf": [
                {
                    "if": {"properties": {"type": {"const": kind}}},
                    "then": some[0] if len(some) == 1 else {"anyOf": some},
                }
                for kind, some in branches.items()
            ],
        }

    def _types(self, schema: Json) -> list[str]:
        """Returns the values that ``type`` may have, none if that is not to be seen."""
        if "$ref" in schema:
            return self._types(self._schemas[schema["$ref"].rpartition("/")[2]])
        for part in schema.get("allOf", ()):
            if types := self._types(part):
                return types
        types = schema.get("properties", {}).get("type", {}).get("enum", [])
        return types if "type" in schema.get("required", ()) else []


def answers(exchange: Exchange) -> Iterator[Answer]:
    """Yields the documents of an exchange; of a stream its chunks, and the error that ended it.

    Raises AssertionError for a stream that is not framed as published: ``data:`` lines, one document
    each, and at the end ``[DONE]`` or an error event.
    """
    if exchange.media_type == "text/event-stream":
        yield from _streamed(exchange)
    elif exchange.whole:
        kind = "error" if exchange.status >= 400 else _kind(exchange)
        yield Answer(kind, json.loads(exchange.body))


def _streamed(exchange: Exchange) -> Iterator[Answer]:
    *events, rest = bytes(exchange.body).split(b"\n\n")
    assert not (exchange.whole and rest), f"the stream ends within an event: {rest!r}"
    of_response = exchange.path.startswith("/v1/responses")
    ended = False
    for name, data in _events(events):
        assert not ended, f"an event after the end: {data!r}"
        if data == b"[DONE]":
            ended = True
        elif of_response:
            document = json.loads(data)
            assert name == document["type"].encode(), f"{name!r} names {data!r}"
            yield Answer(f"{EVENT}{document['type']}", document)
        elif name == b"error":
            ended = True
            yield Answer("error", json.loads(data))
        else:
            yield Answer(_kind(exchange), json.loads(data))
    assert ended or not exchange.whole, "the stream ends without [DONE] or an error"


def _events(events: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yields the name, empty for most, and the data of each event; comments are left out."""
    for event in events:
        fields = dict(re.findall(rb"^(event|data): (.*)$", event, re.MULTILINE))
        if fields:
            yield fields.get(b"event", b""), fields[b"data"]


def _kind(exchange: Exchange) -> str:
    for (method, path, media_type), kind in _KINDS.items():
        if (method, media_type) == (exchange.method, exchange.media_type) and re.fullmatch(
            path, exchange.path
        ):
            return kind
    raise AssertionError(f"nothing describes {exchange.method} {exchange.path}")
