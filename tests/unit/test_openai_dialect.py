"""The OpenAI dialect: what it sends, what it passes, what it makes of failures."""

from __future__ import annotations

import email.utils
import json
import time

import msgspec
import pytest

from trunkline.errors import UpstreamError
from trunkline.providers.base import Call
from trunkline.providers.openai import OpenAIChat


def call(body, *, stream=False):
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return Call(model="up/model", body=fields, stream=stream, request_id="req_1")


ANY = call(b'{"model":"m"}')


def delta(**fields):
    return chunk([{"index": 0, "delta": fields, "finish_reason": None}])


def chunk(choices, **more):
    return msgspec.json.encode(
        {"id": "c", "object": "chat.completion.chunk", "choices": choices, **more}
    )


FINISH = chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}])
USAGE = chunk(
    [],
    usage={
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "completion_tokens_details": {"reasoning_tokens": 1},
    },
)
DEEP = b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}"


# What is sent


def test_the_model_is_swapped_and_everything_else_keeps_its_bytes():
    body = b'{"model":"gpt-oss", "x_new": [1.10, 1e400], "messages":[{"role" :"user","content":"\\u00fc"}]}'
    outgoing = OpenAIChat(key="sk-1").request(call(body))
    assert outgoing.path == "/chat/completions"
    assert outgoing.headers == {"Content-Type": "application/json", "Authorization": "Bearer sk-1"}
    assert outgoing.body == (
        b'{"model":"up/model","x_new":[1.10, 1e400],"messages":[{"role" :"user","content":"\\u00fc"}]}'
    )


def test_without_a_key_no_authorization_is_sent():
    assert "Authorization" not in OpenAIChat().request(call(b"{}")).headers


def test_what_speaks_to_the_router_is_not_sent_on():
    sent = json.loads(OpenAIChat().request(call(b'{"provider":{"order":["a"]},"seed":1}')).body)
    assert sent == {"model": "up/model", "seed": 1}


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ("", {"include_usage": True}),
        (',"stream_options":null', {"include_usage": True}),
        (',"stream_options":{"include_usage":false,"x":1}', {"include_usage": True, "x": 1}),
    ],
)
def test_a_stream_is_always_asked_for_its_usage(options, sent):
    body = f'{{"model":"m","stream":true{options}}}'.encode()
    outgoing = json.loads(OpenAIChat().request(call(body, stream=True)).body)
    assert outgoing == {"model": "up/model", "stream": True, "stream_options": sent}


def test_what_is_not_streamed_is_asked_for_without_stream_fields():
    body = b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}'
    assert json.loads(OpenAIChat().request(call(body)).body) == {"model": "up/model"}


def test_the_key_is_not_shown():
    assert "sk-1" not in repr(OpenAIChat(key="sk-1"))


# What is passed


@pytest.mark.parametrize("theirs", ["reasoning", "reasoning_content"])
@pytest.mark.parametrize(
    ("fields", "ours"),
    [
        ("both", {"reasoning": "hm", "reasoning_content": "hm"}),
        ("reasoning", {"reasoning": "hm"}),
        ("reasoning_content", {"reasoning_content": "hm"}),
    ],
)
def test_reasoning_has_the_wanted_names_in_messages_and_deltas(theirs, fields, ours):
    adapter = OpenAIChat(reasoning_fields=fields)
    message = {"role": "assistant", "content": "x", theirs: "hm"}
    body = {"id": "c", "choices": [{"index": 0, "message": message}], "usage": {"x": 1}}
    replied = json.loads(adapter.reply(ANY, msgspec.json.encode(body)).chunks[0])
    wanted = {"role": "assistant", "content": "x", **ours}
    assert replied == {**body, "choices": [{"index": 0, "message": wanted}]}
    assert list(map(json.loads, adapter.decoder(ANY).decode([delta(**{theirs: "hm"})]))) == [
        json.loads(delta(**ours))
    ]


