"""From the bytes of a streamed answer to its events."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from trunkline.errors import ServerRefused, TrunklineError
from trunkline.terminal.api import refusal
from trunkline.terminal.events import Content, Decoder, Event, Finished, Reasoning, ToolCall
from trunkline.wire import sse


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return msgspec.json.encode({"id": "c", "choices": [choice], "usage": None})


USAGE = (
    b'{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":9,"total_tokens":16,'
    b'"completion_tokens_details":{"reasoning_tokens":4},"cost":0.00000120}}'
)
CALLS = [
    {"index": 0, "id": "a", "function": {"name": "get_weather", "arguments": '{"ci'}},
    {"index": 0, "function": {"arguments": 'ty":"Paris"}'}},
    {"index": 1, "id": "b", "function": {"name": "now", "arguments": None}},
]
STREAM = sse.encode(
    [
        chunk(role="assistant", content="", reasoning=None),
        chunk(reasoning="Let", reasoning_content="Let"),
        chunk(reasoning_content=" me."),
        chunk(content="Grüße"),
        chunk(tool_calls=[CALLS[0]]),
        chunk(tool_calls=CALLS[1:]),
        chunk(finish="tool_calls"),
        USAGE,
        sse.DONE,
    ]
)
EVENTS = [
    Reasoning("Let"),
    Reasoning(" me."),
    Content("Grüße"),
    ToolCall("get_weather", '{"city":"Paris"}'),
    ToolCall("now", ""),
]


def decoded(*reads: bytes) -> list[Event]:
    decoder = Decoder()
    events = [event for read in reads for event in decoder.feed(read)]
    return events + decoder.end()


def test_a_stream_is_read_the_same_wherever_it_is_cut() -> None:
    for cut in range(len(STREAM)):
        *events, last = decoded(STREAM[:cut], STREAM[cut:])
        assert events == EVENTS
        assert isinstance(last, Finished)
        assert (last.reason, last.tokens, last.cost_usd) == (
            "tool_calls",
            (7, 9, 4),
            Decimal("0.00000120"),
        )


def test_what_follows_the_end_is_not_read() -> None:
    after = sse.encode([chunk(content="more")])
    assert decoded(sse.encode([chunk(content="all"), sse.DONE]) + after) == [
        Content("all"),
        Finished(None),
    ]


def test_only_the_first_choice_is_shown() -> None:
    two = b'{"choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"b"}}]}'
    assert decoded(sse.encode([two, sse.DONE])) == [Content("a"), Finished(None)]


def test_a_refusal_is_shown_as_the_answer() -> None:
    assert decoded(sse.encode([chunk(refusal="No."), sse.DONE]))[0] == Content("No.")


def test_a_stream_may_end_without_done_once_it_has_a_finish_reason() -> None:
    assert decoded(sse.encode([chunk("stop", content="a")])) == [Content("a"), Finished("stop")]


def test_a_stream_that_ends_early_says_so() -> None:
    with pytest.raises(TrunklineError, match="broke off"):
        decoded(sse.encode([chunk(content="a")]))


@pytest.mark.parametrize("body", [b"<html>", b'{"choices":3}', b"[]", b'"\xff"'])
def test_what_is_no_chunk_is_refused(body: bytes) -> None:
    with pytest.raises(TrunklineError, match="no chat completion"):
        decoded(sse.encode([body]))


def test_a_stream_that_fails_says_why_on_one_line() -> None:
    error = b'{"error":{"message":"out\\n of \\u001b[2Jluck","type":"t","param":null,"code":"c"}}'
    with pytest.raises(ServerRefused) as raised:
        decoded(sse.encode([chunk(content="a")]) + b"event: error\ndata: " + error + b"\n\n")
    assert raised.value.message == "the reply broke off: out of ␛[2Jluck"
    assert raised.value.status is None


def test_usage_that_makes_no_sense_is_kept_and_not_counted() -> None:
    usage = b'{"choices":[],"usage":{"prompt_tokens":"many"}}'
    last = decoded(sse.encode([usage, sse.DONE]))[-1]
    assert isinstance(last, Finished)
    assert last.tokens is None
    assert last.usage is not None
    assert bytes(last.usage) == b'{"prompt_tokens":"many"}'


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"error":{"message":"no such model","code":"m"}}', "no such model", "m"),
        (b'{"error":{"message":"no\\u001b[2J such","code":404}}', "no␛[2J such", None),
        (b'{"error":"nope"}', "nope", None),
        (b'{"error":{}}', "the server gives no reason", None),
        (b"<html>", "the server answered with status 404", None),
        (b'{"detail":"x"}', "the server answered with status 404", None),
    ],
)
def test_a_refusal_is_told_in_the_servers_words(body: bytes, message: str, code: str) -> None:
    error = refusal(404, body)
    assert (error.message, error.status, error.code) == (message, 404, code)
