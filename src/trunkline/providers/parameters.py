"""What becomes of what a chat request asks for: the table, by feature, and what of it holds where.

A *feature* is a parameter, or a value of one that not every provider takes, such as
``tool_choice: required``. How a feature is renamed or emulated does not belong here: see request.py
and emulation.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

import msgspec
from msgspec import Raw

from trunkline.config import ModelSettings, Quirks
from trunkline.wire.chat import PARAMETERS, Fate

REQUIRED = "tool_choice: required"
NAMED = "tool_choice: a function"
NO_CALL = "tool_choice: none"
ALLOWED = "tool_choice: allowed_tools"
ONE_CALL = "parallel_tool_calls: false"
JSON_OBJECT = "response_format: json_object"
JSON_SCHEMA = "response_format: json_schema"
FORMAT_WITH_TOOLS = "response_format with tools"
BUDGET = "reasoning.max_tokens"
HIDDEN_REASONING = "reasoning.exclude"
IMAGES = "messages: images"
_EFFORT = "reasoning_effort: "

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""From the least to the most."""


class Feature(msgspec.Struct, frozen=True):
    """Something that a request can ask for: by which parameter, and its fate where it is lacking.

    ``lacking`` is EMULATED, REFUSED, RENAMED or IGNORED. What is emulated or refused is routed around
    first: another deployment that has it is preferred, unless the emulation is as ``good``.
    ``droppable`` features may be left out for a caller who asked for leniency; without others the
    reply would be another.
    """

    parameter: str
    lacking: Fate
    note: str = ""
    droppable: bool = True
    good: bool = False

    @property
    def routed_around(self) -> bool:
        """Whether another deployment is asked first."""
        return self.lacking in (Fate.EMULATED, Fate.REFUSED) and not self.good


_RENAMED, _EMULATED, _REFUSED, _IGNORED = Fate.RENAMED, Fate.EMULATED, Fate.REFUSED, Fate.IGNORED
_ONLY_ITS_VALUES = frozenset(
    {"tool_choice", "parallel_tool_calls", "response_format", "messages", "reasoning"}
)
_HINTS = (
    *("user", "metadata", "store", "service_tier", "prediction", "prompt_cache_key"),
    *("prompt_cache_options", "prompt_cache_retention", "safety_identifier", "verbosity"),
)

FEATURES: Mapping[str, Feature] = {
    "stream_options": Feature("stream_options", _IGNORED, "usage is read wherever it comes"),
    "max_tokens": Feature("max_tokens", _RENAMED, "to `max_completion_tokens`"),
    "max_completion_tokens": Feature("max_completion_tokens", _RENAMED, "to `max_tokens`"),
    "temperature": Feature("temperature", _REFUSED),
    "top_p": Feature("top_p", _REFUSED),
    "n": Feature("n", _EMULATED, "as many requests at once, joined to one reply"),
    "seed": Feature("seed", _REFUSED),
    "stop": Feature("stop", _REFUSED),
    "presence_penalty": Feature("presence_penalty", _REFUSED),
    "frequency_penalty": Feature("frequency_penalty", _REFUSED),
    "logit_bias": Feature("logit_bias", _REFUSED),
    "logprobs": Feature("logprobs", _REFUSED),
    "top_logprobs": Feature("top_logprobs", _REFUSED),
    "tools": Feature("tools", _REFUSED, droppable=False),
    NO_CALL: Feature("tool_choice", _EMULATED, "the tools are left out"),
    REQUIRED: Feature("tool_choice", _EMULATED, "asked for, checked, asked for once more"),
    NAMED: Feature(
        "tool_choice", _EMULATED, "that tool alone; asked for, checked, asked once more"
    ),
    ALLOWED: Feature("tool_choice", _RENAMED, "the other tools are left out"),
    ONE_CALL: Feature("parallel_tool_calls", _EMULATED, "calls after the first are left out"),
    JSON_OBJECT: Feature("response_format", _EMULATED, "asked for, checked, asked for once more"),
    JSON_SCHEMA: Feature("response_format", _EMULATED, "asked for, checked, asked for once more"),
    FORMAT_WITH_TOOLS: Feature(
        "response_format", _EMULATED, "the format is asked for, checked, asked for once more"
    ),
    "reasoning_effort": Feature("reasoning_effort", _REFUSED),
    **{
        f"{_EFFORT}{effort}": Feature("reasoning_effort", _EMULATED, "the nearest that is taken")
        for effort in EFFORTS
    },
    "reasoning": Feature("reasoning", _RENAMED, "`effort` and `enabled` to `reasoning_effort`"),
    HIDDEN_REASONING: Feature(
        "reasoning", _EMULATED, "the reasoning is taken out of the reply", good=True
    ),
    BUDGET: Feature("reasoning", _REFUSED, "send `reasoning.effort`"),
    **{name: Feature(name, _IGNORED) for name in _HINTS},
    "audio": Feature("audio", _REFUSED),
    "modalities": Feature("modalities", _REFUSED, droppable=False),
    "moderation": Feature("moderation", _REFUSED),
    "functions": Feature("functions", _REFUSED, "the older form: send `tools`"),
    "function_call": Feature("function_call", _REFUSED, "the older form: send `tool_choice`"),
    "web_search_options": Feature("web_search_options", _REFUSED),
    "top_k": Feature("top_k", _REFUSED),
    "min_p": Feature("min_p", _REFUSED),
    "repetition_penalty": Feature("repetition_penalty", _REFUSED),
    "chat_template_kwargs": Feature("chat_template_kwargs", _REFUSED),
    "guided_json": Feature("guided_json", _RENAMED, "to `response_format`"),
    "guided_choice": Feature("guided_choice", _EMULATED, "asked for, checked, asked for once more"),
    "guided_regex": Feature("guided_regex", _REFUSED),
    "guided_grammar": Feature("guided_grammar", _REFUSED),
    IMAGES: Feature("messages", _REFUSED, "text only", droppable=False),
}