@pytest.mark.parametrize("fields", ["both", "reasoning", "reasoning_content"])
@pytest.mark.parametrize(
    "written",
    [
        delta(reasoning='"quoted" \\ \n ü', role="assistant"),
        delta(reasoning='"delta":{"reasoning":"x"}'),
        delta(reasoning_content="\\"),
        delta(reasoning=""),
        chunk([{"index": n, "delta": {"reasoning": f"{n}"}} for n in range(3)]),
        chunk([{"delta": {"reasoning": "a"}}, {"delta": {"content": "b", "reasoning": "c"}}]),
    ],
)
def test_reasoning_is_named_alike_however_the_chunk_is_written(fields, written):
    spaced = json.dumps(json.loads(written), indent=1).encode()
    decoder = OpenAIChat(reasoning_fields=fields).decoder(ANY)
    _, compactly, spaciously = decoder.decode([delta(content="x"), written, spaced])
    assert json.loads(compactly) == json.loads(spaciously)


@pytest.mark.parametrize(
    "passed",
    [
        delta(content='he said "reasoning": and "error"'),
        delta(content="x", reasoning=None, reasoning_content=None),
        delta(reasoning="hm", reasoning_content="hm"),
        delta(content="x", reasoning={"effort": "low"}),
        chunk([], error=None, usage={"reasoning_tokens": 1}),
    ],
)
def test_chunks_that_need_nothing_pass_byte_for_byte(passed):
    decoder = OpenAIChat().decoder(ANY)
    first = delta(content="x")
    assert decoder.decode([first, passed]) == [first, passed]


def test_a_stream_commits_with_its_first_content_and_delivers_what_was_withheld():
    decoder = OpenAIChat().decoder(ANY)
    role, empty, early = delta(role="assistant", content=""), delta(content=None), chunk([])
    assert decoder.decode([early, role]) == []
    assert decoder.decode([empty]) == []
    content = delta(content="x")
    assert decoder.decode([content]) == [early, role, empty, content]
    assert decoder.decode([FINISH, USAGE, b"[DONE]", b"ignored"]) == [FINISH, USAGE]
    assert decoder.done
    assert decoder.flush() == ()


@pytest.mark.parametrize(
    "first",
    [
        delta(content="x"),
        delta(tool_calls=[{"index": 0}]),
        delta(refusal="no"),
        delta(reasoning="hm", reasoning_content="hm"),
        FINISH,
    ],
)
def test_whatever_says_something_commits(first):
    assert OpenAIChat().decoder(ANY).decode([delta(role="assistant"), first]) == [
        delta(role="assistant"),
        first,
    ]


@pytest.mark.parametrize(
    "silent",
    [
        chunk(None),
        chunk([{"index": 0, "delta": None}]),
        chunk([{"index": 0, "delta": {"role": "assistant"}, "finish_reason": ""}]),
    ],
)
@pytest.mark.parametrize("model", ["gpt-oss", "qwen3"])
def test_nothing_may_be_written_as_null_or_empty_and_does_not_commit(silent, model):
    decoder = OpenAIChat().decoder(msgspec.structs.replace(ANY, model=model))
    assert decoder.decode([silent]) == []
    said = delta(content="Hi")
    assert decoder.decode([said, silent]) == [silent, said, silent]
    assert decoder.decode([FINISH]) == [FINISH]
    assert list(decoder.flush()) == []


def test_a_provider_that_only_ever_sends_roles_is_not_buffered_without_end():
    decoder = OpenAIChat().decoder(ANY)
    delivered = [c for _ in range(100) for c in decoder.decode([delta(role="assistant")])]
    assert len(delivered) == 100


def test_chunks_without_content_that_are_too_long_together_fail_and_may_be_tried_elsewhere():
    decoder = OpenAIChat().decoder(ANY)
    empty = chunk([{"index": 0, "delta": {"content": ""}}], padding="x" * 400_000)
    assert [(decoder.decode([empty]), decoder.done) for _ in range(3)] == [
        ([], False),
        ([], False),
        ([], True),
    ]
    with pytest.raises(UpstreamError, match="without content") as caught:
        decoder.flush()
    assert caught.value.retryable


def test_a_long_first_chunk_with_content_passes():
    long = delta(content="x" * 2_000_000)
    assert OpenAIChat().decoder(ANY).decode([long]) == [long]


@pytest.mark.parametrize("end", [b"[DONE]", b"[DONE] ", b" [DONE]\n"])
def test_empty_events_and_space_around_chunks_and_done_do_no_harm(end):
    decoder = OpenAIChat().decoder(ANY)
    spaced = b" " + delta(content="y") + b" \n"
    assert decoder.decode([b"", delta(content="x"), b" ", spaced]) == [delta(content="x"), spaced]
    assert decoder.decode([FINISH, b"", end]) == [FINISH]
    assert decoder.done
    assert decoder.flush() == ()


