"""The body of a request, in the form that a provider of the OpenAI dialect takes.

What has to look at the reply as well does not belong here: see emulation.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from trunkline.config import Quirks
from trunkline.errors import InvalidRequest
from trunkline.providers.history import History
from trunkline.providers.parameters import (
    ALLOWED,
    BUDGET,
    EFFORTS,
    FEATURES,
    FORMAT_WITH_TOOLS,
    JSON_OBJECT,
    JSON_SCHEMA,
    NO_CALL,
    Support,
    effort_feature,
    features_of,
    support_of,
)
from trunkline.providers.schemas import formatted
from trunkline.wire.chat import (
    decode_response_format,
    decode_tool_choice,
    decode_tools,
)

EARLIER_REASONING = "messages: reasoning"
"""Reasoning of earlier turns was left out: the name of an emulation beside the features."""

_OURS = ("provider",)  # fields that speak to the router, not to the model
_LIMITS = ("max_tokens", "max_completion_tokens")
_FORMATS = frozenset({JSON_OBJECT, JSON_SCHEMA})

_Body = dict[str, Raw]
_encode = msgspec.json.encode
_decode = msgspec.json.Decoder().decode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_objects = msgspec.json.Decoder(list[dict[str, Raw]]).decode


class Prepared(NamedTuple):
    """A body as it is sent; what is done in another way than asked, and what was left out, by name."""

    body: _Body
    emulations: frozenset[str] = frozenset()
    ignored: tuple[str, ...] = ()


class RequestForm:
    """Writes requests as a provider with these quirks takes them; whatever it takes keeps its bytes."""

    def __init__(self, quirks: Quirks) -> None:
        self._quirks = quirks
        self._support = support_of(quirks)
        self._history = History(quirks)
        self._limit = quirks.max_tokens_name or _other_limit(quirks.unsupported)
        self._own_schemas = bool(quirks.schema_form or quirks.schema_rules)
        self._touched = {"reasoning", "tool_choice"} | set(quirks.unsupported)
        if self._limit:
            self._touched.update(_LIMITS)
        if self._history:
            self._touched.add("messages")
        if not quirks.strict_tools:
            self._touched.add("tools")
        if self._own_schemas or not quirks.strict_schemas:
            self._touched.add("response_format")

    def prepared(
        self, fields: Mapping[str, Raw], *, support: Support | None = None, lenient: bool = False
    ) -> Prepared:
        """Returns the body for a deployment of which ``support`` is known.

        Raises InvalidRequest that names the parameter, if the deployment lacks it and cannot do
        without; a ``lenient`` caller has it left out.
        """
        body = {name: raw for name, raw in fields.items() if name not in _OURS}
        support = support or self._support
        if self._touched.isdisjoint(body) and support.parameters.isdisjoint(body):
            return Prepared(body)
        wanted = features_of(body)
        left_out = wanted & support.refused
        _check(left_out, lenient=lenient)
        left_out |= wanted & support.ignored
        ignored = tuple(sorted({leave_out(body, name) for name in left_out}))
        emulations = set(wanted & support.emulated)
        if _calls_nothing(wanted, support):
            emulations.add(NO_CALL)
            _drop(body, "tools", "tool_choice")
        self._rewrite(body, wanted, support)
        if self._history and self._rewrite_history(body):
            emulations.add(EARLIER_REASONING)
        for name in self._quirks.unsupported:
            body.pop(name, None)  # what is still there asks for nothing
        return Prepared(body, frozenset(emulations), ignored)

    def _rewrite(self, body: _Body, wanted: frozenset[str], support: Support) -> None:
        if "reasoning" in wanted and not self._quirks.reasoning_object:
            _unfold_reasoning(body)
        if support.efforts is not None:
            _fit_effort(body, support)
        if self._limit:
            _name_limit(body, self._limit)
        if ALLOWED in wanted and ALLOWED in support.renamed:
            _keep_allowed(body)
        if "tool_choice" in body and self._quirks.required_name != "required":
            _name_required(body, self._quirks.required_name)
        if "tools" in body and not self._quirks.strict_tools:
            body["tools"] = _without_strict(body["tools"])
        if "guided_json" in wanted and "guided_json" in support.renamed:
            body["response_format"] = _as_format(body.pop("guided_json"))
        if "response_format" in body and (self._own_schemas or not self._quirks.strict_schemas):
            self._rewrite_format(body)

    def _rewrite_format(self, body: _Body) -> None:
        if b'"json_schema"' in bytes(body["response_format"]):
            wanted = decode_response_format(body["response_format"])
            if wanted is not None:
                del body["response_format"]
                body.update(formatted(wanted, self._quirks))

    def _rewrite_history(self, body: _Body) -> bool:
        """Rewrites the messages; returns whether earlier reasoning was lost."""
        before = body.get("messages")
        if before is None:
            return False
        body["messages"] = after = self._history.rewritten(before)
        return b'"reasoning' in bytes(before) and b'"reasoning' not in bytes(after)


def leave_out(body: _Body, feature: str) -> str:
    """Leaves out what asks for a feature; returns the name of what that was."""
    if feature == BUDGET:
        options = _decode(body["reasoning"])
        del options["max_tokens"]
        body["reasoning"] = Raw(_encode(options))
        return feature
    parameter = FEATURES[feature].parameter
    body.pop(parameter, None)
    return parameter


def _calls_nothing(wanted: frozenset[str], support: Support) -> bool:
    """Whether tools that must not be called have to be left out, for themselves or beside a format."""
    if NO_CALL not in wanted:
        return False
    beside = FORMAT_WITH_TOOLS in support.emulated and not wanted.isdisjoint(_FORMATS)
    return beside or NO_CALL in support.emulated


def _drop(body: _Body, *names: str) -> None:
    for name in names:
        body.pop(name, None)


def _other_limit(unsupported: Collection[str]) -> str:
    return next((_LIMITS[1 - at] for at, name in enumerate(_LIMITS) if name in unsupported), "")


def _check(refused: Collection[str], *, lenient: bool) -> None:
    for name in sorted(refused):
        feature = FEATURES[name]
        if lenient and feature.droppable:
            continue
        hint = f": {feature.note}" if feature.note else ""
        way = " (the header 'x-trunkline-params: lenient' leaves it out)"
        raise InvalidRequest(
            f"the provider does not take '{name}'{hint}{way if feature.droppable else ''}",
            code="unsupported_parameter",
            param=feature.parameter,
        )


def _unfold_reasoning(body: _Body) -> None:
    """Says with ``reasoning_effort`` what ``reasoning`` says of the effort."""
    options = _decode(body.pop("reasoning"))
    effort = "none" if options.get("enabled") is False else options.get("effort")
    if effort is not None:
        body.setdefault("reasoning_effort", Raw(_encode(effort)))


def _fit_effort(body: _Body, support: Support) -> None:
    """Puts the nearest effort that is taken in the place of one that is not."""
    if raw := body.get("reasoning_effort"):
        body["reasoning_effort"] = _fitted(raw, support)
    if raw := body.get("reasoning"):
        options = _decode_object(raw)
        if bytes(options.get("effort", b"null")) != b"null":
            body["reasoning"] = Raw(
                _encode({**options, "effort": _fitted(options["effort"], support)})
            )


def _fitted(raw: Raw, support: Support) -> Raw:
    effort = _decode(raw)
    if effort_feature(effort) not in support.emulated or not support.efforts:
        return raw
    place = EFFORTS.index(effort)
    nearest = min(
        support.efforts, key=lambda one: (abs(EFFORTS.index(one) - place), EFFORTS.index(one))
    )
    return Raw(_encode(nearest))


def _name_limit(body: _Body, name: str) -> None:
    limits = [raw for one in _LIMITS if (raw := body.pop(one, None)) is not None]
    if limits:
        body[name] = min(limits, key=_decode)


def _keep_allowed(body: _Body) -> None:
    """Leaves out the tools that ``allowed_tools`` does not name, and keeps its mode."""
    tools = decode_tools(body["tools"])
    choice = decode_tool_choice(body["tool_choice"], tools)
    allowed = {tool.function.name for tool in choice.allowed}
    kept = [
        raw
        for raw, tool in zip(_decode_objects(body["tools"]), tools, strict=True)
        if tool.function.name in allowed
    ]
    body["tools"] = Raw(_encode(kept))
    body["tool_choice"] = Raw(b'"required"' if choice.required else b'"auto"')


def _name_required(body: _Body, name: str) -> None:
    if bytes(body["tool_choice"]) == b'"required"':
        body["tool_choice"] = Raw(_encode(name))


def _without_strict(tools: Raw) -> Raw:
    if b'"strict"' not in bytes(tools):
        return tools
    found = _decode(tools)
    for tool in found:
        if isinstance(tool, dict) and isinstance(tool.get("function"), dict):
            tool["function"].pop("strict", None)
    return Raw(_encode(found))


def _as_format(schema: Raw) -> Raw:
    wanted: dict[str, Any] = {"name": "answer", "schema": schema}
    return Raw(_encode({"type": "json_schema", "json_schema": wanted}))
