"""What gpt-oss's servers break, over a corpus: whole, streamed, and cut anywhere."""

from __future__ import annotations

import itertools
import json
import tomllib
from pathlib import Path

import msgspec
import pytest

from trunkline.errors import UpstreamError
from trunkline.providers.base import Call
from trunkline.providers.openai import OpenAIChat
from trunkline.providers.repair import NAMES, is_gpt_oss

CORPUS = tomllib.loads(
    (Path(__file__).parents[1] / "data" / "gpt-oss" / "broken.toml").read_text(encoding="utf-8")
)
CASES = CORPUS["case"]
REPLIES = [case for case in CASES if "failure" not in case]
FAILURES = [case for case in CASES if "failure" in case]


def tools(names):
    return [
        {"type": "function", "function": {"name": name, "parameters": CORPUS["tools"][name]}}
        for name in names
    ]


def call(case, *, stream, model="openai/gpt-oss-120b", **fields):
    said = case.get("conversation", "Please.")
    body = {"messages": [{"role": "user", "content": said}], **fields}
    if names := case.get("tools", list(CORPUS["tools"])):
        body["tools"] = tools(names)
    raw = msgspec.json.decode(msgspec.json.encode(body), type=dict[str, msgspec.Raw])
    return Call(model=model, body=raw, stream=stream, request_id="req_1")


# What a provider sends


def whole(reply):
    message = {"role": "assistant", "content": reply.get("content")}
    if "reasoning" in reply:
        message["reasoning"] = reply["reasoning"]
    if "calls" in reply:
        message["tool_calls"] = [
            {"id": f"call_{at}", "type": "function", "function": {"name": name, "arguments": text}}
            for at, (name, text) in enumerate(reply["calls"])
        ]
    finish = reply.get("finish_reason", "stop") or None
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }


def chunk(delta, finish=None, **more):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**head, "choices": [choice], **more}


USAGE = {**chunk({}), "choices": [], "usage": whole({})["usage"]}


def texts(reply):
    """Names the texts of a reply that a server may cut anywhere, with their lengths."""
    named: list[tuple[str | int, str]]
    named = [(name, reply[name]) for name in ("reasoning", "content") if name in reply]
    named += [(at, arguments) for at, (_, arguments) in enumerate(reply.get("calls", []))]
    return named


def streamed(reply, cuts):
    """Returns the chunks of a reply; ``cuts`` says of each text where it is cut."""
    chunks = [chunk({"role": "assistant", "content": ""})]
    for name, text in texts(reply):
        at = [0, *cuts.get(name, []), len(text)]
        parts = [text[a:b] for a, b in itertools.pairwise(at)]
        if isinstance(name, int):
            head = {"index": name, "id": f"call_{name}", "type": "function"}
            first = {**head, "function": {"name": reply["calls"][name][0], "arguments": ""}}
            chunks.append(chunk({"tool_calls": [first]}))
            chunks += [
                chunk({"tool_calls": [{"index": name, "function": {"arguments": part}}]})
                for part in parts
            ]
        else:
            chunks += [chunk({name: part}) for part in parts]
    if finish := reply.get("finish_reason", "stop"):
        chunks.append(chunk({}, finish))
    return [*chunks, USAGE]


def as_a_go_server(document):
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").encode()


def as_a_python_server(document):
    return json.dumps(document).encode()


# What a caller gets


def read(document):
    message = document["choices"][0]["message"]
    calls = message.get("tool_calls") or []
    return outcome(
        reasoning=message.get("reasoning") or "",
        content=message.get("content") or "",
        calls=[[c["function"]["name"], c["function"]["arguments"]] for c in calls],
        finish_reason=document["choices"][0]["finish_reason"],
    )


