"""Input items: each with its path in errors, and as it is kept.

Whatever a response puts out may come back in here unchanged, and with keys that a client added.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from trunkline import ids
from trunkline.errors import InvalidRequest
from trunkline.wire.invalid import translated
from trunkline.wire.responses import client_tools
from trunkline.wire.responses.parts import TYPES, OutputPart, Part, check_part

MAX_ITEMS = 20_000
OPENAI = "openai:"
"""What Open Responses puts before the types that are OpenAI's own."""

_MAX_ID = 512

_Id = Annotated[str, Meta(min_length=1, max_length=_MAX_ID)]


class Message(Struct, kw_only=True):
    """A message; the easy form has no ``type``, and a string for its content."""

    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Part]


class FunctionCallItem(Struct, kw_only=True):
    """``function_call``."""

    call_id: _Id
    name: Annotated[str, Meta(min_length=1, max_length=256)]
    arguments: str
    namespace: str | None = None
    status: str | None = None


class CallOutputItem(Struct, kw_only=True):
    """``function_call_output``, and that of a custom tool."""

    call_id: _Id
    output: str | list[OutputPart]


class ClientCall(Struct, kw_only=True):
    """A call that the caller runs and that has a form of its own; as the function that it was."""

    call_id: str
    name: str
    arguments: str
    status: str | None = None


class ClientOutput(Struct, kw_only=True):
    """The output of such a call, as the model reads it."""

    call_id: str
    output: str


class MCPCallItem(Struct, kw_only=True):
    """``mcp_call``: a call that was run at the router, or at OpenAI, and what came of it.

    ``error`` is an object, or a text where the SDKs are older.
    """

    server_label: Annotated[str, Meta(max_length=256)]
    name: Annotated[str, Meta(min_length=1, max_length=256)]
    arguments: str
    output: str | None = None
    error: str | dict[str, Any] | None = None

    @property
    def told(self) -> str | None:
        """What the model reads; None if nothing came of it."""
        match self.error:
            case None:
                return self.output
            case str(words) | {"message": str(words)}:
                return f"the tool failed: {words}"
            case {"content": list(blocks)}:
                texts = [block.get("text") for block in blocks if isinstance(block, dict)]
                words = "\n".join(text for text in texts if isinstance(text, str))
                return f"the tool failed: {words}"
            case _:
                return "the tool failed"


class ReasoningPart(Struct, kw_only=True):
    """A part of a reasoning item."""

    text: str = ""


class ReasoningInput(Struct, kw_only=True):
    """``reasoning``: as text, sealed, or empty."""

    content: list[ReasoningPart] | None = None
    summary: list[ReasoningPart] | None = None
    encrypted_content: str | None = None


class ItemReference(Struct, kw_only=True):
    """``item_reference``: an item that is kept already."""

    id: _Id


Meaning = (
    Message
    | FunctionCallItem
    | CallOutputItem
    | ClientCall
    | ClientOutput
    | MCPCallItem
    | ReasoningInput
    | ItemReference
)
"""What an item tells the model; whatever else there is, is kept and not told."""

_MEANINGS: Mapping[str, type[Meaning]] = {
    "message": Message,
    "function_call": FunctionCallItem,
    "function_call_output": CallOutputItem,
    "custom_tool_call": ClientCall,
    "custom_tool_call_output": CallOutputItem,
    "local_shell_call": ClientCall,
    "local_shell_call_output": ClientOutput,
    "shell_call": ClientCall,
    "shell_call_output": ClientOutput,
    "apply_patch_call": ClientCall,
    "apply_patch_call_output": ClientOutput,
    "tool_search_call": ClientCall,
    "tool_search_output": ClientOutput,
    "mcp_call": MCPCallItem,
    "reasoning": ReasoningInput,
    "item_reference": ItemReference,
}
_decoders: Mapping[type[Meaning], Any] = {
    kind: msgspec.json.Decoder(kind).decode for kind in set(_MEANINGS.values())
}

KEPT = frozenset(
    {
        *("mcp_list_tools", "mcp_approval_request", "mcp_approval_response"),
        *("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call"),
        *("computer_call", "computer_call_output", "program", "program_output"),
        *("additional_tools", "compaction", "compaction_trigger", "configuration_update"),
    }
)
"""Published types that are kept as they are and of which the model is told nothing."""

TYPES_OF_ITEMS = frozenset({*_MEANINGS, *KEPT})
"""Every published type."""

_PREFIXES: Mapping[str, str] = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
}


