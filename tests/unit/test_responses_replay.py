"""A response that has ended tells its events again, exactly, from what is kept of it."""

from __future__ import annotations

import dataclasses
import itertools
import json

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.turns import call, ends, tell, turn_of, written
from trunkline.errors import UpstreamError
from trunkline.responses.replay import replay
from trunkline.responses.toolbox import Listing, Outcome
from trunkline.wire.responses import decode_response, encode_json
from trunkline.wire.responses.output import MCPHTTPError, MCPListedTool
from trunkline.wire.responses.tools import Called

TOOLS = [
    {"type": "function", "name": "look", "parameters": {"type": "object"}},
    {"type": "custom", "name": "write"},
    {
        "type": "namespace",
        "name": "ns",
        "description": "d",
        "tools": [{"type": "custom", "name": "say"}],
    },
    {"type": "shell"},
    {"type": "local_shell"},
    {"type": "apply_patch"},
    {"type": "tool_search", "execution": "client"},
]
NAMES = [
    ("look", '{"at": 1}'),
    ("write", '{"input": "a \\"line\\"\\n\\ud83d\\ude00 end"}'),
    ("write", "no JSON"),
    ("ns__say", '{"input": "x"}'),
    ("shell", '{"commands": ["ls"]}'),
    ("local_shell", '{"command": ["ls"]}'),
    ("apply_patch", '{"type": "update_file", "path": "a", "diff": "+b"}'),
    ("tool_search", '{"query": "q"}'),
    ("find", '{"a": 1}'),
    ("fail", "{}"),
    ("unknown", "{}"),
]

texts = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4)


@st.composite
def deltas(draw):
    """What a model says in one call: thoughts, text, refusals and calls, in pieces, in any order."""
    said = []
    calls = 0
    for kind in draw(
        st.lists(st.sampled_from(["reasoning", "content", "refusal", "call"]), max_size=5)
    ):
        if kind != "call":
            for text in draw(texts):
                said.append(with_logprobs(kind, text, draw(st.integers(0, 2))))
            continue
        name, arguments = draw(st.sampled_from(NAMES))
        cuts = sorted(draw(st.lists(st.integers(0, len(arguments)), max_size=3)))
        edges = [0, *cuts, len(arguments)]
        pieces = [arguments[a:b] for a, b in itertools.pairwise(edges)]
        said += call(name, *pieces, index=calls, id="")
        calls += 1
    return said


def with_logprobs(kind, text, count):
    if kind != "content" or not count:
        return {kind: text}
    tokens = [{"token": text, "logprob": -float(n), "top_logprobs": []} for n in range(count)]
    choice = {"index": 0, "delta": {"content": text}, "logprobs": {"content": tokens}}
    return {"choices": [choice]}


@st.composite
def steps(draw):
    """Several model calls; the last is long enough for whoever asks again, and may break off."""
    made = []
    for _ in range(3):
        reason = draw(st.sampled_from(["stop", "stop", "length"]))
        step = [*draw(deltas()), *ends(reason, usage=draw(st.sampled_from([(3, 5), None])))]
        if draw(st.integers(0, 5)) == 0:
            cut = draw(st.integers(1, len(step)))
            step[cut:] = [UpstreamError("broke off", retryable=True)]
        made.append(step)
    return [*made, [UpstreamError("nobody", retryable=True)]]


class Shelf:
    async def run(self, call):
        if call.name == "fail":
            return Outcome(error=MCPHTTPError(502, "no"))
        return Outcome(output=call.arguments)


LISTINGS = [Listing("shelf", [MCPListedTool(name="find", input_schema={}, description="\u05d0")])]
NO_SHRINKING = [Phase.explicit, Phase.reuse, Phase.generate]


def told_of(said, *, summary=None, sealed=False, logprobs=False, most=None):
    turn = turn_of(tools=TOOLS, reasoning={"summary": summary}, max_tool_calls=most)
    own = {name: Called("mcp_call", name, server_label="shelf") for name in ("find", "fail")}
    turn = dataclasses.replace(
        turn,
        names={**turn.names, **own},
        seal=(lambda text: f"sealed {text}") if sealed else None,
        logprobs=logprobs,
        tools=Shelf(),
        listings=LISTINGS,
    )
    return tell(turn, *said)


@settings(max_examples=60, deadline=None, phases=NO_SHRINKING)
@given(
    said=steps(),
    summary=st.sampled_from([None, "auto", "concise"]),
    sealed=st.booleans(),
    logprobs=st.booleans(),
    most=st.sampled_from([None, 1]),
)
def test_a_replay_is_what_was_streamed(said, summary, sealed, logprobs, most):
    told = told_of(said, summary=summary, sealed=sealed, logprobs=logprobs, most=most)
    kept = decode_response(encode_json(told.response))
    streamed = written(told.events)
    for dialect in ("openai", "open-responses"):
        assert written(replay(kept, told.output.log()), dialect) == written(told.events, dialect)
    for after in (-1, 0, 3, len(told.events) - 2, len(told.events) - 1, len(told.events) + 5):
        rest = replay(kept, told.output.log(), starting_after=after)
        assert rest == told.events[after + 1 :]
        assert streamed.endswith(written(rest))


@settings(max_examples=25, deadline=None, phases=NO_SHRINKING)
@given(said=steps(), dialect=st.sampled_from(["openai", "open-responses"]))
def test_whatever_a_model_says_is_told_as_published(said, dialect):
    told_of(said, summary="auto", logprobs=True).shown(dialect)


def test_what_is_kept_is_about_a_byte_for_each_delta():
    said = [{"content": f"word{number} "} for number in range(1000)]
    told = tell(turn_of(), [*said, *ends()])
    assert len(told.output.log()) < 1100


def test_a_response_that_was_not_streamed_has_the_events_that_it_would_have_had():
    message = {"content": "Hello", "reasoning": "Hm"}
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    told = tell(turn_of(), [whole])
    kept = decode_response(encode_json(told.response))
    assert replay(kept, told.output.log()) == told.events
    deltas = [event for event in told.shown() if event["type"].endswith(".delta")]
    assert [json.dumps(event["delta"]) for event in deltas] == ['"Hm"', '"Hello"']
