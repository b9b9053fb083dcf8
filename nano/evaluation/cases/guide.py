"""The prompts of the guide that Trunkline was made from, as Chat Completions."""

from __future__ import annotations

from nano.evaluation.check import (
    JSON,
    AsksThenQuotes,
    CallsLike,
    Check,
    Result,
    SaysFreely,
    SaysJSON,
    system,
    user,
)
from nano.evaluation.toolsets import text, tool

_TRANSPORTS = (
    "Version 2025-03-26 of the MCP specification defines two transports: stdio and Streamable HTTP.",
    "With stdio, the client starts the server as a subprocess and talks over its standard streams.",
    "Streamable HTTP replaces the HTTP+SSE transport of version 2024-11-05.",
    "The server then has one endpoint for POST and GET and may stream with server-sent events.",
)


def checks(runs: int) -> dict[str, tuple[Check, ...]]:
    """Returns each prompt's checks: ``runs`` times the same, at the router's own temperature."""
    return {title: (check,) * runs for title, check in _PROMPTS.items()}


def _weather(*required: str) -> JSON:
    return {
        "type": "function",
        "function": {
            "name": "get_current_weather",
            "description": "Get the current weather in a given location",
            "parameters": {
                "type": "object",
                "properties": {
                    "location": {
                        "type": "string",
                        "description": "The city and state, e.g. San Francisco, CA",
                    },
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                },
                "required": list(required),
            },
        },
    }


_REPOSITORY = "GitHub repository as owner/repo, for example facebook/react"
_DOCUMENTATION_SERVER = (
    tool(
        "read_wiki_structure",
        "Get a list of documentation topics for a GitHub repository",
        text("repoName", _REPOSITORY),
    ),
    tool(
        "read_wiki_contents",
        "View the documentation of a GitHub repository",
        text("repoName", _REPOSITORY),
    ),
    tool(
        "ask_question",
        "Ask any question about a GitHub repository and get an answer grounded in its documentation",
        text("repoName", _REPOSITORY),
        text("question", "The question to ask about the repository"),
    ),
)

_PERSON = {
    "type": "json_schema",
    "json_schema": {
        "name": "person",
        "schema": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "city": {"type": "string"},
                "profession": {"type": "string"},
            },
            "required": ["name", "city", "profession"],
        },
    },
}


def _asked(prompt: str, expected: CallsLike | SaysFreely, *tools: JSON) -> Check:
    return Check(messages=[user(prompt)], tools=tools, expected=expected, temperature=None)


_PROMPTS = {
    "a fun fact about the Eiffel Tower": _asked(
        "Tell me a fun fact about the Eiffel Tower.",
        SaysFreely(words=("Eiffel Tower",), sentences=1),
    ),
    "the weather in Paris in Celsius": _asked(
        "What is the weather in Paris in Celsius?",
        CallsLike("get_current_weather", {"location": ("Paris",), "unit": ("celsius",)}),
        _weather("location"),
    ),
    "the weather in Boston": _asked(
        "What is the weather like in Boston today?",
        CallsLike(
            "get_current_weather", {"location": ("Boston",), "unit": ("celsius", "fahrenheit")}
        ),
        _weather("location", "unit"),
    ),
    "Amélie as JSON": Check(
        messages=[
            system("You are a helpful assistant designed to output JSON."),
            user(
                "Extract the name, city, and profession from the following sentence: "
                "'Amélie is a chef who lives in Paris.'"
            ),
        ],
        response_format=_PERSON,
        expected=SaysJSON({"name": "Amélie", "city": "Paris", "profession": "chef"}),
        temperature=None,
    ),
    "a robot who discovers music": _asked(
        "Tell me a short story about a robot who discovers music.",
        SaysFreely(words=("robot", "music"), sentences=3),
    ),
    "hello to the world": Check(
        messages=[system("You are a helpful assistant."), user("Say hello to the world.")],
        effort="low",
        expected=SaysFreely(words=("hello", "world")),
        temperature=None,
    ),
    # Only ask_question is right: the others return a whole documentation for one question.
    "the transports of MCP": Check(
        messages=[
            user(
                "What transport protocols are supported in the 2025-03-26 version of the MCP spec?"
            )
        ],
        tools=_DOCUMENTATION_SERVER,
        results=(Result("ask_question", None, " ".join(_TRANSPORTS)),),
        expected=AsksThenQuotes(
            name="ask_question",
            arguments={"repoName": ("modelcontextprotocol",), "question": ("transport",)},
            patterns={"repoName": r"[\w.-]+/[\w.-]+"},
            sentences=_TRANSPORTS,
        ),
        temperature=None,
    ),
}
