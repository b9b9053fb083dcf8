"""``GET /openapi.json``: this API, described from the Structs that decode and encode it."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from trunkline import __version__
from trunkline.api.errors import ErrorEnvelope
from trunkline.api.exchange import exchange_of
from trunkline.api.health import Status
from trunkline.api.models import Model, ModelList
from trunkline.api.receipts import Receipt
from trunkline.api.send import send_json
from trunkline.api.stored_responses import DeletedResponse, ListQuery, RetrieveQuery
from trunkline.wire import chat, embeddings
from trunkline.wire.responses.requests import (
    PARAMETERS,
    ResponsesParameter,
    ResponsesParameters,
)
from trunkline.wire.responses.response import Response
from trunkline.wire.responses.retrieval import ItemList

_REF = "#/components/schemas/{name}"
_STRUCTS = (
    chat.Completion,
    chat.Chunk,
    embeddings.EmbeddingList,
    Model,
    ModelList,
    Receipt,
    Status,
    ErrorEnvelope,
    ItemList,
    DeletedResponse,
)
# Fields that ChatParameters carries undecoded, with the Struct that reads them when it must.
_CARRIED: dict[str, Any] = {
    "messages": list[chat.Message],
    "tools": list[chat.Tool],
    "tool_choice": chat.ToolChoiceParameter,
    "response_format": chat.ResponseFormat,
}


class OpenAPI:
    """Serves the description."""

    def __init__(self) -> None:
        self._body = msgspec.json.encode(description())

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        await send_json(send, exchange_of(scope), self._body)


def description() -> dict[str, Any]:
    """Returns the OpenAPI 3.1 document."""
    types = (
        _typed(chat.ChatParameters),
        _typed_texts(),
        _typed_response(),
        _typed(ResponsesParameters),
        *_STRUCTS,
        *_CARRIED.values(),
    )
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    parameters = components["ChatParameters"]
    carried = dict(zip(_CARRIED, schemas[-len(_CARRIED) :], strict=True))
    parameters["properties"] = {
        name: {
            **(parameters["properties"].get(name) or carried.get(name) or {}),
            "description": _note(parameter),
        }
        for name, parameter in chat.PARAMETERS.items()
    }
    components["Usage"]["properties"]["cost"] = {
        "type": "number",
        "description": "USD; in the last chunk of a stream, where the price is known",
    }
    wanted = components["EmbeddingParameters"]
    for name, note in embeddings.PARAMETERS.items():
        wanted["properties"].setdefault(name, {})["description"] = note
    wanted["additionalProperties"] = False
    responding = components["ResponsesParameters"]
    responding["properties"] = {
        name: {**(responding["properties"].get(name) or {}), "description": _fate(parameter)}
        for name, parameter in PARAMETERS.items()
    }
    responding["additionalProperties"] = False
    components["ResponseEvent"] = _EVENT
    parameters["required"] = ["model", "messages"]
    parameters["additionalProperties"] = False
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Trunkline",
            "version": __version__,
            "description": "One OpenAI-compatible endpoint in front of every provider.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"key": []}],
        "paths": _paths(),
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _typed(of: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Parameters, of which ``model`` is required, without what they carry undecoded."""
    typed = [f for f in msgspec.structs.fields(of) if f.type is not msgspec.Raw]
    fields = [(f.name, f.type, f.default) for f in typed if not f.required]
    return msgspec.defstruct(of.__name__, [("model", str), *fields], kw_only=True)


def _typed_texts() -> type[msgspec.Struct]:
    """EmbeddingParameters without the ``provider`` object, which it carries undecoded."""
    typed = msgspec.structs.fields(embeddings.EmbeddingParameters)
    fields: list[Any] = [(f.name, f.type) for f in typed if f.required]
    fields += [
        (f.name, f.type, None) for f in typed if not f.required and f.type is not msgspec.Raw
    ]
    return msgspec.defstruct("EmbeddingParameters", fields, kw_only=True)


def _typed_response() -> type[msgspec.Struct]:
    """Response without its defaults, of which some are undecoded JSON, as all but a few keys are there."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(Response):
        kind = list[dict[str, Any]] if field.name == "output" else field.type
        absent = field.default is msgspec.UNSET
        fields.append((field.name, kind, msgspec.UNSET) if absent else (field.name, kind))
    return msgspec.defstruct("Response", fields, kw_only=True)


def _query(of: type[msgspec.Struct]) -> list[dict[str, Any]]:
    """Returns the parameters of a query; lists as OpenAI's clients write them."""
    schema = msgspec.json.schema_components([of], ref_template=_REF)[1][of.__name__]
    return [
        {
            "name": f"{name}[]" if described.get("type") == "array" else name,
            "in": "query",
            "schema": described,
        }
        for name, described in schema["properties"].items()
    ]


def _note(parameter: chat.Parameter) -> str:
    fate = f"{parameter.engine} by the embedded engine"
    return f"{fate}: {parameter.note}" if parameter.note else fate


def _fate(parameter: ResponsesParameter) -> str:
    return f"{parameter.fate}: {parameter.note}" if parameter.note else str(parameter.fate)


_EVENT = {
    "title": "ResponseEvent",
    "type": "object",
    "properties": {
        "type": {"type": "string", "description": "as in response.output_text.delta"},
        "sequence_number": {"type": "integer", "minimum": 0},
    },
    "required": ["type", "sequence_number"],
}


