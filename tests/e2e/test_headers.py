"""What every answer carries: the request's id, who answered, what it cost, and the receipt."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.e2e.client import Answer, ask, chat, question, receipt, run, streaming
from tests.serving import ECHO, NANO, Serving, running, simulated_provider
from tests.simulator import Script, Simulator
from tests.simulator.script import error

UNPRICED = "sim/unpriced"
FIRST = f"{ECHO}:preferred"
"""Asks ``first``, and then ``second``, however fast they are."""


@pytest.fixture(scope="module")
def router(running_simulator: Simulator) -> Iterator[Serving]:
    """A server with small bodies, two providers of one model, and one without a price."""
    url = running_simulator.base_url
    config = (
        "[server]\nmax_body_bytes = 100000\n"
        + simulated_provider(url, ECHO, name="first")
        + f'models."{UNPRICED}" = {{ id = "sim/echo" }}\n'
        + simulated_provider(url, ECHO, name="second")
    )
    with running(config=config) as serving:
        yield serving


def receipt_of(serving: Serving, answer: Answer, *, key: str | None = "") -> Answer:
    return ask(serving, "GET", f"/v1/requests/{answer.headers['x-request-id']}", key=key)


def test_every_answer_carries_an_id_of_its_own(router: Serving) -> None:
    answers = [
        ask(router, "GET", "/health", key=None),
        ask(router, "GET", "/openapi.json", key=None),
        ask(router, "GET", "/metrics"),
        ask(router, "GET", "/v1/models"),
        ask(router, "GET", f"/v1/models/{NANO}"),
        ask(router, "GET", "/v1/models", key=None),
        ask(router, "GET", "/v1/nothing"),
        ask(router, "PUT", "/v1/models"),
        ask(router, "GET", "/health", headers={"Host": "evil.example"}),
        chat(router, b"x" * 100_001),
        chat(router, b"{"),
        chat(router, question(max_tokens=2)),
        chat(router, question(model=ECHO)),
    ]
    with streaming(router, question(max_tokens=2)) as stream:
        ids = [answer.headers["x-request-id"] for answer in answers]
        ids.append(stream.headers["x-request-id"])

    assert [answer.status for answer in answers] == [
        *(200, 200, 200, 200, 200),
        *(401, 404, 405, 403, 413, 400),
        *(200, 200),
    ]
    assert all(re.fullmatch(r"req_[0-9A-Za-z]{30}", each) for each in ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("asked", "provider", "model"),
    [(NANO, "local", NANO), (f"{NANO}:local", "local", NANO), (f"{ECHO}:second", "second", ECHO)],
)
def test_an_answer_names_who_answered_with_what_after_how_many_attempts(
    router: Serving, asked: str, provider: str, model: str, stream: bool
) -> None:
    headers = chat(router, question(model=asked, max_tokens=4, stream=stream)).headers

    assert headers["x-trunkline-provider"] == provider
    assert headers["x-trunkline-model"] == model
    assert headers["x-trunkline-attempts"] == "1"


@pytest.mark.parametrize("stream", [False, True])
def test_an_attempt_that_failed_is_counted_and_the_receipt_names_it(
    router: Serving, simulator: Simulator, stream: bool
) -> None:
    assert chat(router, question(model=FIRST)).status == 200
    simulator.play(error(503))

    headers = chat(router, question(model=FIRST, stream=stream)).headers
    told = receipt(router, headers["x-request-id"])

    assert headers["x-trunkline-provider"] == "second"
    assert headers["x-trunkline-attempts"] == "2"
    attempts = [(each["provider"], each["status"]) for each in told["attempts"]]
    assert attempts == [("first", 503), ("second", None)]
    assert told["attempts"][1]["outcome"] == "committed"


def test_an_error_before_anybody_answered_names_nobody(
    router: Serving, simulator: Simulator
) -> None:
    assert chat(router, question(model=FIRST)).status == 200
    simulator.play(error(500), error(500))
    answer = chat(router, question(model=FIRST))
    told = receipt(router, answer.headers["x-request-id"])

    assert answer.status == 502
    assert not any(name.startswith("x-trunkline") for name in answer.headers)
    assert (told["provider"], told["answered_model"]) == (None, None)
    assert (told["status"], told["error_code"]) == (502, "upstream_failed")
    assert [each["provider"] for each in told["attempts"]] == ["first", "second"]


# -------------------------------------------------------------------------------------------- cost


def priced(usage: dict[str, Any]) -> Decimal:
    """What a usage costs at 1 USD in and 2 USD out per 1M tokens."""
    tokens = usage["prompt_tokens"] + 2 * usage["completion_tokens"]
    return Decimal(tokens) / 1_000_000


def test_a_priced_answer_carries_its_exact_cost(router: Serving) -> None:
    answer = chat(router, question("one two three", model=ECHO))
    cost = answer.headers["x-trunkline-cost-usd"]

    assert Decimal(cost) == priced(answer.json["usage"]) > 0
    assert re.fullmatch(r"0\.\d+", cost)
    assert receipt(router, answer.headers["x-request-id"])["cost_usd"] == cost


def test_the_embedded_engine_costs_nothing(router: Serving) -> None:
    assert chat(router, question(max_tokens=4)).headers["x-trunkline-cost-usd"] == "0"


def test_an_unknown_price_is_no_cost(router: Serving) -> None:
    answer = chat(router, question(model=UNPRICED))

    assert answer.status == 200
    assert "x-trunkline-cost-usd" not in answer.headers
    assert receipt(router, answer.headers["x-request-id"])["cost_usd"] is None


def test_a_streams_last_usage_carries_the_cost_as_an_exact_number(router: Serving) -> None:
    body = question("one two", model=ECHO, stream_options={"include_usage": True})
    with streaming(router, body) as stream:
        events = stream.events()
        told = receipt(router, stream.headers["x-request-id"])
    last = json.loads(events[-2].removeprefix("data: "), parse_float=Decimal)

    assert last["choices"] == []
    assert last["usage"]["cost"] == priced(last["usage"]) > 0
    assert Decimal(told["cost_usd"]) == last["usage"]["cost"]
    assert "e-" not in events[-2]
    assert sum('"usage":{' in event for event in events) == 1


def test_a_stream_without_include_usage_has_no_usage_but_a_priced_receipt(router: Serving) -> None:
    with streaming(router, question("one two", model=ECHO)) as stream:
        chunks = stream.chunks()
        told = receipt(router, stream.headers["x-request-id"])

    assert not any(chunk.get("usage") for chunk in chunks)
    assert Decimal(told["cost_usd"]) == priced(told["usage"]) > 0


# ---------------------------------------------------------------------------------------- receipts


@pytest.mark.parametrize("model", [NANO, ECHO])
@pytest.mark.parametrize("stream", [False, True])
def test_a_receipt_tells_what_the_answer_told(router: Serving, model: str, stream: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if stream else {}
    answer = chat(router, question(model=model, stream=stream, **options))
    told = receipt(router, answer.headers["x-request-id"])
    if stream:
        *_, last, _done = answer.body.decode().strip().split("\n\n")
        usage = json.loads(last.removeprefix("data: "))["usage"]
    else:
        usage = answer.json["usage"]

    assert told["id"] == answer.headers["x-request-id"]
    assert (told["model"], told["answered_model"]) == (model, model)
    assert told["provider"] == answer.headers["x-trunkline-provider"]
    assert (told["api"], told["stream"], told["status"]) == ("chat", stream, 200)
    for count in ("prompt_tokens", "completion_tokens"):
        assert told["usage"][count] == usage[count]
    assert told["duration_ms"] >= 0
    assert (told["first_token_ms"] is not None) == stream


def test_trunkline_explain_shows_the_same_receipt(router: Serving) -> None:
    answer = chat(router, question(model=FIRST))
    request_id = answer.headers["x-request-id"]
    receipt(router, request_id)
    shown = run("explain", request_id, home=router.home)
    as_json = json.loads(run("explain", request_id, "--json", home=router.home).stdout)

    assert shown.returncode == 0
    for told in (
        request_id,
        FIRST,
        "choice       preferred: first, second",
        f"{answer.headers['x-trunkline-cost-usd']} USD",
    ):
        assert told in shown.stdout
    assert (as_json["id"], as_json["provider"]) == (request_id, "first")


def test_another_accounts_receipt_is_answered_like_one_that_never_was(router: Serving) -> None:
    created = run("keys", "create", "--account", "stranger", home=router.home)
    answer = chat(router, question(model=ECHO))
    receipt(router, answer.headers["x-request-id"])
    stranger = created.stdout.strip()

    foreign = receipt_of(router, answer, key=stranger)
    unknown = ask(router, "GET", f"/v1/requests/req_{'0' * 30}", key=stranger)

    assert (foreign.status, foreign.error["code"]) == (404, "not_found")
    assert foreign.body == unknown.body
    assert foreign.headers.keys() == unknown.headers.keys()
    assert receipt_of(router, answer).status == 200


def test_a_stream_that_broke_has_a_receipt_that_says_so(
    router: Serving, simulator: Simulator
) -> None:
    assert chat(router, question(model=FIRST)).status == 200
    simulator.play(Script(cut_after=3))
    with streaming(router, question(model=FIRST)) as stream:
        stream.events()
        told = receipt(router, stream.headers["x-request-id"])

    assert (told["status"], told["error_code"]) == (200, "upstream_failed")
    assert told["provider"] == "first"


# -------------------------------------------------------------------------------- x-trunkline-params


def lenient(serving: Serving, wanted: str | None, **more: Any) -> Answer:
    headers = {} if wanted is None else {"x-trunkline-params": wanted}
    return chat(serving, question(model=ECHO, temprature=1, **more), headers=headers)


def test_unknown_parameters_are_refused_or_left_out_as_the_header_says(
    router: Serving, simulator: Simulator
) -> None:
    strict, by_default = lenient(router, "strict"), lenient(router, None)
    answer = lenient(router, "lenient", temperature=0.5)

    assert strict.error["code"] == by_default.error["code"] == "unknown_parameter"
    assert answer.status == 200
    assert answer.headers["x-trunkline-ignored"] == "temprature"
    (seen,) = simulator.seen
    assert "temprature" not in seen.body
    assert seen.body["temperature"] == 0.5


def test_the_configuration_chooses_the_default_and_the_header_wins(
    running_simulator: Simulator,
) -> None:
    config = '[engine]\nenabled = false\n[routing]\nparams = "lenient"\n' + simulated_provider(
        running_simulator.base_url, ECHO
    )
    with running(config=config) as serving:
        assert lenient(serving, None).status == 200
        assert lenient(serving, "strict").error["code"] == "unknown_parameter"


def test_any_other_word_is_refused(router: Serving) -> None:
    answer = lenient(router, "sometimes")

    assert (answer.status, answer.error["code"]) == (400, "invalid_value")
    assert answer.error["param"] == "x-trunkline-params"
    assert "'strict' or 'lenient'" in answer.error["message"]