def fold(chunks):
    """Folds chunks as clients do."""
    reasoning = content = ""
    calls: dict[int, list[str]] = {}
    finishes = []
    for document in chunks:
        for choice in document["choices"]:
            delta = choice["delta"]
            reasoning += delta.get("reasoning") or ""
            content += delta.get("content") or ""
            assert delta.get("reasoning") == delta.get("reasoning_content")
            for part in delta.get("tool_calls") or []:
                if part.get("id"):
                    calls[part["index"]] = [part["function"]["name"], ""]
                calls[part["index"]][1] += part["function"].get("arguments", "")
            if choice["finish_reason"]:
                finishes.append(choice["finish_reason"])
    assert len(finishes) == 1
    in_order = [calls[index] for index in sorted(calls)]
    assert sorted(calls) == list(range(len(calls)))
    return outcome(reasoning=reasoning, content=content, calls=in_order, finish_reason=finishes[0])


def outcome(*, reasoning="", content="", calls=(), finish_reason="stop", repairs=()):
    return {
        "reasoning": reasoning,
        "content": content,
        "calls": [list(call) for call in calls],
        "finish_reason": finish_reason,
        "repairs": list(repairs),
    }


def expected(case):
    wanted = dict(case["expect"])
    return wanted if "error" in wanted else outcome(**wanted)


def failed_with(error):
    return {"error": error.public} if error.retryable else {"final": error.public}


def answer_whole(case, **options):
    try:
        body = msgspec.json.encode(whole(case.get("reply", {})))
        replied = OpenAIChat().reply(call(case, stream=False, **options), body)
    except UpstreamError as error:
        return failed_with(error)
    [document] = map(json.loads, replied.chunks)
    return {**read(document), "repairs": sorted(replied.repairs)}


def answer_streamed(case, chunks, encode=msgspec.json.encode, **options):
    decoder = OpenAIChat().decoder(call(case, stream=True, **options))
    delivered: list[bytes] = []
    try:
        for document in chunks:
            delivered += decoder.decode([encode(document)])
        delivered += decoder.decode([b"[DONE]"])
        delivered += decoder.flush()
    except UpstreamError as error:
        return failed_with(error)
    return {**fold(map(json.loads, delivered)), "repairs": sorted(decoder.repairs)}


def named(cases):
    return pytest.mark.parametrize("case", [pytest.param(c, id=c["name"]) for c in cases])


# ------------------------------------------------------------------------------------- the corpus


def test_the_corpus_is_large_and_each_case_names_its_source_once():
    assert len(CASES) >= 40
    assert len({case["name"] for case in CASES}) == len(CASES)
    assert all(case["source"] for case in CASES)
    assert {name for case in CASES for name in case["expect"].get("repairs", [])} <= NAMES


@named(REPLIES)
def test_a_whole_reply_comes_out_right_or_as_an_error(case):
    assert answer_whole(case) == expected(case)


@named(REPLIES)
def test_a_stream_comes_out_the_same_wherever_it_is_cut(case):
    reply, wanted = case.get("reply", {}), expected(case)
    assert answer_streamed(case, streamed(reply, {})) == wanted
    for name, text in texts(reply):
        for at in range(len(text) + 1):
            assert answer_streamed(case, streamed(reply, {name: [at]})) == wanted, text[:at]


@named(REPLIES)
@pytest.mark.parametrize("encode", [msgspec.json.encode, as_a_go_server, as_a_python_server])
def test_a_stream_comes_out_the_same_one_character_at_a_time(case, encode):
    reply = case.get("reply", {})
    cuts = {name: list(range(1, len(text))) for name, text in texts(reply)}
    assert answer_streamed(case, streamed(reply, cuts), encode) == expected(case)


@named(REPLIES)
def test_a_stream_comes_out_the_same_in_one_read(case):
    reply = case.get("reply", {})
    decoder = OpenAIChat().decoder(call(case, stream=True))
    payloads = [*map(msgspec.json.encode, streamed(reply, {})), b"[DONE]"]
    delivered = [*decoder.decode(payloads)]
    if "error" in case["expect"]:
        with pytest.raises(UpstreamError, match=case["expect"]["error"]):
            decoder.flush()
    else:
        delivered += decoder.flush()
        got = {**fold(map(json.loads, delivered)), "repairs": sorted(decoder.repairs)}
        assert got == expected(case)


