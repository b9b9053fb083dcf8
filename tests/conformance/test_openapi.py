"""The two descriptions themselves: ours is sound and true, and a wrong answer fails both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen  # noqa: TID251  # a test, of our own server

import pytest
from jsonschema import Draft202012Validator

from tests.conformance.published import OPENAI, as_json_schema, validator
from tests.conformance.recording import Exchange, Recorder
from tests.conformance.scenes import ASK, WEATHER_TOOL, Person
from tests.serving import NANO, until
from trunkline.wire.chat import PARAMETERS
from trunkline.wire.responses.requests import PARAMETERS as RESPONSES_PARAMETERS

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def own(server):
    with urlopen(f"{server.url}/openapi.json") as answer:
        assert answer.headers["content-type"] == "application/json"
        return json.load(answer)


@pytest.fixture(scope="module")
def published():
    return json.loads(OPENAI.read_text())


def nodes(document: Any) -> Iterator[dict]:
    if isinstance(document, dict):
        yield document
        for value in document.values():
            yield from nodes(value)
    elif isinstance(document, list):
        for value in document:
            yield from nodes(value)


def resolved(document: Any, reference: str) -> Any:
    for step in reference.removeprefix("#/").split("/"):
        document = document[step]
    return document


# --------------------------------------------------------------------------------------- our document


def test_ours_is_an_openapi_3_1_document(own):
    assert own["openapi"].startswith("3.1.")
    assert {"title", "version"} <= own["info"].keys()
    operations = [operation for path in own["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    for operation in operations:
        assert operation["responses"]
        for response in operation["responses"].values():
            assert response["description"]


def test_every_reference_of_ours_leads_to_a_schema(own):
    references = [node["$ref"] for node in nodes(own) if "$ref" in node]
    assert len(references) > 20
    for reference in references:
        assert isinstance(resolved(own, reference), dict)


def test_every_schema_of_ours_is_valid_json_schema(own):
    for name, schema in own["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert validator(own, name).is_valid({}) is not None


def test_receipts_and_health_are_as_ours_says(server, recorder):
    with recorder.client() as client:
        client.headers["Authorization"] = f"Bearer {server.key}"
        answer = client.post(
            f"{server.base_url}/chat/completions", json={"model": NANO, "messages": ASK}
        )
        receipt = f"{server.base_url}/requests/{answer.headers['x-request-id']}"
        until(lambda: client.get(receipt).status_code == 200)
        assert client.get(f"{server.url}/health").json()["status"] == "ok"


def test_every_path_parameter_of_ours_is_declared(own):
    for path, item in own["paths"].items():
        for operation in item.values():
            declared = {
                parameter["name"]
                for parameter in operation.get("parameters", [])
                if parameter["in"] == "path"
            }
            assert declared == {part[1:-1] for part in path.split("/") if part.startswith("{")}


def test_ours_says_which_paths_need_no_key(server, own):
    for path, item in own["paths"].items():
        for method, operation in item.items():
            request = Request(server.url + path.replace("{id}", "x"), method=method.upper())
            try:
                with urlopen(request) as answer:
                    status = answer.status
            except HTTPError as error:
                status = error.status
            is_open = operation.get("security") == []
            assert (status == 200) is is_open, path
            assert (status == 401) is not is_open, path


# ------------------------------------------------------------------------------------------- requests

REQUESTS = [
    {"messages": ASK},
    {"messages": ASK, "temperature": 0.5, "max_tokens": 5, "stop": ["x"], "seed": 1, "n": 2},
    {"messages": ASK, "stream": True, "stream_options": {"include_usage": True}},
    {"messages": ASK, "tools": [WEATHER_TOOL], "tool_choice": "required"},
    {
        "messages": ASK,
        "tools": [WEATHER_TOOL],
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    },
    {
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
            *ASK,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "get_weather", "arguments": "{}"},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "21"},
        ],
    },
    {
        "messages": ASK,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "person", "schema": Person.model_json_schema()},
        },
        "reasoning_effort": "low",
    },
    {"messages": ASK, "logprobs": True, "top_logprobs": 3, "parallel_tool_calls": False},
]


@pytest.mark.parametrize("fields", REQUESTS)
def test_a_request_that_is_answered_fits_both_descriptions(
    server, recorder, own, published, fields
):
    body = {"model": NANO, "max_completion_tokens": 40, **fields}
    schemas = (
        validator(as_json_schema(published), "CreateChatCompletionRequest"),
        Draft202012Validator(
            {
                **own["paths"][CHAT]["post"]["requestBody"]["content"]["application/json"][
                    "schema"
                ],
                "components": own["components"],
            }
        ),
    )
    assert [error.message for schema in schemas for error in schema.iter_errors(body)] == []
    with recorder.client() as client:
        answer = client.post(
            f"{server.base_url}/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {server.key}"},
        )
    assert answer.status_code == 200, answer.text


def test_every_field_that_openai_publishes_has_a_declared_fate(published):
    assert properties(published, "CreateChatCompletionRequest") - PARAMETERS.keys() == set()


def test_ours_documents_every_field_that_is_accepted_and_no_other(own):
    for schema, fates in (
        ("ChatParameters", PARAMETERS),
        ("ResponsesParameters", RESPONSES_PARAMETERS),
    ):
        parameters = own["components"]["schemas"][schema]
        assert parameters["properties"].keys() == fates.keys()
        assert parameters["additionalProperties"] is False


def properties(document: Any, name: str) -> set[str]:
    def walk(schema: Any) -> set[str]:
        if "$ref" in schema:
            schema = resolved(document, schema["$ref"])
        found = set(schema.get("properties", ()))
        return found.union(*(walk(part) for part in schema.get("allOf", ())))

    return walk({"$ref": f"#/components/schemas/{name}"})


# ------------------------------------------------------------------------- what the checks would find

COMPLETION = {
    "id": "chatcmpl_1",
    "object": "chat.completion",
    "created": 1,
    "model": NANO,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "x", "refusal": None},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
CHUNK = {
    "id": "chatcmpl_1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": NANO,
    "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}],
}
ERROR = {"error": {"message": "no", "type": "t", "param": None, "code": None}}


def whole(document: Any, *, status: int = 200, path: str = CHAT, method: str = "POST") -> Exchange:
    body = bytearray(json.dumps(document).encode())
    return Exchange(method, path, status, "application/json", body, whole=True)


def stream(body: bytes) -> Exchange:
    return Exchange("POST", CHAT, 200, "text/event-stream", bytearray(body), whole=True)


def event(document: Any) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    "exchange",
    [
        whole(COMPLETION),
        whole({**COMPLETION, "model": "a provider's", "extra": 1}),
        whole(ERROR, status=400),
        stream(event(CHUNK) + b": a comment\n\n" + DONE),
        stream(event(CHUNK) + b"event: error\n" + event(ERROR)),
    ],
)
def test_a_right_answer_has_no_faults(descriptions, exchange):
    assert descriptions.faults(exchange) == []


@pytest.mark.parametrize(
    "exchange",
    [
        whole({**COMPLETION, "object": "completion"}),
        whole({**COMPLETION, "created": "now"}),
        whole({**COMPLETION, "system_fingerprint": None}),
        whole({name: value for name, value in COMPLETION.items() if name != "choices"}),
        whole(COMPLETION, status=400),
        whole({"error": {"message": "no", "type": "t"}}, status=404),
        whole({"object": "list"}, path="/v1/models", method="GET"),
        whole({"id": "m"}, path="/v1/models/m", method="GET"),
        stream(event({**CHUNK, "choices": [{"index": 0}]}) + DONE),
        stream(event(CHUNK) + event(ERROR) + DONE),
    ],
)
def test_a_wrong_answer_is_found_by_both_descriptions(descriptions, exchange):
    faults = " ".join(descriptions.faults(exchange))
    assert "OpenAI's" in faults
    assert "our" in faults


def test_a_field_of_ours_that_we_do_not_describe_is_found(descriptions):
    [fault] = descriptions.faults(whole({**COMPLETION, "extra": 1}))
    assert "our completion" in fault
    assert "'extra' was unexpected" in fault


def test_a_field_of_a_response_that_we_do_not_describe_is_found(descriptions):
    faults = descriptions.faults(whole({**RESPONSE, "extra": 1}, path="/v1/responses"))
    assert "our response: $: Additional properties are not allowed ('extra'" in " ".join(faults)


@pytest.mark.parametrize(
    "body",
    [
        event(CHUNK),
        event(CHUNK) + DONE + event(CHUNK),
        event(CHUNK) + DONE.rstrip(),
        event(CHUNK) + DONE + DONE,
    ],
)
def test_a_stream_that_is_framed_wrongly_is_found(descriptions, body):
    with pytest.raises(AssertionError):
        descriptions.faults(stream(body))


# ------------------------------------------------------------------------------- a response's events

PART = {"type": "output_text", "text": "ab", "annotations": [], "logprobs": []}
MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [PART],
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "in_progress",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "model": NANO,
    "tools": [],
    "output": [],
    "parallel_tool_calls": True,
    "metadata": {},
    "tool_choice": "auto",
    "temperature": 1.0,
    "top_p": 1.0,
}
_AT = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
TOLD: list[dict[str, Any]] = [
    {"type": "response.created", "response": RESPONSE},
    {
        "type": "response.output_item.added",
        "output_index": 0,
        "item": {**MESSAGE, "status": "in_progress", "content": []},
    },
    {"type": "response.content_part.added", **_AT, "part": {**PART, "text": ""}},
    {"type": "response.output_text.delta", **_AT, "delta": "a", "logprobs": []},
    {"type": "response.output_text.delta", **_AT, "delta": "b", "logprobs": []},
    {"type": "response.output_text.done", **_AT, "text": "ab", "logprobs": []},
    {"type": "response.content_part.done", **_AT, "part": PART},
    {"type": "response.output_item.done", "output_index": 0, "item": MESSAGE},
    {
        "type": "response.completed",
        "response": {**RESPONSE, "status": "completed", "output": [MESSAGE]},
    },
]


def told(events: list[dict[str, Any]], *, start: int = 0) -> Exchange:
    frames = [
        f"event: {event['type']}\ndata: {json.dumps({'sequence_number': number, **event})}\n\n"
        for number, event in enumerate(events, start)
    ]
    body = bytearray("".join(frames).encode() + DONE)
    return Exchange("POST", "/v1/responses", 200, "text/event-stream", body, whole=True)


@pytest.mark.parametrize("exchange", [told(TOLD), told(TOLD[4:], start=4)])
def test_the_events_of_a_response_that_tell_it_all_have_no_faults(descriptions, exchange):
    assert descriptions.faults(exchange) == []


@pytest.mark.parametrize(
    ("events", "fault"),
    [
        (TOLD[1:], "the first event is response.output_item.added"),
        (TOLD[:-1], "the last event is response.output_item.done"),
        ([*TOLD, TOLD[-1]], "an event follows the last"),
        ([*TOLD[:3], *TOLD[4:]], "add up to 'b', not 'ab'"),
        ([*TOLD[:5], *TOLD[6:]], "add up to 'ab', not None"),
        ([TOLD[0], *TOLD[2:]], "the items that end are not"),
        ([*TOLD[:7], TOLD[8]], "the items that end are not"),
        ([*TOLD[:8], {**TOLD[8], "response": RESPONSE}], "not what the items were"),
        ([TOLD[0], {**TOLD[3], "sequence_number": 7}, *TOLD[1:]], "sequence numbers have gaps"),
        ([*TOLD[:2], {"type": "response.new"}, *TOLD[2:]], "OpenAI knows no event response.new"),
        ([*TOLD[:3], {**TOLD[3], "logprobs": None}, *TOLD[4:]], "None is not of type 'array'"),
    ],
)
def test_events_of_a_response_that_tell_it_wrongly_are_found(descriptions, events, fault):
    assert fault in " ".join(descriptions.faults(told(events)))


def test_an_event_of_a_response_under_another_name_is_found(descriptions):
    exchange = told(TOLD)
    exchange.body = exchange.body.replace(b"event: response.created", b"event: response.queued")
    with pytest.raises(AssertionError, match="names"):
        descriptions.faults(exchange)


# --------------------------------------------------------------------------------------- the recorder


def test_the_recorder_keeps_an_answer_byte_for_byte(server, recorder: Recorder):
    with recorder.client() as client:
        answer = client.get(
            f"{server.base_url}/models", headers={"Authorization": f"Bearer {server.key}"}
        )
    [exchange] = recorder.exchanges
    assert (bytes(exchange.body), exchange.whole) == (answer.content, True)


def test_the_relay_hands_on_and_keeps_an_answer_byte_for_byte(server, recorder: Recorder):
    body = {"model": NANO, "messages": ASK, "temperature": 0, "stream": True}
    asked = json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    with recorder.relay(server.url) as url:
        request = Request(url + CHAT, asked, headers)
        with urlopen(request) as answer:
            read = answer.read()
    [exchange] = recorder.exchanges
    assert (bytes(exchange.body), exchange.whole, exchange.asked) == (read, True, asked)
    assert exchange.media_type == "text/event-stream"