class Support(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment lacks, by what becomes of it there.

    ``avoided`` is what another deployment is better asked for, ``parameters`` are those that can ask
    for any of it, ``efforts`` those that it takes.
    """

    emulated: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    renamed: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()
    avoided: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()
    efforts: tuple[str, ...] | None = None

    def holds_back(self, features: frozenset[str]) -> bool:
        """Whether a reply is checked for one of these features before any of it is passed on."""
        return not (features & _HELD_BACK).isdisjoint(self.emulated)

    def fate(self, feature: str) -> Fate:
        """Returns what becomes of a feature there."""
        for fate in (Fate.EMULATED, Fate.REFUSED, Fate.RENAMED, Fate.IGNORED):
            if feature in getattr(self, fate.name.lower()):
                return fate
        return Fate.PASSED


_HELD_BACK = frozenset(
    {"n", REQUIRED, NAMED, JSON_OBJECT, JSON_SCHEMA, FORMAT_WITH_TOOLS, "guided_choice"}
)
HELD_BACK_BY = frozenset({"guided_json"}.union(FEATURES[name].parameter for name in _HELD_BACK))
"""The parameters that can ask for a feature whose emulation holds a reply back."""


def support_of(quirks: Quirks, offer: ModelSettings | None = None) -> Support:
    """Returns what a provider with these quirks lacks, and its offer of a model."""
    offer = offer or ModelSettings()
    lacking = frozenset(_lacking(quirks, offer))
    by_fate = {
        fate: frozenset([name for name in lacking if FEATURES[name].lacking is fate])
        for fate in (Fate.EMULATED, Fate.REFUSED, Fate.RENAMED, Fate.IGNORED)
    }
    return Support(
        emulated=by_fate[Fate.EMULATED],
        refused=by_fate[Fate.REFUSED],
        renamed=by_fate[Fate.RENAMED],
        ignored=by_fate[Fate.IGNORED],
        avoided=frozenset([name for name in lacking if FEATURES[name].routed_around]),
        parameters=frozenset([FEATURES[name].parameter for name in lacking]),
        efforts=offer.efforts,
    )


def engine_support() -> Support:
    """Returns what the embedded engine lacks, and refuses."""
    refused = [name for name, one in PARAMETERS.items() if one.engine is Fate.REFUSED]
    lacking = frozenset([*refused, "modalities", BUDGET, IMAGES])
    parameters = frozenset([FEATURES[name].parameter for name in lacking])
    return Support(refused=lacking, avoided=lacking, parameters=parameters)


def _lacking(quirks: Quirks, offer: ModelSettings) -> Iterator[str]:
    for name, feature in FEATURES.items():
        if feature.parameter in quirks.unsupported:
            yield name
    if quirks.max_tokens_name == "max_tokens":
        yield "max_completion_tokens"
    if quirks.max_tokens_name == "max_completion_tokens":
        yield "max_tokens"
    if quirks.tool_choice:
        words = {"none": NO_CALL, "required": REQUIRED, "named": NAMED}
        yield from (name for word, name in words.items() if word not in quirks.tool_choice)
    yield ALLOWED
    if not quirks.reasoning_object:
        yield from ("reasoning", HIDDEN_REASONING, BUDGET)
    if not quirks.guided:
        yield from ("guided_json", "guided_choice", "guided_regex", "guided_grammar")
    if offer.tools is False:
        yield from ("tools", NO_CALL, REQUIRED, NAMED)
    if offer.structured is False or not quirks.strict_schemas:
        yield JSON_SCHEMA
    if offer.structured is False:
        yield JSON_OBJECT
    if offer.structured is False or offer.structured_with_tools is False:
        yield FORMAT_WITH_TOOLS
    if offer.vision is False:
        yield IMAGES
    if offer.efforts is not None:
        yield from (f"{_EFFORT}{one}" for one in EFFORTS if one not in offer.efforts)


# ------------------------------------------------------------------------------ what a request asks

_decode = msgspec.json.Decoder().decode

_NOTHING = frozenset[str]()
_SPACE = b" \t\r\n"
_EMPTY_LIST = re.compile(rb"\[\s*\]")
_IMAGE_PART = re.compile(rb'"type"\s*:\s*"image_url"')  # in a text the quotes are escaped
# Values that ask for what holds without them, however they are spaced.
_NEUTRAL: Mapping[str, frozenset[bytes]] = {
    "n": frozenset({b"1"}),
    "presence_penalty": frozenset({b"0", b"0.0"}),
    "frequency_penalty": frozenset({b"0", b"0.0"}),
    "repetition_penalty": frozenset({b"1", b"1.0"}),
    "logit_bias": frozenset({b"{}"}),
    "logprobs": frozenset({b"false"}),
    "top_logprobs": frozenset({b"0"}),
    "modalities": frozenset({b'["text"]'}),
    "store": frozenset({b"false"}),
    "top_k": frozenset({b"-1", b"0"}),
    "min_p": frozenset({b"0", b"0.0"}),
    "chat_template_kwargs": frozenset({b"{}"}),
}


def features_of(fields: Mapping[str, Raw]) -> frozenset[str]:
    """Returns what a request asks for beyond text in and text out, without decoding its messages."""
    found: set[str] = set()
    for name, raw in fields.items():
        read = _READ.get(name)
        if read is not None:
            found |= read(fields)
        elif name in FEATURES and not _is_neutral(name, raw):
            found.add(name)
    return frozenset(found)


def _is_neutral(name: str, raw: Raw) -> bool:
    neutral = _NEUTRAL.get(name)
    return neutral is not None and bytes(raw).translate(None, _SPACE) in neutral


def effort_feature(effort: str) -> str:
    """Returns the name under which an effort is a feature."""
    return _EFFORT + effort


def has_tools(fields: Mapping[str, Raw]) -> bool:
    """Whether a request lets tools be called."""
    return (
        not _EMPTY_LIST.match(bytes(fields.get("tools", b"[]")))
        and bytes(fields.get("tool_choice", b"")) != b'"none"'
    )


def _of_tools(fields: Mapping[str, Raw]) -> Set[str]:
    return {"tools"} if has_tools(fields) else _NOTHING


def _of_choice(fields: Mapping[str, Raw]) -> Set[str]:
    raw = bytes(fields["tool_choice"])
    if _EMPTY_LIST.match(bytes(fields.get("tools", b"[]"))):
        return _NOTHING
    match raw:
        case b'"auto"':
            return _NOTHING
        case b'"none"':
            return {NO_CALL}
        case b'"required"':
            return {REQUIRED}
    choice = _decode(raw)
    if not isinstance(choice, dict) or choice.get("type") != "allowed_tools":
        return {NAMED}
    allowed = choice.get("allowed_tools")
    required = isinstance(allowed, dict) and allowed.get("mode") == "required"
    return {ALLOWED, REQUIRED} if required else {ALLOWED}


def _of_parallel(fields: Mapping[str, Raw]) -> Set[str]:
    one = bytes(fields["parallel_tool_calls"]) == b"false" and has_tools(fields)
    return {ONE_CALL} if one else _NOTHING


def _of_format(fields: Mapping[str, Raw]) -> Set[str]:
    raw = bytes(fields["response_format"])
    if b'"json_schema"' in raw:
        kind = JSON_SCHEMA
    elif b'"json_object"' in raw:
        kind = JSON_OBJECT
    else:
        return _NOTHING
    return {kind, FORMAT_WITH_TOOLS} if has_tools(fields) else {kind}


def _of_guided_json(fields: Mapping[str, Raw]) -> Set[str]:
    also = {FORMAT_WITH_TOOLS} if has_tools(fields) else _NOTHING
    return {"guided_json", JSON_SCHEMA, *also}


def _of_effort(fields: Mapping[str, Raw]) -> Set[str]:
    return {"reasoning_effort", _EFFORT + bytes(fields["reasoning_effort"]).decode().strip('"')}


def _of_reasoning(fields: Mapping[str, Raw]) -> Set[str]:
    options: dict[str, Any] = _decode(fields["reasoning"])
    found = {"reasoning"}
    effort = "none" if options.get("enabled") is False else options.get("effort")
    if effort is not None:
        found |= {"reasoning_effort", f"{_EFFORT}{effort}"}
    if options.get("exclude"):
        found.add(HIDDEN_REASONING)
    if options.get("max_tokens") is not None:
        found.add(BUDGET)
    return found


def _of_messages(fields: Mapping[str, Raw]) -> Set[str]:
    return {IMAGES} if _IMAGE_PART.search(bytes(fields["messages"])) else _NOTHING


_READ: Mapping[str, Callable[[Mapping[str, Raw]], Set[str]]] = {
    "tools": _of_tools,
    "tool_choice": _of_choice,
    "parallel_tool_calls": _of_parallel,
    "response_format": _of_format,
    "guided_json": _of_guided_json,
    "reasoning_effort": _of_effort,
    "reasoning": _of_reasoning,
    "messages": _of_messages,
}
