"""Embeddings: what a request may ask, and what the dialect makes of a provider's answer."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import msgspec
import pytest

from trunkline.errors import InvalidRequest, UpstreamError
from trunkline.providers.base import Call
from trunkline.providers.embeddings import OpenAIEmbeddings
from trunkline.providers.openai import OpenAIChat
from trunkline.wire.embeddings import EmbeddingRequest, decode_request, vectors_of

KEY = "sk-canary-0123456789"
VECTOR = [0.5, -0.25, 1.0]


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def decoded(lenient: bool = False, **fields: Any) -> EmbeddingRequest:
    return decode_request(json.dumps({"model": "m", **fields}).encode(), lenient=lenient)


def call(**fields: Any) -> Call:
    request = decoded(**{"input": "hello", **fields})
    return Call(model="up", body=request.fields, stream=False, request_id="req_1")


def adapter(**more: Any) -> OpenAIEmbeddings:
    return OpenAIEmbeddings(key=KEY, read_error=OpenAIChat(key=KEY).error, **more)


def answer(*vectors: Any, **more: Any) -> bytes:
    data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return json.dumps(
        {"object": "list", "data": data, "model": "up", "usage": usage, **more}
    ).encode()


# ----------------------------------------------------------------------------------------- requests


@pytest.mark.parametrize(
    ("texts", "count"),
    [
        ("a", 1),
        (["a"], 1),
        (["a", "b"], 2),
        ([1, 2, 3], 1),
        ([[1, 2], [3]], 2),
        (["a"] * 2048, 2048),
    ],
)
def test_every_published_form_of_input_is_taken(texts: Any, count: int) -> None:
    request = decoded(input=texts, encoding_format="base64", dimensions=3, user="me")

    assert request.parameters.input == texts
    assert vectors_of(request.fields["input"]) == count


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({}, "missing_required_parameter", "input"),
        ({"input": ""}, "invalid_value", "input"),
        ({"input": []}, "invalid_value", "input"),
        ({"input": [""]}, "invalid_value", "input[0]"),
        ({"input": [[]]}, "invalid_value", "input[0]"),
        ({"input": ["a"] * 2049}, "invalid_value", "input"),
        ({"input": ["a", 1]}, "invalid_type", "input"),
        ({"input": [[1], 1]}, "invalid_type", "input"),
        ({"input": [1.5]}, "invalid_type", "input[0]"),
        ({"input": {"a": 1}}, "invalid_type", "input"),
        ({"input": [-1]}, "invalid_value", "input[0]"),
        ({"input": "a", "dimensions": 0}, "invalid_value", "dimensions"),
        ({"input": "a", "dimensions": "8"}, "invalid_type", "dimensions"),
        ({"input": "a", "encoding_format": "int8"}, "invalid_value", "encoding_format"),
        ({"input": "a", "user": 1}, "invalid_type", "user"),
        ({"input": "a", "dimension": 8}, "unknown_parameter", "dimension"),
    ],
)
def test_a_mistake_is_refused_by_the_name_of_its_field(
    fields: dict[str, Any], code: str, param: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decoded(**fields)

    assert (caught.value.code, caught.value.param) == (code, param)
    assert param in caught.value.message


def test_a_lenient_caller_is_told_what_was_left_out() -> None:
    request = decoded(lenient=True, input="a", dimension=8, user=None)

    assert request.ignored == ("dimension",)
    assert set(request.fields) == {"model", "input"}


# ---------------------------------------------------------------------------------------- the dialect


def test_the_model_is_swapped_and_the_rest_goes_as_it_came() -> None:
    asked = call(dimensions=3, encoding_format="base64", user="me", provider={"only": ["x"]})
    sent = adapter().request(asked)

    assert sent.path == "/embeddings"
    assert sent.headers["Authorization"] == f"Bearer {KEY}"
    assert json.loads(sent.body) == {
        "model": "up",
        "input": "hello",
        "dimensions": 3,
        "encoding_format": "base64",
        "user": "me",
    }


def test_a_provider_that_knows_no_encoding_is_not_asked_for_one() -> None:
    sent = adapter(takes_encoding=False).request(call(encoding_format="base64"))

    assert "encoding_format" not in json.loads(sent.body)


@pytest.mark.parametrize("wanted", [None, "float", "base64"])
def test_an_answer_in_the_wanted_encoding_passes_byte_for_byte(wanted: str | None) -> None:
    body = answer(packed(*VECTOR) if wanted == "base64" else VECTOR, more="of it")

    assert adapter().reply(call(encoding_format=wanted), body).chunks == (body,)


@pytest.mark.parametrize("takes_encoding", [True, False])
def test_numbers_become_base64_if_that_was_asked_for(takes_encoding: bool) -> None:
    asked = call(input=["a", "b"], encoding_format="base64")
    (body,) = adapter(takes_encoding=takes_encoding).reply(asked, answer(VECTOR, [2, 3, 4])).chunks

    assert json.loads(body) == json.loads(answer(packed(*VECTOR), packed(2, 3, 4)))


def test_base64_becomes_numbers_unless_it_was_asked_for() -> None:
    (body,) = adapter().reply(call(), answer(packed(*VECTOR))).chunks

    assert json.loads(body) == json.loads(answer(VECTOR))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"data": {}}',
        b'{"data": [{}]}',
        answer(["a"]),
        answer("!!"),
        answer("AAAA"),
        answer(None),
        answer(packed(float("nan"))),
        answer(),
        answer([]),
        answer(VECTOR, VECTOR),
        answer(VECTOR, error={"message": "boom"}),
        b'{"data": [{"embedding": [NaN]}]}',
        b"[" * 100_000,
    ],
)
def test_what_is_not_a_vector_for_each_text_is_the_providers_failure(body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        adapter().reply(call(), body)

    assert caught.value.retryable


@pytest.mark.parametrize("vector", [VECTOR, packed(*VECTOR)])
def test_dimensions_that_a_provider_passes_over_are_refused_by_name(vector: Any) -> None:
    assert adapter().reply(call(dimensions=3), answer(vector))
    with pytest.raises(UpstreamError) as caught:
        adapter().reply(call(dimensions=2), answer(vector))

    error = caught.value
    assert (error.code, error.param, error.limit) == ("unsupported_parameter", "dimensions", True)
    assert "3 dimensions" in error.public


def test_an_error_is_read_as_the_chat_dialect_reads_it() -> None:
    fault = msgspec.json.encode({"error": {"message": f"no such model for {KEY}"}})
    error = adapter().error(400, {}, fault)

    assert (error.retryable, error.status) == (False, 400)
    assert KEY not in error.public