@named(FAILURES)
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_with_an_error_status_comes_out_right_or_as_an_error(case, stream):
    adapter, asked, status = OpenAIChat(), call(case, stream=stream), case["failure"]["status"]
    body = failed(case["failure"]["generation"])
    found = adapter.recovered(asked, status, body)
    if found is None:
        error = adapter.error(status, {}, body)
        assert (error.retryable, {"error": error.public}) == (True, expected(case))
        return
    documents = list(map(json.loads, found.chunks))
    got = fold(documents) if stream else read(documents[0])
    assert {**got, "repairs": sorted(found.repairs)} == expected(case)


def failed(generation, **fields):
    fault = {"message": "Failed to call a function.", "type": "invalid_request_error", **fields}
    fault = {"code": "tool_use_failed", **fault, "failed_generation": generation}
    return msgspec.json.encode({"error": fault})


# ---------------------------------------------------------------------------------- clean streams

WEATHER = {"index": 0, "id": "call_a", "type": "function", "function": {"name": "get_weather"}}
CLEAN = {
    "content": [
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"content": text}) for text in ("Hello", " <b>", "you</b>", " a <", " b <|", "x")),
        chunk({}, "stop"),
        USAGE,
    ],
    "reasoning": [
        chunk({"role": "assistant", "content": "", "reasoning": "", "reasoning_content": ""}),
        chunk({"reasoning": "a < b", "reasoning_content": "a < b"}),
        chunk({"reasoning": " <", "reasoning_content": " <"}),
        chunk({"reasoning": "i", "reasoning_content": "i"}),
        *(chunk({"content": text}) for text in ("fi", "n", "ally", " analysis")),
        chunk({"content": ""}, "length"),
    ],
    "calls": [
        chunk({"role": "assistant", "content": None, "tool_calls": [WEATHER]}),
        *(
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": text}}]})
            for text in ("", '{"ci', 'ty": "<Os', 'lo>",', ' "days"', ": 2,", '"metric":tr', "ue}")
        ),
        chunk({"tool_calls": [{**WEATHER, "index": 1, "id": "call_b"}]}),
        chunk({"tool_calls": [{"index": 1, "function": {"arguments": '{"city":"Rome"} '}}]}),
        chunk({}, "tool_calls"),
        USAGE,
    ],
    "one kind after the other": [
        chunk({"reasoning": "if a <", "reasoning_content": "if a <"}),
        chunk({"content": "\n"}),
        chunk({"reasoning": "b <|", "reasoning_content": "b <|"}),
        chunk({"content": "a <"}),
        chunk({"tool_calls": [{**WEATHER, "function": {"name": "ls", "arguments": ""}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
        chunk({}, "tool_calls"),
    ],
    "calls that a tool may judge": [
        chunk({"content": "I look."}),
        chunk(
            {
                "tool_calls": [
                    {**WEATHER, "function": {"name": "get_weather", "arguments": '{"city":7}'}}
                ]
            },
            "tool_calls",
        ),
    ],
    "two choices": [
        {**chunk({}), "choices": [{"index": at, "delta": {"content": "Hi <"}} for at in (0, 1)]},
        {
            **chunk({}),
            "choices": [
                {"index": at, "delta": {"content": "x"}, "finish_reason": "stop"} for at in (0, 1)
            ],
        },
    ],
}


@pytest.mark.parametrize("encode", [msgspec.json.encode, as_a_go_server, as_a_python_server])
@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_stream_passes_byte_for_byte(name, encode):
    n = 2 if name == "two choices" else 1
    decoder = OpenAIChat().decoder(call({}, stream=True, n=n))
    payloads = [encode(document) for document in CLEAN[name]]
    delivered = [chunk for payload in payloads for chunk in decoder.decode([payload])]
    delivered += [*decoder.decode([b"[DONE]"]), *decoder.flush()]
    if n == 1:
        assert delivered == payloads
    else:
        assert [fold_one(delivered, at) for at in (0, 1)] == ["Hi <x", "Hi <x"]
    assert not decoder.repairs


def fold_one(chunks, index):
    return "".join(
        choice["delta"].get("content", "")
        for chunk in map(json.loads, chunks)
        for choice in chunk["choices"]
        if choice["index"] == index
    )


QUOTED = [
    "Use:\n```\n<|start|>assistant<|channel|>final<|message|>Hi<|end|>\n```\nDone.",
    "The marker `<|start|>assistant` opens a message, ``a ` <|channel|>final`` its channel.",
    "Never write ```<|end|>```.",
    "It's `<|return|>`",
]


@pytest.mark.parametrize("text", QUOTED)
@pytest.mark.parametrize("kind", ["content", "reasoning"])
def test_what_is_quoted_as_code_is_no_leak_wherever_it_is_cut(text, kind):
    reply = {"content": "Hi", kind: text}
    wanted = outcome(**reply)
    assert answer_whole({"reply": reply}) == wanted
    for cuts in [*([at] for at in range(len(text))), list(range(1, len(text)))]:
        assert answer_streamed({}, streamed(reply, {kind: cuts})) == wanted, cuts


@pytest.mark.parametrize("before", ["`a` ", "```\ncode\n```\n", "it`s\n", "````\n```\n````\n"])
def test_a_leak_behind_code_is_still_one(before):
    text = f"{before}Bye<|end|><|start|>assistant<|channel|>final<|message|>Bye"
    got = answer_streamed({}, streamed({"content": text}, {"content": list(range(1, len(text)))}))
    assert (got["content"], got["repairs"]) == (f"{before}Bye\n\nBye", ["markers_in_content"])


@pytest.mark.parametrize("said", ["Answer in <reasoning> and <answer>.", "\\u003Creasoning>"])
def test_tags_that_the_conversation_asks_for_are_content(said):
    text = "<reasoning>a</reasoning><answer>b</answer>"
    case = {"conversation": said, "reply": {"content": text}}
    assert answer_whole(case) == outcome(content=text)
    assert answer_streamed(case, streamed(case["reply"], {})) == outcome(content=text)


def test_a_clean_reply_passes_byte_for_byte():
    body = json.dumps(whole({"content": "a <b>", "calls": [["ls", '{ "path": "x" }']]})).encode()
    body = body.replace(b'"stop"', b'"tool_calls"')
    replied = OpenAIChat().reply(call({}, stream=False), body)
    assert (replied.chunks, set(replied.repairs)) == ((body,), set())


def test_text_is_held_back_only_while_it_may_be_a_marker():
    decoder = OpenAIChat().decoder(call({}, stream=True))
    passed = [
        len(decoder.decode([msgspec.json.encode(chunk({"content": text}))]))
        for text in ("He", "llo", " <", "b>", " <|", "x", "<|end|>", " no")
    ]
    assert passed == [1, 1, 0, 2, 0, 2, 0, 2]


def test_nothing_is_held_back_once_something_else_follows():
    decoder = OpenAIChat().decoder(call({}, stream=True))
    deltas = [
        {"reasoning": "if a <", "reasoning_content": "if a <"},
        *({"content": text} for text in ("so", "me", "\n")),
        {"tool_calls": [{**WEATHER, "function": {"name": "exec", "arguments": ""}}]},
        *(
            {"tool_calls": [{"index": 0, "function": {"arguments": t}}]}
            for t in ('{"com', 'mand":')
        ),
    ]
    passed = [len(decoder.decode([msgspec.json.encode(chunk(delta))])) for delta in deltas]
    assert passed == [0, 2, 1, 1, 1, 1, 1]


def test_white_space_before_a_call_does_not_hold_it_back():
    decoder = OpenAIChat().decoder(call({}, stream=True))
    begun = {**WEATHER, "function": {"name": "exec", "arguments": '{"command'}}
    deltas = [{"content": "\n\n"}, {"tool_calls": [begun]}]
    passed = [len(decoder.decode([msgspec.json.encode(chunk(delta))])) for delta in deltas]
    assert passed == [0, 2]


def test_a_leak_after_white_space_and_reasoning_is_still_one():
    reply = [{"content": "\n"}, {"reasoning": "Hm."}, {"content": "assistantfinalHi"}]
    chunks = [*map(chunk, reply), chunk({}, "stop")]
    wanted = outcome(reasoning="Hm.", content="\nHi", repairs=["bare_channels"])
    assert answer_streamed({}, chunks) == wanted


def test_what_can_be_no_call_of_ours_is_not_withheld_in_silence():
    asked = call({}, stream=True)
    asked.body["tools"] = msgspec.Raw(b'[{"type":"browser_search"}]')
    decoder = OpenAIChat().decoder(asked)
    built_in = {**WEATHER, "function": {"name": "browser.search", "arguments": "{}"}}
    payload = msgspec.json.encode(chunk({"tool_calls": [built_in]}, "tool_calls"))
    assert decoder.decode([payload, b"[DONE]"]) == [payload]


def test_other_models_are_none_of_its_business():
    case = {"reply": {"content": "<|channel|>final<|message|>Hi", "finish_reason": "eos"}}
    assert answer_whole(case, model="qwen3")["content"] == "<|channel|>final<|message|>Hi"
    assert OpenAIChat().recovered(call({}, stream=True, model="q"), 400, failed("{}")) is None
    chunks = list(map(msgspec.json.encode, streamed(case["reply"], {})))
    assert OpenAIChat().decoder(call({}, stream=True, model="qwen3")).decode(chunks) == chunks


def test_a_model_is_known_by_its_name_or_named_by_whoever_builds_the_provider():
    assert all(
        map(is_gpt_oss, ["openai/gpt-oss-20b", "databricks-gpt-oss-120b", "GPT_OSS", "gptoss"])
    )
    assert not any(map(is_gpt_oss, ["gpt-4o", "oss", "llama-3"]))
    adapter = OpenAIChat(gpt_oss=["dep-7"])
    body = msgspec.json.encode(whole({"content": "assistantfinalHi"}))
    replied = adapter.reply(call({}, stream=False, model="dep-7"), body)
    assert json.loads(replied.chunks[0])["choices"][0]["message"]["content"] == "Hi"


# ------------------------------------------------------------------------------------- odd streams


def test_a_failed_generation_after_the_status_is_recovered_while_there_is_only_reasoning():
    decoder = OpenAIChat().decoder(call({}, stream=True))
    thought = chunk({"role": "assistant", "reasoning": "Hm.", "reasoning_content": "Hm."})
    late = failed('{"name":"ls","arguments":{}}', status_code=400)
    delivered = decoder.decode([msgspec.json.encode(thought), late, b"[DONE]"])
    got = fold(map(json.loads, [*delivered, *decoder.flush()]))
    assert (got["calls"], got["finish_reason"]) == ([["ls", "{}"]], "tool_calls")
    assert decoder.repairs == {"failed_generation"}


def test_a_failed_generation_after_content_is_an_error():
    decoder = OpenAIChat().decoder(call({}, stream=True))
    late = failed('{"name":"ls","arguments":{}}')
    [said] = decoder.decode([msgspec.json.encode(chunk({"content": "Hi"})), late])
    assert json.loads(said)["choices"][0]["delta"] == {"content": "Hi"}
    with pytest.raises(UpstreamError) as caught:
        decoder.flush()
    assert caught.value.retryable


def test_a_failed_generation_within_an_error_of_another_kind_is_not_read():
    asked = call({}, stream=False)
    body = failed('{"name":"ls","arguments":{}}', code="rate_limited")
    assert OpenAIChat().recovered(asked, 400, body) is None
    assert OpenAIChat().recovered(asked, 400, b"<html>") is None


def test_an_empty_answer_does_not_commit():
    decoder = OpenAIChat().decoder(call({}, stream=True))
    role = msgspec.json.encode(chunk({"role": "assistant", "content": ""}))
    assert decoder.decode([role, msgspec.json.encode(chunk({}, "stop")), b"[DONE]"]) == []
    with pytest.raises(UpstreamError, match="without content"):
        decoder.flush()


@pytest.mark.parametrize("n", [1, 2])
def test_a_refusal_and_one_of_several_choices_may_be_empty(n):
    answers = [{"refusal": "no"}] if n == 1 else [{"content": "Hi"}, {"content": None}]
    choices = [
        {"index": at, "message": message, "finish_reason": "stop"}
        for at, message in enumerate(answers)
    ]
    body = msgspec.json.encode({**whole({}), "choices": choices})
    assert OpenAIChat().reply(call({}, stream=False), body).chunks == (body,)


def test_a_refusal_may_be_streamed():
    decoder = OpenAIChat().decoder(call({}, stream=True))
    deltas = [{"role": "assistant", "content": ""}, {"refusal": "I"}, {"refusal": " cannot"}]
    payloads = [msgspec.json.encode(chunk(delta)) for delta in deltas]
    payloads.append(msgspec.json.encode(chunk({}, "stop")))
    delivered = [one for payload in payloads for one in decoder.decode([payload])]
    assert [*delivered, *decoder.decode([b"[DONE]"]), *decoder.flush()] == payloads


@pytest.mark.parametrize("stream", [False, True])
def test_content_in_parts_outlives_a_repair(stream):
    parts = [{"type": "text", "text": "Hi"}, {"type": "image", "data": "x"}]
    if stream:
        decoder = OpenAIChat().decoder(call({}, stream=True))
        [said] = decoder.decode([msgspec.json.encode(chunk({"content": parts}, "tool_calls"))])
        choice = json.loads(said)["choices"][0]
        assert (choice["delta"], choice["finish_reason"]) == ({"content": parts}, "stop")
        return
    body = msgspec.json.encode(whole({"content": parts, "finish_reason": "tool_calls"}))
    replied = OpenAIChat().reply(call({}, stream=False), body)
    choice = json.loads(replied.chunks[0])["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (parts, "stop")


def test_a_second_finish_reason_is_dropped_and_its_usage_kept():
    decoder = OpenAIChat().decoder(call({}, stream=True))
    chunks = [chunk({"content": "Hi"}), chunk({}, "stop"), chunk({}, "stop")]
    chunks.append(chunk({}, "stop", usage=USAGE["usage"]))
    *delivered, last = map(json.loads, decoder.decode(list(map(msgspec.json.encode, chunks))))
    assert delivered == chunks[:2]
    assert (last["choices"], last["usage"]) == ([], USAGE["usage"])
    assert decoder.repairs == {"finish_reason"}


def test_calls_under_one_index_are_told_apart_by_their_ids():
    decoder = OpenAIChat().decoder(call({}, stream=True))
    calls = [
        {**WEATHER, "id": f"call_{city}", "function": {"name": "get_weather", "arguments": text}}
        for city, text in (("a", '{"city":"Oslo"}'), ("b", '{"city":"Rome"}'))
    ]
    chunks = [*(chunk({"tool_calls": [one]}) for one in calls), chunk({}, "tool_calls")]
    delivered = decoder.decode(list(map(msgspec.json.encode, chunks)))
    got = fold(map(json.loads, delivered))
    assert [text for _, text in got["calls"]] == ['{"city":"Oslo"}', '{"city":"Rome"}']


def test_a_call_without_an_id_gets_one_and_arguments_as_an_object_become_text():
    broken = {"function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}
    message = {"role": "assistant", "content": "", "tool_calls": [broken]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    body = msgspec.json.encode({**whole({}), "choices": [choice]})
    replied = OpenAIChat().reply(call({}, stream=False), body)
    [made] = json.loads(replied.chunks[0])["choices"][0]["message"]["tool_calls"]
    assert made["id"].startswith("call_")
    assert made["function"] == {"name": "get_weather", "arguments": '{"city":"Oslo"}'}
    assert set(replied.repairs) == {"tool_call_id"}


def test_a_call_with_arguments_without_end_is_not_held_for_ever():
    decoder = OpenAIChat().decoder(call({}, stream=True))
    begun = {**WEATHER, "function": {"name": "get_weather", "arguments": "?"}}
    decoder.decode([msgspec.json.encode(chunk({"tool_calls": [begun]}))])
    more = {"index": 0, "function": {"arguments": "?" * 100_000}}
    for _ in range(11):
        decoder.decode([msgspec.json.encode(chunk({"tool_calls": [more]}))])
    with pytest.raises(UpstreamError, match="without end"):
        decoder.flush()


def test_what_a_rewritten_chunk_says_besides_is_kept():
    decoder = OpenAIChat().decoder(call({}, stream=True))
    leaked = chunk({"role": "assistant", "content": "assistantfinalHi"}, usage=USAGE["usage"])
    said, used = map(json.loads, decoder.decode([msgspec.json.encode(leaked)]))
    assert said == chunk({"role": "assistant", "content": "Hi"})
    assert used == USAGE


@pytest.mark.parametrize("broken", [b"{<}", b'{"choices":[{"delta":{"content":"<"}]}', b'{"<":7'])
def test_what_is_no_chunk_is_an_error(broken):
    decoder = OpenAIChat().decoder(call({}, stream=True))
    decoder.decode([broken])
    with pytest.raises(UpstreamError, match="not a chat completion chunk"):
        decoder.flush()


def test_a_last_chunk_that_is_none_is_an_error():
    decoder = OpenAIChat().decoder(call({}, stream=True))
    for payload in (*[msgspec.json.encode(chunk({"content": "Hi"}))] * 2, b"{it}", b"[DONE]"):
        decoder.decode([payload])
    with pytest.raises(UpstreamError, match="not a chat completion chunk"):
        decoder.flush()


def endless(first, more, *, until=2000):
    """Feeds the first delta and then the others that ``more`` makes; returns what the stream ends with."""
    decoder = OpenAIChat().decoder(call({}, stream=True))
    decoder.decode([msgspec.json.encode(chunk(first))])
    for number in range(until):
        decoder.decode([msgspec.json.encode(more(number))])
        if decoder.done:
            break
    with pytest.raises(UpstreamError) as caught:
        decoder.flush()
    return caught.value.message


@pytest.mark.parametrize(
    ("first", "more", "ends"),
    [
        pytest.param(
            {"content": "<|channel|>commentary to=functions.ls<|message|>{"},
            lambda _: chunk({"content": "x" * 10_000}),
            "called a tool with arguments without end",
            id="a call in the text",
        ),
        pytest.param(
            {"tool_calls": [{**WEATHER, "function": {"name": "ls", "arguments": '{"path":"'}}]},
            lambda _: chunk(
                {"tool_calls": [{"index": 0, "function": {"arguments": "x" * 100_000}}]}
            ),
            "called a tool with arguments without end",
            id="a call that seems right",
        ),
        pytest.param(
            {"content": "a <"},
            lambda _: chunk({"role": "assistant" + " " * 50_000}),
            "sent too much before it was clear what it says",
            id="nothing while text is held",
        ),
        pytest.param(
            {},
            lambda number: chunk({"tool_calls": [{**WEATHER, "index": number}]}),
            "called tools without end",
            id="calls",
        ),
        pytest.param(
            {"content": "a"},
            lambda at: {**chunk({}), "choices": [{"index": at, "delta": {"content": "<"}}]},
            "sent choices without end",
            id="choices",
        ),
    ],
)
def test_no_stream_is_kept_in_memory_without_end(first, more, ends):
    assert endless(first, more) == ends


@pytest.mark.parametrize(
    ("reply", "by_model"),
    [
        ({"calls": [["delete_everything", '{"nothing":"fits"}']]}, True),
        ({"calls": [["get_weather", '{"city":']]}, True),
        ({"content": ""}, False),
    ],
)
def test_what_the_model_did_wrong_is_told_from_a_broken_server(reply, by_model):
    with pytest.raises(UpstreamError) as caught:
        OpenAIChat().reply(call({}, stream=False), msgspec.json.encode(whole(reply)))
    assert (caught.value.retryable, caught.value.by_model) == (True, by_model)


@pytest.mark.parametrize("second", ['{"path":"b"}', '{"path":"b', "{'path': 'b'}", "{"])
def test_a_second_object_cut_or_not_leaves_open_which_was_meant(second):
    text = f'{{"path":"a"}} {second}'
    with pytest.raises(UpstreamError, match="do not fit"):
        OpenAIChat().reply(
            call({}, stream=False), msgspec.json.encode(whole({"calls": [["ls", text]]}))
        )


def test_words_behind_an_object_are_left_out_braces_and_all():
    reply = {"calls": [["ls", '{"path":"a"} Then {x} and {}.']]}
    got = answer_whole({"reply": reply})
    assert (got["calls"], got["repairs"]) == (
        [["ls", '{"path":"a"}']],
        ["arguments_mended", "finish_reason"],
    )
