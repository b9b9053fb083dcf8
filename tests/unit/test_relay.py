"""The relay: who is tried, when it stops, and what a caller is told."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from trunkline.errors import (
    APIError,
    EngineOverloaded,
    EngineUnavailable,
    InvalidRequest,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
)
from trunkline.providers.base import Call, Reply
from trunkline.routing import Deployment, Plan, Relay

CALL = Call(model="asked", body={}, stream=True, request_id="req_1")
DOWN = UpstreamError(
    "down: secret reason", retryable=True, status=503, public="failed with status 503"
)
SLOW = UpstreamError("slow", retryable=True, public="did not answer in time", timed_out=True)


class Scripted:
    """A provider that fails, or answers its chunks and then perhaps breaks off."""

    def __init__(self, *chunks, fails=None, breaks=None):
        self.calls: list[Call] = []
        self.left = 0
        self._chunks, self._fails, self._breaks = chunks, fails, breaks

    @asynccontextmanager
    async def open(self, call):
        self.calls.append(call)
        if self._fails:
            raise self._fails
        try:
            yield Reply(self._answer())
        finally:
            self.left += 1

    async def _answer(self):
        for chunk in self._chunks:
            yield [chunk]
        if self._breaks:
            raise self._breaks


def plan(*names):
    deployments = tuple(Deployment(model="m", provider=n, upstream_model=f"{n}/m") for n in names)
    return Plan("m", "m", None, deployments)


def ask(**providers):
    """Returns the answer and its chunks, after trying the providers in this order."""

    async def run():
        async with Relay(providers=providers).open(plan(*providers), CALL) as answer:
            return answer, [chunk async for read in answer.reply.chunks for chunk in read]

    return asyncio.run(run())


def refusal(**providers):
    with pytest.raises(APIError) as caught:
        ask(**providers)
    return caught.value


def test_the_first_that_commits_answers_and_the_others_are_not_asked():
    first, second = Scripted(b"1", b"2"), Scripted(b"3")
    answer, chunks = ask(a=first, b=second)
    assert (answer.deployment.provider, chunks) == ("a", [b"1", b"2"])
    assert [call.model for call in first.calls] == ["a/m"]
    assert second.calls == []
    assert first.left == 1


def test_failures_before_the_commit_go_on_to_the_next_and_are_recorded():
    answer, chunks = ask(a=Scripted(fails=DOWN), b=Scripted(fails=SLOW), c=Scripted(b"1"))
    assert chunks == [b"1"]
    assert [(a.provider, a.model, a.outcome, a.status) for a in answer.attempts] == [
        ("a", "a/m", "failed with status 503", 503),
        ("b", "b/m", "did not answer in time", None),
        ("c", "c/m", "committed", None),
    ]
    assert all(attempt.ms >= 0 for attempt in answer.attempts)


def test_nothing_is_retried_once_a_provider_has_committed():
    first, second = Scripted(b"1", breaks=DOWN), Scripted(b"2")
    with pytest.raises(UpstreamError) as caught:
        ask(a=first, b=second)
    assert caught.value is DOWN
    assert second.calls == []
    assert first.left == 1


def test_if_all_fail_every_attempt_is_listed_in_our_words():
    error = refusal(a=Scripted(fails=DOWN), b=Scripted(fails=SLOW))
    assert isinstance(error, UpstreamFailed)
    assert (error.status, error.code) == (502, "upstream_failed")
    assert (
        error.message == "every attempt failed: a failed with status 503; b did not answer in time"
    )


def test_if_all_time_out_it_is_a_timeout():
    error = refusal(a=Scripted(fails=SLOW), b=Scripted(fails=SLOW))
    assert isinstance(error, UpstreamTimeout)
    assert (error.status, error.code) == (504, "upstream_timeout")
    assert error.message.count("did not answer in time") == 2


def test_the_shortest_wait_is_handed_on():
    def limited(seconds):
        return Scripted(fails=UpstreamError("x", retryable=True, status=429, retry_after_s=seconds))

    assert refusal(a=limited(9.0), b=limited(2.0), c=limited(None)).retry_after_s == 2.0


@pytest.mark.parametrize(
    ("status", "code", "shown"),
    [
        (400, "context_length_exceeded", "context_length_exceeded"),
        (422, None, "invalid_value"),
        (413, None, "invalid_value"),
    ],
)
def test_a_callers_own_mistake_passes_with_status_code_and_param(status, code, shown):
    mistake = UpstreamError(
        "log", retryable=False, status=status, public="n is bad", code=code, param="n"
    )
    second = Scripted(b"1")
    error = refusal(a=Scripted(fails=mistake), b=second)
    assert (error.status, error.code, error.param, error.message) == (
        status,
        shown,
        "n",
        "n is bad",
    )
    assert error.type == "invalid_request_error"
    assert second.calls == []


@pytest.mark.parametrize(
    "error", [EngineOverloaded(retry_after_s=1), EngineUnavailable(), InvalidRequest("x")]
)
def test_the_only_providers_own_error_passes_unchanged(error):
    assert refusal(local=Scripted(fails=error)) is error


def test_what_one_provider_of_ours_cannot_serve_the_next_one_may():
    blind = InvalidRequest("this model reads text only", param="messages[0]")
    answer, chunks = ask(local=Scripted(fails=blind), b=Scripted(b"1"))
    assert (answer.deployment.provider, chunks) == ("b", [b"1"])
    assert [attempt.outcome for attempt in answer.attempts] == [
        "refused the request (invalid_value)",
        "committed",
    ]


def test_a_refusal_does_not_hide_that_another_provider_failed():
    failed = UpstreamError("down", retryable=True, status=500)
    error = refusal(a=Scripted(fails=failed), local=Scripted(fails=InvalidRequest("no images")))
    assert (error.status, error.code) == (502, "upstream_failed")
    assert [attempt.provider for attempt in error.attempts] == ["a", "local"]


@pytest.mark.parametrize("error", [EngineOverloaded(), EngineUnavailable()])
def test_an_engine_that_cannot_answer_now_fails_over(error):
    answer, chunks = ask(local=Scripted(fails=error), b=Scripted(b"1"))
    assert (answer.deployment.provider, chunks) == ("b", [b"1"])
    assert answer.attempts[0].status == error.status


def test_a_cancelled_caller_leaves_the_provider_and_tries_nobody_else():
    class Waiting(Scripted):
        @asynccontextmanager
        async def open(self, call):
            self.calls.append(call)
            try:
                await asyncio.Event().wait()
                yield Reply(self._answer())
            finally:
                self.left += 1

    first, second = Waiting(), Scripted(b"1")

    async def run():
        relay = Relay(providers={"a": first, "b": second})
        async with asyncio.timeout(0.01), relay.open(plan("a", "b"), CALL):
            raise AssertionError("it cannot commit")

    with pytest.raises(TimeoutError):
        asyncio.run(run())
    assert (first.left, second.calls) == (1, [])
