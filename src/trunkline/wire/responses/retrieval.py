"""A response that was kept, as it is shown again.

What is kept holds all there is. What OpenAI's ``include`` names is shown only to those who ask for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec
from msgspec import Raw, Struct

from trunkline.wire.responses.requests import Include

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def put_together(body: bytes, items: Iterable[bytes], include: Collection[str]) -> bytes:
    """Returns a whole response as JSON, from its JSON without ``output`` and its items."""
    output = b",".join(shown(item, include) for item in items)
    return b'%b,"output":[%b]}' % (body[:-1], output)


class ItemList(Struct, kw_only=True):
    """A page of items; the ids are empty where the page is."""

    object: Literal["list"] = "list"
    data: list[Raw]
    first_id: str
    last_id: str
    has_more: bool


def listed(
    items: Sequence[tuple[str, bytes]], include: Collection[str], *, has_more: bool
) -> bytes:
    """Returns a page of items as JSON."""
    ids, bodies = zip(*items, strict=True) if items else ((), ())
    return _encode(
        ItemList(
            data=[Raw(shown(body, include)) for body in bodies],
            first_id=ids[0] if ids else "",
            last_id=ids[-1] if ids else "",
            has_more=has_more,
        )
    )


def shown(body: bytes, include: Collection[str]) -> bytes:
    """Returns an item as JSON without what only shows to those who ask for it."""
    hidden = [
        hide for name, (mark, hide) in _HIDDEN.items() if name not in include and mark in body
    ]
    if not hidden:
        return body
    item = _decode(body)
    for hide in hidden:
        hide(item)
    return _encode(item)


def _hide_logprobs(item: dict[str, Any]) -> None:
    for part in _parts(item, "output_text"):
        part["logprobs"] = []  # a required list


def _hide_images(item: dict[str, Any]) -> None:
    for part in _parts(item, "input_image"):
        part.pop("image_url", None)


def _hide_outputs(item: dict[str, Any]) -> None:
    if item.get("type") == "code_interpreter_call":
        item["outputs"] = None  # a required key


def _hide(kind: str, *path: str) -> Callable[[dict[str, Any]], None]:
    """Returns what takes a key away from items of one type."""

    def hide(item: dict[str, Any]) -> None:
        *way, key = path
        found: Any = item
        for step in way:
            found = found.get(step) if isinstance(found, dict) else None
        if item.get("type") == kind and isinstance(found, dict):
            found.pop(key, None)

    return hide


def _parts(item: dict[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    content = item.get("content")
    if item.get("type") != "message" or not isinstance(content, list):
        return
    for part in content:
        if isinstance(part, dict) and part.get("type") == kind:
            yield part


# By what is included: a text without which an item has no such thing, and what takes it away.
_HIDDEN: Mapping[Include, tuple[bytes, Callable[[dict[str, Any]], None]]] = {
    "file_search_call.results": (b'"results"', _hide("file_search_call", "results")),
    "web_search_call.results": (b'"results"', _hide("web_search_call", "results")),
    "web_search_call.action.sources": (b'"sources"', _hide("web_search_call", "action", "sources")),
    "message.input_image.image_url": (b'"image_url"', _hide_images),
    "computer_call_output.output.image_url": (
        b'"image_url"',
        _hide("computer_call_output", "output", "image_url"),
    ),
    "code_interpreter_call.outputs": (b'"outputs"', _hide_outputs),
    "reasoning.encrypted_content": (
        b'"encrypted_content"',
        _hide("reasoning", "encrypted_content"),
    ),
    "message.output_text.logprobs": (b'"logprobs"', _hide_logprobs),
}
assert _HIDDEN.keys() == set(get_args(Include))
