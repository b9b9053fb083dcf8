"""A request and what came before it, as the body of a chat completion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw

from trunkline.errors import InvalidRequest
from trunkline.responses.history import History, Image, Unseal, history_of
from trunkline.wire.responses.items import Item
from trunkline.wire.responses.requests import CreateRequest, ResponsesParameters, effective_context
from trunkline.wire.responses.tool_choice import decode_tool_choice
from trunkline.wire.responses.tools import Offered

_encode = msgspec.json.Encoder().encode

_PASSED = (
    "model",
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "user",
    "seed",
    "stop",
    "top_k",
    "min_p",
    "repetition_penalty",
    "chat_template_kwargs",
    "response_format",
    "provider",
)
"""Fields that chat has as well, under the same name."""

LOGPROBS = "message.output_text.logprobs"
ENCRYPTED = "reasoning.encrypted_content"


@dataclass(slots=True, kw_only=True)
class Context:
    """What the model is told.

    ``fields`` are a chat completion's top-level ones, but for ``stream``. ``allowed`` are the names in
    ``tools`` that may be called, None if all.
    """

    fields: dict[str, Raw]
    allowed: frozenset[str] | None
    history: History

    @property
    def images(self) -> Sequence[Image]:
        """The images that the model is shown. If one is changed, `write_messages` again."""
        return self.history.images

    def write_messages(self) -> None:
        """Writes the messages into the fields."""
        self.fields["messages"] = Raw(_encode(self.history.messages))

    def refuse_images(self) -> None:
        """Raises InvalidRequest that names the first image, if there are any."""
        for image in self.images:
            raise InvalidRequest(
                f"{image.at}: nobody who offers this model sees images; choose a model that does, "
                "or leave the image out",
                param=image.at,
            )


def context_of(
    request: CreateRequest, offered: Offered, items: Sequence[Item], *, unseal: Unseal | None = None
) -> Context:
    """Returns what a model is told of a request.

    ``items`` are those of the chain, then the request's own. Raises InvalidRequest for items that do not
    belong together, and for a choice of a tool that is not offered.
    """
    parameters = request.parameters
    choice = decode_tool_choice(parameters.tool_choice, offered)
    shown = None if parameters.reasoning is None else parameters.reasoning.context
    history = history_of(
        items,
        offered=offered,
        all_turns=effective_context(shown) == "all_turns",
        unseal=unseal,
    )
    if parameters.instructions is not None:
        history.messages.insert(0, {"role": "developer", "content": parameters.instructions})
    if not history.messages:
        raise InvalidRequest(
            "input: there is nothing in it that the model could be told", param="input"
        )
    fields = {name: request.fields[name] for name in _PASSED if name in request.fields}
    fields |= {name: Raw(_encode(value)) for name, value in _renamed(parameters).items()}
    if offered.chat:
        fields["tools"] = Raw(_encode(offered.chat))
        if choice.chat is not None:
            fields["tool_choice"] = Raw(_encode(choice.chat))
        if "parallel_tool_calls" in request.fields:
            fields["parallel_tool_calls"] = request.fields["parallel_tool_calls"]
    context = Context(fields=fields, allowed=choice.allowed, history=history)
    context.write_messages()
    return context


def _renamed(parameters: ResponsesParameters) -> Mapping[str, Any]:
    """Returns what chat has under other names."""
    found: dict[str, Any] = {"max_completion_tokens": parameters.max_output_tokens}
    if parameters.reasoning is not None:
        found["reasoning_effort"] = parameters.reasoning.effort
    if parameters.text is not None:
        found["verbosity"] = parameters.text.verbosity
        if parameters.text.format is not None:
            found["response_format"] = parameters.text.format.chat()
    if parameters.top_logprobs or LOGPROBS in (parameters.include or ()):
        found |= {"logprobs": True, "top_logprobs": parameters.top_logprobs}
    return {name: value for name, value in found.items() if value is not None}
