"""Cuts OpenAI's OpenAPI document to the schemas of what we answer: one file for chat and the like, one for responses.

    python tests/tools/cut_openapi.py openapi.json

The document is published under the MIT licence at https://github.com/openai/openai-openapi. The cuts
keep its ``info``, licence included, and the schemas as published, without their prose; they are what
tests/conformance/published.py reads.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent.parent / "data"
CUTS = {
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
_PROSE = ("description", "title", "example", "examples", "summary")
_NAMED = ("properties", "$defs", "patternProperties")  # below these, a key is somebody's name
_NOTE = (
    "The schemas of {roots} and what they refer to, without their prose, cut from OpenAI's OpenAPI "
    "document by tests/tools/cut_openapi.py."
)


def cut(document: dict[str, Any], roots: Sequence[str]) -> dict[str, Any]:
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
        "x-note": _NOTE.format(roots=", ".join(roots)),
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
    for name, roots in CUTS.items():
        text = json.dumps(cut(document, roots), indent=1, ensure_ascii=False)
        (DATA / name).write_text(f"{text}\n")
