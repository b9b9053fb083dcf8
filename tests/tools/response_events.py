"""Writes the golden files of what is told of a response, one for each scenario.

    python -m tests.tools.response_events

Read the difference before it is committed: clients rely on the order of these events.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.responses import Dialect
from tests.turns import Said, call, ends, tell, turn_of, words, written
from trunkline.errors import UpstreamError
from trunkline.responses.engine import Turn
from trunkline.responses.toolbox import Listing, Outcome
from trunkline.wire.responses.output import MCPListedTool, MCPToolExecutionError
from trunkline.wire.responses.tools import Called

FOLDER = Path(__file__).parent.parent / "data" / "responses"

_LOOK = {
    "type": "function",
    "name": "look",
    "description": "Looks.",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
}
_WRITE = {"type": "custom", "name": "write", "description": "Writes."}
_FILES = {"type": "namespace", "name": "files", "description": "Files.", "tools": [_LOOK]}
_FORMAT = {"type": "json_schema", "name": "answer", "schema": {"type": "object"}, "strict": True}
_THOUGHT = words("We need a greeting. Short.", name="reasoning")


class _Shelf:
    async def run(self, call: object, /) -> Outcome:
        return Outcome(output="found it")


def _ours() -> Turn:
    turn = turn_of()
    names = {"find": Called("mcp_call", "find", server_label="shelf")}
    return dataclasses.replace(turn, names=names, tools=_Shelf())


def _listing() -> Turn:
    schema = {"type": "object", "properties": {"q": {"type": "integer"}}}
    find = MCPListedTool(
        name="find", description="Finds.", input_schema=schema, annotations={"read_only": True}
    )
    return dataclasses.replace(_ours(), listings=[Listing("shelf", [find])])


class _Broken:
    async def run(self, call: object, /) -> Outcome:
        return Outcome(error=MCPToolExecutionError([{"type": "text", "text": "no such book"}]))


def _failing() -> Turn:
    return dataclasses.replace(_ours(), tools=_Broken())


def _with_logprobs() -> list[Said]:
    def token(text: str, logprob: float) -> dict[str, object]:
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    tokens = [{**token("Hi", -0.5), "top_logprobs": [token("Hi", -0.5), token("Ho", -1.5)]}]
    choice = {"index": 0, "delta": {"content": "Hi"}, "logprobs": {"content": tokens}}
    return [{"choices": [choice]}, *ends()]


def _two_calls() -> list[Said]:
    other = call("look", '{"at":', '"b"}', index=1, id="call_abcdefghijklmnopqrst")
    return [*call("look", '{"at":', '"a"}'), *other, *ends("tool_calls")]


Scenario = tuple[Callable[[], Turn], list[list[Said]]]

SCENARIOS: Mapping[str, Scenario] = {
    "text": (turn_of, [[*words("Hello there"), *ends()]]),
    "reasoning-and-text": (turn_of, [[*_THOUGHT, *words("Hello"), *ends()]]),
    "summary": (
        lambda: dataclasses.replace(
            turn_of(reasoning={"effort": "low", "summary": "concise"}), seal=lambda _: "sealed"
        ),
        [[*_THOUGHT, *words("Hello"), *ends()]],
    ),
    "function-call": (
        lambda: turn_of(tools=[_LOOK]),
        [[*_THOUGHT, *call("look", '{"at":', '"a"}'), *ends("tool_calls")]],
    ),
    "parallel-calls": (lambda: turn_of(tools=[_LOOK]), [_two_calls()]),
    "custom-call": (
        lambda: turn_of(tools=[_WRITE]),
        [[*call("write", '{"input": "a ', '\\"b\\""}'), *ends("tool_calls")]],
    ),
    "namespace-call": (
        lambda: turn_of(tools=[_FILES]),
        [[*call("files__look", "{}"), *ends("tool_calls")]],
    ),
    "shell-call": (
        lambda: turn_of(tools=[{"type": "shell"}]),
        [[*call("shell", '{"commands": ["ls"]}'), *ends("tool_calls")]],
    ),
    "own-call": (_ours, [[*call("find", '{"q":1}'), *ends("tool_calls")], [*words("So"), *ends()]]),
    "mcp-listing": (
        _listing,
        [[*call("find", '{"q":1}'), *ends("tool_calls")], [*words("So"), *ends()]],
    ),
    "mcp-failure": (
        _failing,
        [[*call("find", '{"q":1}'), *ends("tool_calls")], [*words("So"), *ends()]],
    ),
    "refusal": (turn_of, [[*words("Well"), *words("I can not", name="refusal"), *ends()]]),
    "structured": (lambda: turn_of(text={"format": _FORMAT}), [[*words('{"a": 1}'), *ends()]]),
    "logprobs": (
        lambda: dataclasses.replace(turn_of(top_logprobs=2), logprobs=True),
        [_with_logprobs()],
    ),
    "incomplete": (turn_of, [[*words("Half a"), *ends("length")]]),
    "failure": (
        turn_of,
        [[*words("Half a"), UpstreamError("x", retryable=True, public="the stream broke off")]],
    ),
}
DIALECTS: tuple[Dialect, ...] = ("openai", "open-responses")


def golden(name: str, dialect: Dialect) -> str:
    """Returns the stream of a scenario, with ids and times that are the same each time."""
    turn, steps = SCENARIOS[name]
    told = tell(turn(), *steps)
    told.shown(dialect)
    text = re.sub(
        r'("completed_at":)\d+', r"\g<1>1760000001", written(told.events, dialect).decode()
    )
    known: dict[str, str] = {}

    def plain(match: re.Match[str]) -> str:
        prefix = match[1]
        number = 1 + sum(one.startswith(prefix) for one in known)
        return known.setdefault(match[0], f"{prefix}{number}")

    return re.sub(r"\b((?:msg|rs|fc|ctc|mcp|mcpl|lsh|sh|apc|tsc)_)[0-9A-Za-z]{30}\b", plain, text)


def path_of(name: str, dialect: Dialect) -> Path:
    return FOLDER / dialect / f"{name}.txt"


if __name__ == "__main__":
    for dialect in DIALECTS:
        for name in SCENARIOS:
            path = path_of(name, dialect)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(golden(name, dialect))