class Item(Struct, frozen=True, kw_only=True):
    """An item as it is kept: ``body`` is its JSON, with the ``id``; ``meaning`` is None if it has none.

    ``at`` is its path in the request, "" if it came before.
    """

    id: str
    type: str
    body: bytes
    meaning: Meaning | None
    at: str = ""


_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_parts = msgspec.json.Decoder(list[dict[str, Raw]]).decode
_check_json = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

_Refused = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


class _Head(Struct):
    type: str | None = None
    id: Annotated[str, Meta(max_length=_MAX_ID)] | UnsetType | None = UNSET
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
        easy = b'{"role":"user","content":%b}' % text
        return [decode_item(Raw(easy), at="input")]
    if not text.startswith(b"["):
        raise InvalidRequest(
            "input: must be a string or a list of items", code="invalid_type", param="input"
        )
    items = _decode_list(text)
    if len(items) > MAX_ITEMS:
        raise InvalidRequest(
            f"input: has {len(items)} items; there may be {MAX_ITEMS}", param="input"
        )
    decoded = [decode_item(item, at=f"input[{place}]") for place, item in enumerate(items)]
    _check_ids(decoded)
    return decoded


def decode_item(raw: Raw, *, at: str) -> Item:
    """Decodes one item that a caller sent; ``at`` is its path."""
    try:
        head = _decode_head(raw)
    except _Refused as error:
        raise translated(error, of=_Head, at=at) from error
    if head.id and not head.id.isprintable():
        # Not every database could keep it.
        raise InvalidRequest(f"{at}.id: must be made of printable characters", param=f"{at}.id")
    kind = (head.type or _untyped(head)).removeprefix(OPENAI)
    if not kind:
        raise InvalidRequest(
            f"missing '{at}.type'", code="missing_required_parameter", param=f"{at}.type"
        )
    if kind not in TYPES_OF_ITEMS:
        raise _unknown_type(kind, f"{at}.type")
    meaning = _meaning(kind, raw, at=at)
    _check_parts(meaning, at)
    identifier = head.id or ids.new_id(_PREFIXES.get(kind, "item"))
    body = _kept(raw, kind, identifier, meaning)
    return Item(id=identifier, type=kind, body=body, meaning=meaning, at=at)


def kept_item(body: bytes, *, at: str = "") -> Item:
    """Reads an item that was kept before; ``at`` is the path of what refers to it."""
    head = _decode_head(body)
    kind = head.type or "message"
    meaning = _meaning(kind, Raw(body), at=at or "item")
    return Item(id=head.id or "", type=kind, body=body, meaning=meaning, at=at)


def added_tools(items: Iterable[Item]) -> list[tuple[str, Raw]]:
    """Returns the lists of tools that stand among the items, each with its path."""
    found = []
    for item in items:
        if item.type in ("additional_tools", "tool_search_output"):
            tools = _decode_fields(item.body).get("tools")
            if tools is not None and bytes(tools) != b"null":
                found.append((f"{item.at}.tools" if item.at else "previous_response_id", tools))
    return found


def _untyped(head: _Head) -> str:
    """What an item without a type is: an easy message, or the shortest form of a reference."""
    if head.role is not None:
        return "message"
    return "item_reference" if head.id else ""