def _paths() -> dict[str, Any]:
    identifier = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "/v1/chat/completions": {
            "post": {
                "operationId": "createChatCompletion",
                "summary": "Answers a conversation.",
                "requestBody": {"required": True, "content": _json("ChatParameters")},
                "parameters": [_STRICTNESS],
                "responses": {
                    "200": {
                        "description": "The completion, or a stream of chunks ended by [DONE].",
                        "content": {**_json("Completion"), "text/event-stream": _schema("Chunk")},
                    },
                    **_ERRORS,
                },
            }
        },
        "/v1/responses": {"post": _responding("createResponse", "Answers with items.")},
        "/v1/responses/{id}": {
            "get": {
                **_get("retrieveResponse", "Shows a response that was kept.", "Response"),
                "parameters": [identifier, *_query(RetrieveQuery)],
            },
            "delete": {
                **_get("deleteResponse", "Deletes a response and its items.", "DeletedResponse"),
                "parameters": [identifier],
            },
        },
        "/v1/responses/{id}/input_items": {
            "get": {
                **_get("listInputItems", "Lists a response's own input items.", "ItemList"),
                "parameters": [identifier, *_query(ListQuery)],
            }
        },
        "/v1/embeddings": {
            "post": {
                "operationId": "createEmbedding",
                "summary": "Turns texts into vectors.",
                "requestBody": {"required": True, "content": _json("EmbeddingParameters")},
                "parameters": [_STRICTNESS],
                "responses": {
                    "200": {
                        "description": "A vector for each text.",
                        "content": _json("EmbeddingList"),
                    },
                    **_ERRORS,
                },
            }
        },
        "/v1/models": {"get": _get("listModels", "Lists the models.", "ModelList")},
        "/v1/models/{id}": {
            "get": {
                **_get("retrieveModel", "Shows one model; the id may hold slashes.", "Model"),
                "parameters": [identifier],
            }
        },
        **_provider_paths(),
        "/v1/requests/{id}": {
            "get": {
                **_get("retrieveRequest", "Shows the receipt of one request.", "Receipt"),
                "parameters": [identifier],
            }
        },
        "/health": {"get": {**_get("health", "Tells whether it runs.", "Status"), "security": []}},
        "/metrics": {"get": _plain("metrics", "Figures in Prometheus' format.", "text/plain")},
        "/openapi.json": {
            "get": {
                **_plain("openapi", "This document.", "application/json"),
                "security": [],
            }
        },
    }


_STRICTNESS = {
    "name": "x-trunkline-params",
    "in": "header",
    "schema": {"enum": ["strict", "lenient"]},
}


_DIALECT = {
    "name": "x-responses-dialect",
    "in": "header",
    "schema": {"enum": ["openai", "open-responses"]},
}


def _responding(operation: str, summary: str, *named: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": operation,
        "summary": summary,
        "requestBody": {"required": True, "content": _json("ResponsesParameters")},
        "parameters": [*named, _STRICTNESS, _DIALECT],
        "responses": {
            "200": {
                "description": "The response, or a stream of events ended by [DONE].",
                "content": {**_json("Response"), "text/event-stream": _schema("ResponseEvent")},
            },
            **_ERRORS,
        },
    }


def _provider_paths() -> dict[str, Any]:
    """The paths of one provider; its answer lists models in its own way."""
    named = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in ("provider", "prefix")
    ]
    chat = {
        "operationId": "createProviderChatCompletion",
        "summary": "Answers a conversation at one provider, by its own id of the model.",
        "requestBody": {"required": True, "content": _json("ChatParameters")},
        "parameters": [*named, _STRICTNESS],
        "responses": {
            "200": {
                "description": "The completion, or a stream of chunks ended by [DONE].",
                "content": {**_json("Completion"), "text/event-stream": _schema("Chunk")},
            },
            **_ERRORS,
        },
    }
    embeddings = {
        "operationId": "createProviderEmbedding",
        "summary": "Turns texts into vectors at one provider, by its own id of the model.",
        "requestBody": {"required": True, "content": _json("EmbeddingParameters")},
        "parameters": [*named, _STRICTNESS],
        "responses": {
            "200": {"description": "A vector for each text.", "content": _json("EmbeddingList")},
            **_ERRORS,
        },
    }
    listed = _plain("listProviderModels", "What one provider lists.", "application/json")
    return {
        "/{provider}/{prefix}/chat/completions": {"post": chat},
        "/{provider}/{prefix}/responses": {
            "post": _responding(
                "createProviderResponse",
                "Answers with items at one provider, by its own id of the model.",
                *named,
            )
        },
        "/{provider}/{prefix}/embeddings": {"post": embeddings},
        "/{provider}/{prefix}/models": {"get": {**listed, "parameters": named}},
    }


def _schema(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": _REF.format(name=name)}}


def _json(name: str) -> dict[str, Any]:
    return {"application/json": _schema(name)}


_ERRORS = {"default": {"description": "What went wrong.", "content": _json("ErrorEnvelope")}}


def _get(operation: str, summary: str, answer: str) -> dict[str, Any]:
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {"200": {"description": summary, "content": _json(answer)}, **_ERRORS},
    }


def _plain(operation: str, summary: str, media_type: str) -> dict[str, Any]:
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {"200": {"description": summary, "content": {media_type: {}}}, **_ERRORS},
    }