def test_a_stream_with_a_finish_reason_needs_no_done():
    decoder = OpenAIChat().decoder(ANY)
    decoder.decode([delta(content="x"), FINISH, USAGE])
    assert decoder.flush() == ()


THOUGHT = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
SAID = {"type": "text", "text": "Hi"}
IMAGE = {"type": "image", "data": "x"}


@pytest.mark.parametrize(
    ("parts", "content", "reasoning"),
    [
        ([THOUGHT, SAID], "Hi", "Hm."),
        ([THINKING, SAID], "Hi", "Hm."),
        ([THOUGHT, THOUGHT], None, "Hm.Hm."),
        ([SAID, SAID], "HiHi", None),
        ([SAID, IMAGE], [SAID, IMAGE], None),
        ([SAID, "odd"], [SAID, "odd"], None),
        (
            [{"type": "reasoning", "summary": "odd"}],
            [{"type": "reasoning", "summary": "odd"}],
            None,
        ),
        ([{"type": "reasoning", "summary": [7, {"text": 7}]}], None, None),
        ([], None, None),
    ],
)
@pytest.mark.parametrize("model", ["gpt-oss-20b", "another"])
@pytest.mark.parametrize("spaced", [False, True])
def test_content_in_parts_comes_out_as_text_and_reasoning(parts, content, reasoning, model, spaced):
    def written(holder):
        whole = {"choices": [{"index": 0, holder: {"content": parts}, "finish_reason": "length"}]}
        return json.dumps(whole, separators=None if spaced else (",", ":")).encode()

    expected = {"content": content}
    if reasoning:
        expected |= {"reasoning": reasoning, "reasoning_content": reasoning}
    asked = msgspec.structs.replace(ANY, model=model)
    (document,) = OpenAIChat().reply(asked, written("message")).chunks
    assert json.loads(document)["choices"][0]["message"] == expected
    decoder = OpenAIChat().decoder(asked)
    (document,) = [*decoder.decode([written("delta")]), *decoder.flush()]
    assert json.loads(document)["choices"][0]["delta"] == expected


@pytest.mark.parametrize(
    ("payloads", "used"),
    [
        ([USAGE, b"[DONE]"], 2),
        ([USAGE], 2),
        ([delta(role="assistant"), b"oops", USAGE], 2),
        ([b'{"usage":7}', b"[DONE]"], None),
        ([b'{"usage":{},"x":' + DEEP + b"}", b"[DONE]"], None),
    ],
)
def test_what_a_stream_without_content_used_is_told(payloads, used):
    decoder = OpenAIChat().decoder(ANY)
    decoder.decode(payloads)
    with pytest.raises(UpstreamError) as caught:
        decoder.flush()
    assert (caught.value.used and caught.value.used.completion_tokens) == used


@pytest.mark.parametrize(
    "document",
    [
        {"choices": [], "usage": {"total_tokens": 5}},
        {
            "choices": [{"message": {"content": ""}, "finish_reason": "stop"}],
            "usage": {"total_tokens": 5},
        },
    ],
)
def test_what_an_answer_without_content_used_is_told(document):
    call = msgspec.structs.replace(ANY, model="gpt-oss-20b")
    with pytest.raises(UpstreamError) as caught:
        OpenAIChat().reply(call, msgspec.json.encode(document))
    assert caught.value.used.total_tokens == 5


@pytest.mark.parametrize(
    ("payloads", "message"),
    [
        ([], "broke off"),
        ([delta(role="assistant")], "broke off"),
        ([delta(content='"finish_reason":"stop"')], "broke off"),
        ([chunk([{"delta": {"content": "Hi"}, "finish_reason": ""}])], "broke off"),
        ([b"[DONE]"], "without content"),
        ([delta(role="assistant"), b"[DONE]"], "without content"),
        ([b"<html>"], "not a chat completion chunk"),
        ([b'{"id":"c'], "not a chat completion chunk"),
        ([b'{"choices":7}'], "not a chat completion chunk"),
        ([delta(content="x"), b"oops"], "not a chat completion chunk"),
        ([delta(content="x"), b"{oops"], "not a chat completion chunk"),
        ([delta(content="x"), delta(content="y")[:-1]], "not a chat completion chunk"),
        ([delta(content="x"), delta(content="y") + b"oops"], "not a chat completion chunk"),
        ([DEEP], "not a chat completion chunk"),
        ([delta(content="x"), b'{"error":null,"x":' + DEEP + b"}"], "not a chat completion chunk"),
        ([b'{"choices":[{"delta":{"\xff":1}}]}'], "not a chat completion chunk"),
        ([b'{"error":{"message":"it broke"}}'], "it broke"),
        ([delta(content="x"), b'{"error":"overloaded"}'], "overloaded"),
    ],
)
def test_a_stream_that_did_not_end_well_says_so(payloads, message):
    decoder = OpenAIChat().decoder(ANY)
    decoder.decode(payloads)
    with pytest.raises(UpstreamError, match=message) as caught:
        decoder.flush()
    assert caught.value.retryable


