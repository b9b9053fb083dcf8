"""What ``trunkline explain`` says of a receipt, in words."""

from __future__ import annotations

import datetime

import msgspec
import pytest

from trunkline.cli.explain import _lines
from trunkline.store import Attempt, Billed, Candidate, Decision, Request

REQUEST = Request(
    id="req_1",
    account_id="acct_1",
    key_id="key_1",
    created_at=datetime.datetime(2026, 11, 25, 9, 30, tzinfo=datetime.UTC),
    api="chat",
    model="m",
    provider="b",
    answered_model="m",
    stream=False,
    status=200,
    cost_nano_usd=28_000,
    duration_ms=55,
)
BILLED = Billed(prompt_tokens=20, cached_tokens=5, completion_tokens=4, cost_nano_usd=9_000)


def line(label: str, **changes: object) -> str:
    """Returns what stands behind a label."""
    told = _lines(msgspec.structs.replace(REQUEST, **changes))
    return {text[:12].strip(): text[13:] for text in told}[label]


def attempt(outcome: str, **more: object) -> Attempt:
    return Attempt(provider="a", model="m", outcome=outcome, ms=7, **more)  # type: ignore[arg-type]


def candidate(**facts: object) -> str:
    one = Candidate(provider="a", **facts)  # type: ignore[arg-type]
    return line("candidate", decision=Decision(policy="fastest", candidates=(one,)))


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (attempt("committed"), "a, m: committed after 7 ms"),
        (
            attempt("refused the request", status=400),
            "a, m: refused the request with status 400 after 7 ms",
        ),
        (
            attempt("is rate limited (status 429)", status=429),
            "a, m: is rate limited (status 429) after 7 ms",
        ),
    ],
)
def test_an_attempt_says_its_status_once(one: Attempt, said: str) -> None:
    assert line("attempt 1", attempts=(one,)) == said


def test_what_a_failed_attempt_used_is_said_beside_the_cost_of_the_answer() -> None:
    attempts = (attempt("answered without content", billed=BILLED), attempt("committed"))
    assert line("billed", attempts=attempts) == "20 in (5 cached), 4 out, 0.000009 USD"
    assert line("cost", attempts=attempts) == (
        "0.000028 USD; attempts that failed come to 0.000009 USD"
    )
    unpriced = msgspec.structs.replace(BILLED, cost_nano_usd=None)
    alone = (attempt("answered without content", billed=unpriced),)
    assert line("billed", attempts=alone) == "20 in (5 cached), 4 out"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "0.000028 USD"),
        ({"cost_nano_usd": None}, "not known: the model has no price"),
        ({"cost_nano_usd": None, "provider": None}, "none: nobody answered"),
    ],
)
def test_a_cost_that_is_not_there_says_why(changes: dict[str, object], said: str) -> None:
    assert line("cost", **changes) == said


def test_candidates_say_why_they_go_last_and_how_often_they_failed() -> None:
    assert candidate(removed="in provider.ignore") == "a: left out, in provider.ignore"
    assert candidate(deferred="would emulate 'n'") == "a: asked last, would emulate 'n'"
    assert candidate(failures=1) == "a: 1 failure since its last good reply"
    assert candidate(failures=2) == "a: 2 failures since its last good reply"
