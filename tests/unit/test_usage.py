"""Usage in streams: once, at the end, for whoever asked; read wherever a provider puts it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from trunkline.accounts.keyring import Caller
from trunkline.accounts.pricing import Price
from trunkline.api.chat import _Run
from trunkline.api.exchange import Exchange
from trunkline.errors import UpstreamError
from trunkline.routing import Answer, Deployment, Plan
from trunkline.store import Attempt
from trunkline.wire.chat import decode_request

CONTENT: dict[str, Any] = {
    "id": "c",
    "model": "m",
    "choices": [{"index": 0, "delta": {"content": "x"}}],
}
FINISH: dict[str, Any] = {
    "id": "c",
    "model": "m",
    "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
}
USED: dict[str, Any] = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
ALONE: dict[str, Any] = {"id": "c", "model": "m", "choices": [], "usage": USED}


def run_of(*, wants_usage: bool, price: Price | None = None) -> _Run:
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": wants_usage},
    }
    request = decode_request(msgspec.json.encode(body), lenient=False)
    caller = Caller(key_id="key_1", account_id="acct_1")
    exchange = Exchange(request_id="req_1", method="POST", path="/", identified=caller)
    run = _Run(exchange, request, Plan("m", "m", None, ()), lenient=False)
    deployment = Deployment(model="m", provider="p", upstream_model="m", price=price)
    attempt = Attempt(provider="p", model="m", outcome="committed", ms=1)
    run.committed(Answer(deployment, None, [attempt], run.call(), None, 0.0))  # type: ignore[arg-type]
    return run


def passed(run: _Run, *chunks: dict) -> list[dict]:
    """Returns what the caller gets of the chunks, each of which comes in a read of its own."""
    read = [msgspec.json.encode(chunk) for chunk in chunks]
    kept = [one for chunk in read for one in run.metered([chunk], chunk.count(b'"usage"'))]
    last = run.last_usage()
    return [json.loads(one) for one in [*kept, *([last] if last else [])]]


SHAPES = {
    "in a chunk of its own": [CONTENT, FINISH, ALONE],
    "beside the finish reason": [CONTENT, {**FINISH, "usage": USED}],
    "twice": [CONTENT, {**FINISH, "usage": USED}, ALONE, ALONE],
    "in every chunk, growing": [
        {**CONTENT, "usage": {**USED, "completion_tokens": 1}},
        {**FINISH, "usage": {**USED, "completion_tokens": 2}},
        ALONE,
    ],
    "null before": [{**CONTENT, "usage": None}, FINISH, ALONE],
}


@pytest.mark.parametrize("chunks", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("wants_usage", [False, True])
def test_the_usage_comes_once_at_the_end_and_only_to_whoever_asked(chunks, wants_usage):
    run = run_of(wants_usage=wants_usage)
    *said, last = [*passed(run, *chunks), None]
    assert last is None
    reports = [one for one in said if one.get("usage")]
    assert reports == ([ALONE] if wants_usage else [])
    assert not wants_usage or said[-1] == ALONE
    without = [{k: v for k, v in one.items() if k != "usage"} for one in said if one["choices"]]
    assert without == [CONTENT, FINISH]
    assert run.tokens() == 2


@pytest.mark.parametrize("doubled", [False, True])
def test_groq_puts_it_into_a_field_of_its_own(doubled):
    run = run_of(wants_usage=True)
    own = {**FINISH, "x_groq": {"id": "req_x", "usage": USED}}
    assert passed(run, CONTENT, own, *([ALONE] if doubled else [])) == [CONTENT, own, ALONE]
    assert run.tokens() == 2


def test_the_cost_stands_in_the_usage_that_ends_the_stream():
    run = run_of(wants_usage=True, price=Price(input=1_000_000_000, output=0))
    last = passed(run, CONTENT, {**FINISH, "usage": USED})[-1]
    assert last["usage"] == {**USED, "cost": 0.000003}


def test_usage_that_nobody_reports_is_counted_and_said_to_be_an_estimate():
    run = run_of(wants_usage=True)
    run.chunks = 7
    run.estimate()
    receipt = run.receipt()
    assert (receipt.completion_tokens, receipt.estimated) == (7, True)
    assert receipt.prompt_tokens > 0
    assert run.last_usage() is None


def test_usage_that_is_reported_is_not_estimated():
    run = run_of(wants_usage=False)
    passed(run, ALONE)
    run.estimate()
    assert (run.receipt().completion_tokens, run.receipt().estimated) == (2, False)


def test_an_attempt_whose_reply_broke_off_says_so_on_the_receipt() -> None:
    run = run_of(wants_usage=False)
    run.broke_off(UpstreamError("secret words", retryable=True, public="broke off its reply"))
    assert [one.outcome for one in run.attempts] == ["committed, then broke off its reply"]