def test_chunks_before_a_late_error_are_delivered():
    stream = [
        delta(content="a"),
        delta(content="b"),
        b'{"error":{"message":"x"}}',
        delta(content="c"),
    ]
    for cut in range(len(stream) + 1):
        decoder = OpenAIChat().decoder(ANY)
        delivered = [*decoder.decode(stream[:cut])]
        if not decoder.done:
            delivered += decoder.decode(stream[cut:])
        assert delivered == stream[:2]
        with pytest.raises(UpstreamError):
            decoder.flush()


@pytest.mark.parametrize(
    "fault",
    [{"type": "invalid_request_error", "param": "messages"}, {"code": 400, "param": "messages"}],
)
def test_a_late_error_that_is_the_callers_mistake_is_not_tried_elsewhere(fault):
    decoder = OpenAIChat().decoder(ANY)
    decoder.decode([msgspec.json.encode({"error": {"message": "no such role", **fault}})])
    with pytest.raises(UpstreamError) as caught:
        decoder.flush()
    assert (caught.value.retryable, caught.value.status) == (False, 400)
    assert (caught.value.public, caught.value.param) == ("no such role", "messages")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        b'{"id":"c',
        b"[]",
        b"{}",
        b'{"choices":[]}',
        b'{"choices":[{"index":0}]}',
        b'{"choices":[{"index":0,"message":null}]}',
        b'{"choices":[{"message":{"content":"x"}},{"message":"x"}]}',
        b'{"error":{"message":"x"}}',
        b'{"choices":[{"message":{"reasoning":"x","\xff":1}}]}',
        b'{"choices":[{"message":7}],"reasoning":1}',
        b'{"\xff":1}',
        DEEP,
    ],
)
def test_a_reply_that_is_no_completion_fails_and_may_be_tried_elsewhere(body):
    with pytest.raises(UpstreamError) as caught:
        OpenAIChat().reply(ANY, body)
    assert caught.value.retryable


# Failures


def error(status, body=b"", **headers):
    if not isinstance(body, bytes):
        body = msgspec.json.encode(body)
    return OpenAIChat(key="the-secret-key").error(status, headers, body)


@pytest.mark.parametrize(
    ("fault", "limit"),
    [
        ({"message": "This model's maximum context length is 8192 tokens"}, True),
        ({"message": "too long", "code": "context_length_exceeded"}, True),
        ({"message": "response_format is not supported with tools"}, True),
        ({"message": "unsupported value", "code": "unsupported_value"}, True),
        ({"message": "temperature must be at most 2"}, False),
        ({}, False),
    ],
)
def test_a_limit_of_the_providers_own_is_told_from_what_nobody_would_serve(fault, limit):
    failure = error(400, {"error": fault})
    assert (failure.retryable, failure.limit) == (False, limit)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_callers_mistake_passes_with_the_providers_sentence(status):
    failure = error(status, {"error": {"message": "n must be 1", "param": "n", "code": "bad_n"}})
    assert (failure.retryable, failure.status, failure.public) == (False, status, "n must be 1")
    assert (failure.param, failure.code) == ("n", "bad_n")


@pytest.mark.parametrize(
    "status", [307, 401, 402, 403, 404, 405, 408, 409, 410, 425, 429, 451, 500, 502, 503, 504, 529]
)
def test_every_other_failure_may_be_tried_elsewhere_and_is_told_in_our_words(status):
    failure = error(status, {"error": {"message": "ask bob@example.com", "code": "x"}})
    assert failure.retryable
    assert failure.status == status
    assert "bob" not in failure.public
    assert "bob" in failure.message
    assert str(status) in failure.public
    assert failure.timed_out == (status in (408, 504))


