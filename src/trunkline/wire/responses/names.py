"""What fields of a chat completion are called in a response, for errors that name them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from trunkline.errors import APIError

_NAMES: Mapping[str, str] = {
    "messages": "input",
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
}
_FIRST = re.compile(r"([a-z_]+)(?:\.json_schema)?")  # which stands within text.format itself
_OF_FUNCTION = re.compile(r"(tools\[\d+\]|tool_choice)\.function\b")


def renamed(error: APIError, *, sent: Collection[str]) -> APIError:
    """Names the field of a response in an error that names one of the chat completion under it.

    What the caller ``sent`` under a name keeps it.
    """
    param = error.param
    found = _FIRST.match(param or "")
    if param is None or found is None:
        return error
    name = name_of(found[1], sent=sent)
    if name == found[1]:
        error.param = _OF_FUNCTION.sub(r"\1", param)
    elif name == "input":
        error.param = name  # its items are not the messages one by one
    else:
        error.param = name + param[found.end() :]
    if error.param != param:
        error.args = (error.message.replace(param, error.param), *error.args[1:])
    return error


def name_of(parameter: str, *, sent: Collection[str]) -> str:
    """Returns what a chat completion's parameter is called in a response; what was ``sent`` keeps its name."""
    if parameter in sent:
        return parameter
    if parameter == "logprobs":
        return "top_logprobs" if "top_logprobs" in sent else "include"
    return _NAMES.get(parameter, parameter)
