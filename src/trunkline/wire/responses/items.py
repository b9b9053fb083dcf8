"""Input items: each with its path in errors, and as it is kept.

Whatever a response puts out may come back in here unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from trunkline import ids
from trunkline.errors import InvalidRequest
from trunkline.wire.invalid import translated

MAX_ITEMS = 100_000


class InputPart(Struct, kw_only=True):
    """A part of a message's content, or of a call's output."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None


class Message(Struct, kw_only=True):
    """A message; the easy form has no ``type``, and a string for its content."""

    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[InputPart]


class FunctionCallItem(Struct, kw_only=True):
    """``function_call``."""

    call_id: Annotated[str, Meta(min_length=1)]
    name: Annotated[str, Meta(min_length=1)]
    arguments: str
    namespace: str | None = None


class CallOutputItem(Struct, kw_only=True):
    """``function_call_output`` and its like."""

    call_id: Annotated[str, Meta(min_length=1)]
    output: str | list[InputPart]


class ReasoningPart(Struct, kw_only=True):
    """A part of a reasoning item."""

    text: str = ""


class ReasoningInput(Struct, kw_only=True):
    """``reasoning``."""

    content: list[ReasoningPart] | None = None
    summary: list[ReasoningPart] | None = None
    encrypted_content: str | None = None


class ItemReference(Struct, kw_only=True):
    """``item_reference``: an item that is kept already."""

    id: Annotated[str, Meta(min_length=1)]


Meaning = Message | FunctionCallItem | CallOutputItem | ReasoningInput | ItemReference
"""What an item tells the model; whatever else there is, is kept and not told."""

_MEANINGS: Mapping[str, type[Meaning]] = {
    "message": Message,
    "function_call": FunctionCallItem,
    "function_call_output": CallOutputItem,
    "reasoning": ReasoningInput,
    "item_reference": ItemReference,
}
_decoders = {kind: msgspec.json.Decoder(kind).decode for kind in set(_MEANINGS.values())}

_PREFIXES: Mapping[str, str] = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
}


class Item(Struct, frozen=True, kw_only=True):
    """An item as it is kept: ``body`` is its JSON, with the ``id``; ``meaning`` is None if it has none."""

    id: str
    type: str
    body: bytes
    meaning: Meaning | None


_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


class _Head(Struct):
    type: str | None = None
    id: str | UnsetType | None = UNSET
    role: str | None = None


_decode_head = msgspec.json.Decoder(_Head).decode


def decode_input(raw: Raw) -> list[Item]:
    """Decodes ``input``: a text, or a list of items.

    Raises InvalidRequest with the path, as in ``input[3].content[0].type``.
    """
    if not raw:
        return []
    text = bytes(raw)
    if text.startswith(b'"'):
        content = msgspec.json.decode(text)
        return [decode_item(Raw(_encode({"role": "user", "content": content})), at="input")]
    if not text.startswith(b"["):
        raise InvalidRequest(
            "input must be a string or a list of items", code="invalid_type", param="input"
        )
    items = _decode_list(text)
    if len(items) > MAX_ITEMS:
        raise InvalidRequest(f"input has more than {MAX_ITEMS} items", param="input")
    return [decode_item(item, at=f"input[{place}]") for place, item in enumerate(items)]


def decode_item(raw: Raw, *, at: str) -> Item:
    """Decodes one item that a caller sent; ``at`` is its path."""
    try:
        head = _decode_head(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise translated(error, of=_Head, at=at) from error
    kind = head.type or ("message" if head.role else "")
    if not kind:
        raise InvalidRequest(
            f"missing '{at}.type'", code="missing_required_parameter", param=f"{at}.type"
        )
    meaning = _meaning(kind, raw, at=at)
    identifier = head.id or ids.new_id(_PREFIXES.get(kind, "item"))
    body = _kept(raw, kind, identifier, meaning)
    return Item(id=identifier, type=kind, body=body, meaning=meaning)


def kept_item(body: bytes) -> Item:
    """Reads an item that was kept before."""
    head = _decode_head(body)
    kind = head.type or "message"
    return Item(
        id=head.id or "", type=kind, body=body, meaning=_meaning(kind, Raw(body), at="item")
    )


def _meaning(kind: str, raw: Raw, *, at: str) -> Meaning | None:
    found = _MEANINGS.get(kind)
    if found is None:
        return None
    try:
        return _decoders[found](raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise translated(error, of=found, at=at) from error


def _kept(raw: Raw, kind: str, identifier: str, meaning: Meaning | None) -> bytes:
    fields: dict[str, Any] = {"type": kind, "id": identifier}
    fields |= {k: v for k, v in _decode_fields(raw).items() if k not in fields}
    if isinstance(meaning, Message):
        fields.setdefault("status", "completed")
        if isinstance(meaning.content, str):
            said = "output_text" if meaning.role == "assistant" else "input_text"
            part: dict[str, Any] = {"type": said, "text": meaning.content}
            if said == "output_text":
                part |= {"annotations": [], "logprobs": []}
            fields["content"] = [part]
    return _encode(fields)