@pytest.mark.parametrize("code", ["tool_use_failed", "json_validate_failed"])
def test_what_the_model_did_wrong_may_be_tried_elsewhere(code):
    assert error(400, {"error": {"message": "bad tool call", "code": code}}).retryable


@pytest.mark.parametrize(
    "sentence",
    [
        "This model's maximum context length is 131072 tokens. However, you requested 140000 tokens.",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "Requested token count exceeds the model's maximum context size",
        "Please reduce the length of the messages: the context window is 8192",
    ],
)
def test_a_context_that_is_too_long_is_recognised(sentence):
    failure = error(400, {"error": {"message": sentence, "code": 400}})
    assert (failure.code, failure.public) == ("context_length_exceeded", sentence)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"error": "a string"}, "a string"),
        ({"message": "flat", "code": 400}, "flat"),
        ({"detail": "fastapi"}, "fastapi"),
        ({"detail": [{"loc": ["body", "n"], "msg": "too big"}]}, "n: too big"),
        ({"detail": [{"loc": None, "msg": "no place"}]}, "no place"),
        ({"detail": [{"loc": 5, "msg": "odd place"}]}, "odd place"),
        ({"detail": [{"loc": ["body", None, 0], "msg": "too big"}, "else"]}, "0: too big; else"),
        ([{"error": {"message": "in a list"}}], "in a list"),
        ({"error": {"message": "a\n\tb\x00\x1b[0m  c"}}, "a b[0m c"),
    ],
)
def test_error_shapes_of_the_field_are_read(body, sentence):
    assert error(400, body).public == sentence


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"null", b'{"error":7}', b'{"error":{}}', b"\xff", DEEP, b'{"\xff":1}'],
)
def test_an_error_without_words_gets_ours(body):
    assert error(400, body).public == "the provider refused the request with status 400"


@pytest.mark.parametrize(
    "secret",
    [
        "the-secret-key",
        "sk-proj-abc123DEF456",
        "hf_abcdefghijkl",
        "gsk_1234567890ab",
        "Bearer abc.def",
        "A1" * 25,
    ],
)
def test_nothing_that_looks_like_a_key_is_passed(secret):
    failure = error(400, {"error": {"message": f"bad thing {secret} here"}})
    assert failure.public == "bad thing … here"
    assert secret not in failure.message


@pytest.mark.parametrize(
    "code", ["you said: my dog is ill", "x" * 65, "", "bad\ncode", "the-secret-key", 7, {"a": 1}]
)
def test_a_code_that_is_no_name_is_dropped_for_codes_are_logged(code):
    assert error(400, {"error": {"message": "no", "code": code}}).code is None
    assert error(500, {"error": {"message": "no", "code": code}}).code is None


def test_a_param_is_cleaned_and_cut():
    def param(value):
        return error(400, {"error": {"message": "no", "param": value}}).param

    assert param("messages[0].content") == "messages[0].content"
    assert param("a\x1b[0m the-secret-key") == "a[0m …"
    assert len(param("word " * 100)) == 200
    assert param("") is None


@pytest.mark.parametrize("name", ["invalid_api_key", "authentication_error", "permission_denied"])
@pytest.mark.parametrize("field", ["code", "type"])
def test_what_is_about_the_routers_key_is_not_the_callers_mistake(field, name):
    fault = {"message": "no: hunter2secret", "type": "invalid_request_error", field: name}
    failures = [error(400, {"error": fault}), late_error(fault), late_error({**fault, "code": 400})]
    if field == "code":
        failures.pop()  # there its name is gone
    for failure in failures:
        assert failure.retryable
        assert "hunter2secret" not in failure.public


def test_a_sentence_about_an_api_key_is_not_the_callers_mistake():
    fault = {"message": "Incorrect API key: hunter2secret", "type": "invalid_request_error"}
    for failure in (error(400, {"error": fault}), late_error(fault)):
        assert failure.retryable
        assert "hunter2secret" not in failure.public


@pytest.mark.parametrize("padding", ["", " " * 3993])
def test_the_routers_key_is_never_quoted(padding):
    fault = {"message": f"{padding}no to the-secret-key", "type": "invalid_request_error"}
    for failure in (error(400, {"error": fault}), late_error(fault)):
        assert (failure.retryable, failure.public) == (False, "no to …")
    with pytest.raises(UpstreamError) as caught:
        OpenAIChat(key="the-secret-key").reply(ANY, msgspec.json.encode({"error": fault}))
    assert caught.value.public == "no to …"


