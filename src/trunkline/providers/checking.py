"""What a reply is asked to be in words, and whether it is: a tool call, a JSON document, one of some texts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from trunkline.config import Quirks
from trunkline.errors import InvalidRequest
from trunkline.providers.arguments import unfenced
from trunkline.providers.base import Call
from trunkline.providers.parameters import (
    FORMAT_WITH_TOOLS,
    JSON_OBJECT,
    JSON_SCHEMA,
    NAMED,
    REQUIRED,
    Support,
    has_tools,
)
from trunkline.providers.schema_check import SchemaCheck
from trunkline.providers.schemas import narrowed
from trunkline.wire.chat import (
    JSONSchemaFormat,
    decode_response_format,
    decode_tool_choice,
    decode_tools,
)

_Body = dict[str, Raw]
_encode = msgspec.json.encode
_decode = msgspec.json.Decoder().decode
_decode_raws = msgspec.json.Decoder(list[Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


class NotAsAsked(Exception):
    """A reply is not what was asked for.

    ``outcome`` says so for logs, ``correction`` to the model, and ``fields`` are what the next
    request says otherwise.
    """

    def __init__(
        self, outcome: str, correction: str, fields: Mapping[str, Raw] | None = None
    ) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.correction = correction
        self.fields = dict(fields or {})


class Check(Protocol):
    """Something that a reply must be. ``features`` are what it emulates."""

    @property
    def features(self) -> Collection[str]: ...

    def ask(self, body: _Body, /) -> None:
        """Asks for it in words, in place of the parameters that the provider does not take."""
        ...

    def right(self, message: dict[str, Any], /) -> None:
        """Raises NotAsAsked if the message is not so; may tidy it up."""
        ...


def checks_of(call: Call, wanted: Collection[str], support: Support, quirks: Quirks) -> list[Check]:
    """Returns what has to be checked in the reply, given the features that are to be emulated."""
    checks: list[Check] = []
    if REQUIRED in wanted or NAMED in wanted:
        checks.append(MustCall(call, [name for name in (REQUIRED, NAMED) if name in wanted]))
    if "guided_choice" in wanted:
        checks.append(OneOf(call))
    elif document := _document_check(call, wanted, support, quirks):
        checks.append(document)
    return checks


def _document_check(
    call: Call, wanted: Collection[str], support: Support, quirks: Quirks
) -> JSONDocument | None:
    body = call.body
    asked = [name for name in (JSON_OBJECT, JSON_SCHEMA, FORMAT_WITH_TOOLS) if name in wanted]
    if "guided_json" in body:
        format_ = JSONSchemaFormat(name="answer", schema=_decode(body["guided_json"]))
    elif "response_format" in body:
        found = decode_response_format(body["response_format"])
        if found is None:
            return None
        format_ = found
    else:
        return None
    if not asked and format_.strict and quirks.schema_rules:
        if narrowed(format_.schema, quirks.schema_rules) is not None:
            return None
        asked = [JSON_SCHEMA]
    if not asked:
        return None
    # A provider that only leaves `strict` away is still told of the schema in its own way.
    native = (
        asked == [JSON_SCHEMA] and not quirks.strict_schemas and JSON_OBJECT not in support.emulated
    )
    return JSONDocument(format_, asked, native=native, beside_tools=has_tools(body))


class MustCall:
    """One of the tools must be called, or the named one."""

    def __init__(self, call: Call, features: Collection[str]) -> None:
        self.features = features
        tools = decode_tools(call.body["tools"])
        allowed = decode_tool_choice(call.body["tool_choice"], tools).allowed
        self._names = [tool.function.name for tool in allowed]

    def ask(self, body: _Body) -> None:
        kept = [
            raw
            for raw in _decode_raws(body["tools"])
            if _decode(raw)["function"]["name"] in self._names
        ]
        body["tools"] = Raw(_encode(kept))
        del body["tool_choice"]
        _instruct(body, f"Do not answer in text: call {self._which()}.")

    def right(self, message: dict[str, Any]) -> None:
        calls = message.get("tool_calls") or []
        names = [call["function"]["name"] for call in calls]
        if not names or not set(names) <= set(self._names):
            raise NotAsAsked(
                "did not call a tool as asked",
                f"You have not called the tool. Do not answer in text: call {self._which()} now.",
            )

    def _which(self) -> str:
        if len(self._names) == 1:
            return f"the tool {self._names[0]}"
        return f"one of the tools {', '.join(self._names)}"


class JSONDocument:
    """The answer must be a JSON document that satisfies a schema; a tool call is no answer."""

    def __init__(
        self,
        wanted: JSONSchemaFormat,
        features: Collection[str],
        *,
        native: bool,
        beside_tools: bool,
    ) -> None:
        self.features = features
        self._wanted = wanted
        self._native = native
        self._beside_tools = beside_tools
        self._check = SchemaCheck(wanted.schema)

    def ask(self, body: _Body) -> None:
        if self._native:
            return
        body.pop("response_format", None)
        body.pop("guided_json", None)
        _instruct(body, self._instruction())

    def right(self, message: dict[str, Any]) -> None:
        if message.get("tool_calls"):
            return
        text = message.get("content")
        value = unfenced(text) if isinstance(text, str) else None
        problem = "it is not JSON" if value is None else self._check.problem(value)
        if problem is not None:
            raise NotAsAsked(
                "did not answer in the format asked for",
                f"That answer is not what was asked for: {problem}. {self._instruction()}",
            )
        if "```" in str(text):
            message["content"] = _encode(value).decode()

    def _instruction(self) -> str:
        when = "When you answer and call no tool, answer" if self._beside_tools else "Answer"
        how = f"{when} with one JSON document and nothing else, without a code fence"
        if self._wanted.schema == {"type": "object"}:
            return f"{how}. It must be an object."
        about = f" ({self._wanted.description})" if self._wanted.description else ""
        return f"{how}. It must satisfy this JSON schema{about}: {_encode(self._wanted.schema).decode()}"


class OneOf:
    """The answer must be one of some texts."""

    features = ("guided_choice",)

    def __init__(self, call: Call) -> None:
        choices = _decode(call.body["guided_choice"])
        if not isinstance(choices, list) or not all(isinstance(one, str) for one in choices):
            raise InvalidRequest("guided_choice must be a list of strings", param="guided_choice")
        if not choices:
            raise InvalidRequest(
                "guided_choice must hold at least one string", param="guided_choice"
            )
        self._choices: list[str] = choices

    def ask(self, body: _Body) -> None:
        del body["guided_choice"]
        _instruct(body, self._instruction())

    def right(self, message: dict[str, Any]) -> None:
        text = str(message.get("content") or "")
        if text in self._choices:
            return
        stripped = text.strip(" \t\n\"'`.")
        if stripped not in self._choices:
            raise NotAsAsked("did not answer with one of the choices", self._instruction())
        message["content"] = stripped

    def _instruction(self) -> str:
        return f"Answer with exactly one of these texts and nothing else: {_encode(self._choices).decode()}"


def _instruct(body: _Body, instruction: str) -> None:
    """Adds a sentence to the system message, or puts one before the others."""
    messages = _decode_raws(body["messages"])
    first = _decode_object(messages[0])
    if bytes(first.get("role", b"")) not in (b'"system"', b'"developer"'):
        head = Raw(_encode({"role": "system", "content": instruction}))
        body["messages"] = Raw(_encode([head, *messages]))
        return
    content = _decode(first.get("content", b'""'))
    if isinstance(content, list):
        content = [*content, {"type": "text", "text": instruction}]
    else:
        content = f"{content or ''}\n\n{instruction}".lstrip()
    first["content"] = Raw(_encode(content))
    body["messages"] = Raw(_encode([first, *messages[1:]]))
