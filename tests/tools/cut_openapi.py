"""Cuts OpenAI's OpenAPI document to the schemas of chat completions, embeddings, models and errors.

    python tests/tools/cut_openapi.py openapi.json

The document is published under the MIT licence at https://github.com/openai/openai-openapi. The cut
keeps its ``info``, licence included, and the schemas as published, without their prose; it is what
tests/conformance/published.py reads.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

CUT = Path(__file__).parent.parent / "data" / "openai-openapi-chat.json"
_ROOTS = (
    "CreateChatCompletionRequest",
    "CreateChatCompletionResponse",
    "CreateChatCompletionStreamResponse",
    "CreateEmbeddingRequest",
    "CreateEmbeddingResponse",
    "ErrorResponse",
    "ListModelsResponse",
    "Model",
)
_PROSE = ("description", "title", "example", "examples", "summary")
_NAMED = ("properties", "$defs", "patternProperties")  # below these, a key is somebody's name
_NOTE = (
    "The schemas of chat completions, embeddings, models and errors, without their prose, cut from "
    "OpenAI's OpenAPI document by tests/tools/cut_openapi.py."
)


def cut(document: dict[str, Any]) -> dict[str, Any]:
    """Returns the document with nothing but the roots and what they refer to."""
    schemas = document["components"]["schemas"]
    wanted: dict[str, Any] = {}
    waiting = list(_ROOTS)
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted[name] = _without_prose(schemas[name])
            waiting += _references(wanted[name])
    return {
        "x-note": _NOTE,
        "x-source": "https://github.com/openai/openai-openapi",
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


if __name__ == "__main__":
    document = json.loads(Path(sys.argv[1]).read_text())
    CUT.write_text(json.dumps(cut(document), indent=1, ensure_ascii=False) + "\n")