def test_no_other_secret_of_the_provider_is_quoted():
    adapter = OpenAIChat(
        key="the-key", secrets=["Basic the-key-of-a-gateway", "the-key-of-a-gateway"]
    )
    fault = {
        "message": "no to the-key-of-a-gateway (Basic the-key-of-a-gateway, the-key)",
        "code": "the-key-of-a-gateway",
        "param": "the-key-of-a-gateway",
    }
    failure = adapter.error(400, {}, msgspec.json.encode({"error": fault}))
    assert (failure.public, failure.code, failure.param) == ("no to … (…, …)", None, "…")


def late_error(fault):
    decoder = OpenAIChat(key="the-secret-key").decoder(ANY)
    decoder.decode([msgspec.json.encode({"error": fault})])
    with pytest.raises(UpstreamError) as caught:
        decoder.flush()
    return caught.value


def test_a_long_sentence_is_cut():
    assert len(error(400, {"error": {"message": "word " * 10_000}}).public) == 500


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "7", "retry-after-ms": "250"}, 0.25),
        ({"Retry-After": "999999999"}, 86_400.0),
        ({"Retry-After": "Mon, 01 Jan 2001 00:00:00 GMT"}, 0.0),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read(headers, seconds):
    assert error(429, **headers).retry_after_s == seconds


def test_retry_after_may_be_a_date():
    at = email.utils.formatdate(time.time() + 100, usegmt=True)
    seconds = error(503, **{"Retry-After": at}).retry_after_s
    assert seconds is not None
    assert 90 < seconds <= 100


def asked(model):
    return Call(model=model, body=ANY.body, stream=True, request_id="req_1")


FORMS = {
    "words": ["One", " two", " three"],
    "escapes": ['a "quoted" word', "line\nline", "tab\t", "back\\slash", "\\", 'end"'],
    "what may be markers": ["a < b", "<", "|channel|>", "\u003c|x", "a<b>c"],
    "empty": ["", "one", "", "two", ""],
    "json in words": [
        '","reasoning":"',
        '"},"finish_reason":"stop"',
        "}\n{",
        '{"error": 1}',
        "[DONE]",
    ],
    "other alphabets": ["größer", "日本語", "\u2028", "🙂"],
}


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("model", ["some-model", "openai/gpt-oss-120b"])
@pytest.mark.parametrize("texts", FORMS.values(), ids=FORMS)
def test_words_pass_unchanged_however_alike_their_chunks_are(texts, model, together, ascii_only):
    deltas = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning": text} for text in [*texts, *texts]]
    deltas += [{"content": text} for text in ["So", *texts, *texts]]
    chunks = [
        {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]
    chunks.append({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    payloads = [
        json.dumps(chunk, separators=(",", ":"), ensure_ascii=ascii_only).encode()
        for chunk in chunks
    ]
    decoder = OpenAIChat().decoder(asked(model))
    reads = [payloads] if together else [[payload] for payload in payloads]
    out = [json.loads(chunk) for read in reads for chunk in decoder.decode(read)]
    out += map(json.loads, decoder.flush())
    said = [choice["delta"] for chunk in out for choice in chunk["choices"]]
    reasoning = [delta["reasoning"] for delta in said if "reasoning" in delta]
    assert "".join(reasoning) == "".join([*texts, *texts])
    assert reasoning == [d["reasoning_content"] for d in said if "reasoning_content" in d]
    assert "".join(d.get("content") or "" for d in said) == "".join(["So", *texts, *texts])
    assert out[-1]["choices"][0]["finish_reason"] == "stop"


def test_a_chunk_that_only_begins_like_the_last_one_is_looked_at():
    decoder = OpenAIChat().decoder(asked("openai/gpt-oss-120b"))
    form = '{"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}'
    good = [(form % words).encode() for words in ("One", " two", " three")]
    assert decoder.decode(good) == good
    with_reasoning = good[0].replace(b'"content":"One"', b'"content":" a","reasoning":"b"')
    [chunk] = decoder.decode([with_reasoning])
    assert json.loads(chunk)["choices"][0]["delta"]["reasoning_content"] == "b"
    assert decoder.decode([good[1], b'{"error":{"message":"late"}}', good[1]]) == [good[1]]
    with pytest.raises(UpstreamError, match="late"):
        decoder.flush()
