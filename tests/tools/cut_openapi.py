"""Cuts the published OpenAPI documents to the schemas of what we answer.

    python tests/tools/cut_openapi.py openai-openapi.json open-responses-openapi.json

OpenAI's document, cut to one file for chat and the like and one for responses, is published under the
MIT licence at https://github.com/openai/openai-openapi, Open Responses' under the Apache licence 2.0 at
https://github.com/openresponses/openresponses. The cuts keep ``info``, licence included, and the
schemas as published, without their prose; they are what tests/conformance/published.py reads.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent.parent / "data"
OPENAI = {
    "openai-openapi-chat.json": (
        "CreateChatCompletionRequest",
        "CreateChatCompletionResponse",
        "CreateChatCompletionStreamResponse",
        "CreateEmbeddingRequest",
        "CreateEmbeddingResponse",
        "ErrorResponse",
        "ListModelsResponse",
        "Model",
    ),
    "openai-openapi-responses.json": (
        "CreateResponse",
        "Response",
        "ResponseItemList",
        "ResponseStreamEvent",
    ),
}
OPEN_RESPONSES = "open-responses-openapi.json"
_PROSE = ("description", "title", "example", "examples", "summary")
_NAMED = ("properties", "$defs", "patternProperties")  # below these, a key is somebody's name
_NOTE = (
    "The schemas of {roots} and what they refer to, without their prose, cut from {whose} OpenAPI "
    "document by tests/tools/cut_openapi.py."
)


def cut(
    document: dict[str, Any], roots: Sequence[str], *, whose: str, source: str
) -> dict[str, Any]:
    """Returns the document with nothing but the roots and what they refer to."""
    schemas = document["components"]["schemas"]
    wanted: dict[str, Any] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted[name] = _without_prose(schemas[name])
            waiting += _references(wanted[name])
    return {
        "x-note": _NOTE.format(roots=", ".join(roots), whose=whose),
        "x-source": source,
        "openapi": document["openapi"],
        "info": document["info"],
        "components": {"schemas": dict(sorted(wanted.items()))},
    }


def _without_prose(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_prose(element) for element in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: _without_prose(one) for name, one in value.items()}
        if key in _NAMED
        else _without_prose(value)
        for key, value in schema.items()
        if key not in _PROSE and not key.startswith("x-")
    }


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [name for element in schema for name in _references(element)]
    if not isinstance(schema, dict):
        return []
    here = [schema["$ref"].rpartition("/")[2]] if isinstance(schema.get("$ref"), str) else []
    return here + [name for value in schema.values() for name in _references(value)]


def roots_of(open_responses: dict[str, Any]) -> list[str]:
    """Returns the schemas of a response and of its events, of which that document names no union."""
    answers = open_responses["paths"]["/responses"]["post"]["responses"]["200"]["content"]
    return _references([answers[kind] for kind in ("application/json", "text/event-stream")])


def _write(name: str, document: dict[str, Any]) -> None:
    (DATA / name).write_text(f"{json.dumps(document, indent=1, ensure_ascii=False)}\n")


if __name__ == "__main__":
    openai, open_responses = (json.loads(Path(path).read_text()) for path in sys.argv[1:])
    source = "https://github.com/openai/openai-openapi"
    for name, roots in OPENAI.items():
        _write(name, cut(openai, roots, whose="OpenAI's", source=source))
    source = "https://github.com/openresponses/openresponses"
    events = roots_of(open_responses)
    _write(OPEN_RESPONSES, cut(open_responses, events, whose="Open Responses'", source=source))