def _unknown_type(kind: str, param: str) -> InvalidRequest:
    shown = kind[:80]
    near = difflib.get_close_matches(shown, sorted(TYPES_OF_ITEMS), n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return InvalidRequest(f"{param}: unknown type '{shown}'{hint}", param=param)


def _meaning(kind: str, raw: Raw, *, at: str) -> Meaning | None:
    found = _MEANINGS.get(kind)
    try:
        if found is None:
            _check_json(raw)
            return None
        if found is ClientCall or found is ClientOutput:
            return _of_client(kind, raw, at=at)
        meaning: Meaning = _decoders[found](raw)
    except _Refused as error:
        refused = translated(error, of=found, at=at)
        raise _with_types(refused) from error
    return meaning


def _of_client(kind: str, raw: Raw, *, at: str) -> ClientCall | ClientOutput | None:
    """Reads a call that has a form of its own, or its output; None for a search that ran at OpenAI."""
    head, body = _decode_client_head(raw), bytes(raw)
    # Some clients of `local_shell` name the call that an output is of by ``id``.
    call_id = head.call_id or (head.id if kind == "local_shell_call_output" else None)
    if call_id is None:
        if kind in _SEARCHES:
            return None
        param = f"{at}.call_id"
        raise InvalidRequest(f"missing '{param}'", code="missing_required_parameter", param=param)
    if kind.endswith("_call"):
        name, arguments = client_tools.chat_call(kind, body)
        return ClientCall(call_id=call_id, name=name, arguments=arguments, status=head.status)
    return ClientOutput(call_id=call_id, output=client_tools.chat_output(kind, body))


_SEARCHES = frozenset({"tool_search_call", "tool_search_output"})


class _ClientHead(Struct):
    call_id: _Id | None = None
    id: str | None = None
    status: str | None = None


_decode_client_head = msgspec.json.Decoder(_ClientHead).decode


def _with_types(error: InvalidRequest) -> InvalidRequest:
    """Names the types that a part may have."""
    param = error.param or ""
    if error.code != "invalid_value" or not param.endswith("].type"):
        return error
    return InvalidRequest(f"{param}: must be {TYPES}", param=param)


def _check_parts(meaning: Meaning | None, at: str) -> None:
    match meaning:
        case Message(role=role, content=list() as parts):
            for place, part in enumerate(parts):
                check_part(part, at=f"{at}.content[{place}]", images=role == "user")
        case CallOutputItem(output=list() as parts):
            for place, part in enumerate(parts):
                check_part(part, at=f"{at}.output[{place}]", images=True)
        case _:
            return


def _check_ids(items: Sequence[Item]) -> None:
    if len({item.id for item in items}) == len(items):
        return
    seen: dict[str, int] = {}
    for place, item in enumerate(items):
        before = seen.setdefault(item.id, place)
        if before != place:
            raise InvalidRequest(
                f"input[{place}].id: input[{before}] has this id already",
                param=f"input[{place}].id",
            )


# ------------------------------------------------------------------------------------ as it is kept

_OPTIONAL = frozenset({"message", "reasoning", "function_call", "function_call_output"})
"""Types of which no key that is published may be null: absent is what was meant."""

_COMPLETED = {"status": "completed"}
_SEARCHED: Mapping[str, Any] = {"call_id": None, "execution": "server", **_COMPLETED}
_PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    "message": _COMPLETED,
    "reasoning": {"summary": []},
    "function_call": _COMPLETED,
    "function_call_output": _COMPLETED,
    "custom_tool_call": _COMPLETED,
    "custom_tool_call_output": _COMPLETED,
    "shell_call": {"environment": None, **_COMPLETED},
    "shell_call_output": {"max_output_length": None, **_COMPLETED},
    "computer_call_output": _COMPLETED,
    "tool_search_call": _SEARCHED,
    "tool_search_output": _SEARCHED,
}
"""Keys that a caller may leave out, and readers of a list of items may rely on."""
_OF_COMMANDS: Mapping[str, Any] = {"timeout_ms": None, "max_output_length": None}


def _kept(raw: Raw, kind: str, identifier: str, meaning: Meaning | None) -> bytes:
    """Returns the item with what is published to be there, and otherwise as it was sent."""
    fields: dict[str, Any] = {"type": kind, "id": identifier}
    for name, value in _decode_fields(raw).items():
        left_out = bytes(value) == b"null" and (kind in _OPTIONAL or name == "status")
        if name not in fields and not left_out:
            fields[name] = value
    for name, value in _PUBLISHED.get(kind, {}).items():
        fields.setdefault(name, value)
    if isinstance(meaning, Message):
        fields["content"] = _kept_content(meaning, fields["content"])
    if kind == "shell_call" and bytes(fields.get("action", b"")).startswith(b"{"):
        fields["action"] = {**_OF_COMMANDS, **_decode_fields(fields["action"])}
    return _encode(fields)


def _kept_content(message: Message, content: Raw) -> Any:
    said = message.role == "assistant"
    if isinstance(message.content, str):
        part: dict[str, Any] = {"type": "output_text" if said else "input_text", "text": content}
        return [{**part, **_OF_SAID} if said else part]
    if not said and b'"input_image"' not in bytes(content):
        return content
    return [_kept_part(part, said=said) for part in _decode_parts(content)]


_OF_SAID: Mapping[str, Any] = {"annotations": [], "logprobs": []}


def _kept_part(part: dict[str, Raw], *, said: bool) -> dict[str, Any]:
    match bytes(part["type"]):
        case b'"output_text"' | b'"input_text"' | b'"text"' if said:
            missing = {name: value for name, value in _OF_SAID.items() if name not in part}
            return {**part, "type": "output_text", **missing}
        case b'"input_image"' if bytes(part.get("detail", b"null")) == b"null":
            return {**part, "detail": "auto"}
        case _:
            return dict(part)
