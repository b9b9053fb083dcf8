"""The first tool call of each answer alone, for a caller who wants no others beside it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.encode


async def first_calls(
    chunks: AsyncIterator[Sequence[bytes]], *, stream: bool
) -> AsyncGenerator[Sequence[bytes], None]:
    """Yields a reply's chunks, or its completion, without the calls after the first."""
    holder = "delta" if stream else "message"
    async for some in chunks:
        if kept := [one for document in some if (one := _kept(document, holder)) is not None]:
            yield kept


def _kept(document: bytes, holder: str) -> bytes | None:
    if b'"tool_calls"' not in document:
        return document
    fields = _decode(document)
    inner = [choice[holder] for choice in fields["choices"] if choice.get(holder)]
    cut = [_cut(one) for one in inner]
    if not any(cut):
        return document
    return _encode(fields) if any(map(_says_something, fields["choices"])) else None


def _cut(inner: dict[str, Any]) -> bool:
    calls = inner.get("tool_calls") or []
    first = [call for place, call in enumerate(calls) if call.get("index", place) == 0]
    if len(first) == len(calls):
        return False
    inner["tool_calls"] = first
    if not first:
        del inner["tool_calls"]
    return True


def _says_something(choice: dict[str, Any]) -> bool:
    return bool(choice.get("delta") or choice.get("message") or choice.get("finish_reason"))
