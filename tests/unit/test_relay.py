"""The relay: who is tried, when it stops, and what a caller is told."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest

from trunkline.accounts import Price
from trunkline.errors import (
    APIError,
    EngineOverloaded,
    EngineUnavailable,
    InvalidRequest,
    ProvidersCoolingDown,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
)
from trunkline.providers.base import Call, Reply
from trunkline.routing import NOT_ASKED, Deployment, DeploymentHealth, Plan, Relay
from trunkline.routing.relay import GIVEN_UP
from trunkline.store import Attempt, Billed
from trunkline.wire.chat import Usage

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
        self.takes_s, self.clock = 0.0, None
        self._chunks, self._fails, self._breaks = chunks, fails, breaks

    @asynccontextmanager
    async def open(self, call):
        self.calls.append(call)
        if self.clock:
            self.clock.now += self.takes_s
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


def test_what_a_failed_attempt_used_is_billed_at_its_deployments_price():
    failure = UpstreamError("answered without content", retryable=True)
    failure.used = Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5)
    priced = msgspec.structs.replace(
        plan("a").deployments[0], price=Price(input=1_000_000, output=2_000_000)
    )
    for deployment, nano in ((priced, 7), (plan("a").deployments[0], None)):

        async def run(deployment=deployment):
            relay = Relay(providers={"a": Scripted(fails=failure)})
            async with relay.open(Plan("m", "m", None, (deployment,)), CALL):
                raise AssertionError("it cannot commit")

        with pytest.raises(UpstreamFailed) as caught:
            asyncio.run(run())
        (attempt,) = caught.value.attempts
        assert attempt.billed == Billed(
            prompt_tokens=3, cached_tokens=0, completion_tokens=2, cost_nano_usd=nano
        )


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
    first, second = Waiting(), Scripted(b"1")

    async def run():
        relay = Relay(providers={"a": first, "b": second})
        async with asyncio.timeout(0.01), relay.open(plan("a", "b"), CALL):
            raise AssertionError("it cannot commit")

    with pytest.raises(TimeoutError):
        asyncio.run(run())
    assert (first.left, second.calls) == (1, [])


# ------------------------------------------------------------------------------- limits of a provider

TOO_LONG = UpstreamError(
    "refused",
    retryable=False,
    status=400,
    public="8k at most",
    code="context_length_exceeded",
    limit=True,
)


def test_what_is_beyond_a_providers_own_limits_may_be_within_anothers():
    answer, chunks = ask(a=Scripted(fails=TOO_LONG), b=Scripted(b"1"))
    assert chunks == [b"1"]
    assert [attempt.outcome for attempt in answer.attempts] == ["refused the request", "committed"]


def test_what_is_beyond_everybodys_limits_is_told_in_the_last_ones_words():
    error = refusal(a=Scripted(fails=TOO_LONG), b=Scripted(fails=TOO_LONG))
    assert (error.status, error.code, error.message) == (
        400,
        "context_length_exceeded",
        "8k at most",
    )
    assert [attempt.provider for attempt in error.attempts] == ["a", "b"]


# ------------------------------------------------------------------------------------------ deadlines


class Waiting(Scripted):
    """A provider that never begins to speak."""

    @asynccontextmanager
    async def open(self, call):
        self.calls.append(call)
        try:
            await asyncio.Event().wait()
            yield Reply(self._answer())
        finally:
            self.left += 1


def test_a_request_ends_at_its_deadline_and_nobody_else_is_asked():
    slow, second = Waiting(), Scripted(b"1")
    relay = Relay(providers={"a": slow, "b": second}, request_timeout_s=0.02)

    async def run():
        async with relay.open(plan("a", "b"), CALL):
            raise AssertionError("it cannot commit")

    with pytest.raises(UpstreamTimeout) as caught:
        asyncio.run(run())
    assert caught.value.message == (
        "nobody answered within 0.02 s: a was cut off by the request's deadline"
    )
    assert (slow.left, len(second.calls)) == (1, 0)


def test_each_attempt_is_told_how_much_time_the_request_has_left():
    desk = Desk(a=Scripted(fails=DOWN), b=Scripted(b"1"), request_timeout_s=10.0)
    desk.providers["a"].takes_s = 3.0
    desk.ask()
    assert [provider.calls[0].within_s for provider in desk.providers.values()] == [10.0, 7.0]


def test_a_failure_by_the_requests_deadline_is_not_held_against_the_deployment():
    desk = Desk(a=Scripted(fails=SLOW), request_timeout_s=1.0)
    desk.providers["a"].takes_s = 1.0
    for _ in range(5):
        with pytest.raises(UpstreamTimeout):
            desk.ask()
    assert desk.failures("a") == 0


# --------------------------------------------------------------------------------------------- health


class Desk:
    """A relay over scripted providers, with a clock that stands still but for what they take."""

    def __init__(self, *, request_timeout_s=900.0, **providers):
        self.now = 0.0
        self.told: list[tuple[str, ...]] = []
        self.providers = providers
        for provider in providers.values():
            provider.clock = self
        self.health = DeploymentHealth(clock=lambda: self.now, jitter=lambda: 0.0)
        self.relay = Relay(
            providers=providers,
            health=self.health,
            request_timeout_s=request_timeout_s,
            on_attempt=lambda *told: self.told.append(told),
            on_failover=lambda provider: self.told.append(("failover", provider)),
        )

    def ask(self, *, suffix=None, tokens=None, messages=b"[]"):
        """Reads an answer to its end, and tells the relay how it went, as the edge does."""

        async def run():
            named = msgspec.structs.replace(plan(*self.providers), suffix=suffix)
            asked = msgspec.structs.replace(CALL, body={"messages": msgspec.Raw(messages)})
            async with self.relay.open(named, asked) as answer:
                try:
                    chunks = [chunk async for read in answer.reply.chunks for chunk in read]
                except UpstreamError as error:
                    answer.broke_off(error)
                    raise
                self.now += 0.1
                answer.ended(tokens)
                return answer, chunks

        return asyncio.run(run())

    def condition(self, name):
        return self.health.of(plan(name).deployments[0])

    def failures(self, name):
        return self.condition(name).failures


@pytest.mark.parametrize(
    "error",
    [
        DOWN,
        SLOW,
        UpstreamError("could not be reached", retryable=True),
        UpstreamError("sent an empty stream", retryable=True),
        *(UpstreamError("x", retryable=True, status=s) for s in (401, 404, 408, 409, 429, 500)),
    ],
)
def test_a_failure_of_the_deployment_counts_and_three_keep_requests_away(error):
    desk = Desk(a=Scripted(fails=error), b=Scripted(b"1"))
    for _ in range(5):
        desk.ask()
    assert desk.failures("a") == 3
    assert [len(provider.calls) for provider in desk.providers.values()] == [3, 5]


@pytest.mark.parametrize(
    "error",
    [
        UpstreamError("bad", retryable=False, status=400),
        UpstreamError("the model's arguments", retryable=True, status=400, code="tool_use_failed"),
        UpstreamError("called a tool that was not offered", retryable=True, by_model=True),
        TOO_LONG,
        InvalidRequest("x"),
        EngineOverloaded(retry_after_s=1),
    ],
)
def test_what_is_about_the_request_does_not_count(error):
    desk = Desk(a=Scripted(fails=error))
    for _ in range(5):
        with pytest.raises(APIError):
            desk.ask()
    assert desk.failures("a") == 0
    assert len(desk.providers["a"].calls) == 5


@pytest.mark.parametrize("late", [False, True])
def test_empty_answers_to_one_prompt_count_once_and_to_several_prompts_each(late):
    empty = UpstreamError("answered without content", retryable=True, empty=True)
    scripted = Scripted(b"1", breaks=empty) if late else Scripted(fails=empty)
    desk = Desk(a=scripted)
    for _ in range(5):
        with pytest.raises((APIError, UpstreamError)):
            desk.ask(messages=b'["one"]')
    assert desk.failures("a") == 1
    for messages in (b'["two"]', b'["three"]'):
        with pytest.raises((APIError, UpstreamError)):
            desk.ask(messages=messages)
    with pytest.raises(ProvidersCoolingDown):
        desk.ask(messages=b'["four"]')


def test_however_long_a_provider_asks_to_wait_the_caller_is_told_that():
    days = UpstreamError("x", retryable=True, status=429, retry_after_s=86_400.0)
    desk = Desk(a=Scripted(fails=days))
    with pytest.raises(UpstreamFailed) as caught:
        desk.ask()
    assert caught.value.retry_after_s == 86_400.0
    with pytest.raises(ProvidersCoolingDown) as cooling:
        desk.ask()
    assert desk.condition("a").cooling_s == 600.0
    assert cooling.value.status == 429


def test_a_stream_that_breaks_off_counts():
    desk = Desk(a=Scripted(b"1", breaks=DOWN), b=Scripted(b"2"))
    for _ in range(3):
        with pytest.raises(UpstreamError):
            desk.ask()
    assert desk.ask()[1] == [b"2"]


def test_a_caller_who_hangs_up_does_not_count():
    desk = Desk(a=Waiting())

    async def run():
        async with asyncio.timeout(0.005), desk.relay.open(plan("a"), CALL):
            raise AssertionError("it cannot commit")

    for _ in range(4):
        with pytest.raises(TimeoutError):
            asyncio.run(run())
    assert desk.condition("a") == desk.condition("unknown")


def test_a_caller_who_hangs_up_leaves_the_attempts_so_far():
    desk = Desk(a=Scripted(fails=DOWN), b=Waiting())
    given_up: list[Attempt] = []

    async def run():
        async with (
            asyncio.timeout(0.005),
            desk.relay.open(plan("a", "b"), CALL, given_up.extend),
        ):
            raise AssertionError("it cannot commit")

    with pytest.raises(TimeoutError):
        asyncio.run(run())
    assert [(attempt.provider, attempt.outcome) for attempt in given_up] == [
        ("a", "failed with status 503"),
        ("b", GIVEN_UP),
    ]


def test_an_answer_is_measured():
    desk = Desk(a=Scripted(b"1"))
    desk.providers["a"].takes_s = 0.5
    desk.ask(tokens=100)
    condition = desk.condition("a")
    assert (condition.first_token_s, condition.tokens_per_s) == pytest.approx((0.5, 1000.0))


def test_attempts_and_failovers_are_told():
    desk = Desk(a=Scripted(fails=DOWN), b=Scripted(fails=SLOW), c=Scripted(b"1"))
    desk.ask()
    assert desk.told == [
        ("a", "failed"),
        ("failover", "a"),
        ("b", "timed_out"),
        ("failover", "b"),
        ("c", "committed"),
    ]


def test_retry_after_keeps_requests_away_for_as_long():
    limited = UpstreamError("x", retryable=True, status=429, retry_after_s=30.0)
    desk = Desk(a=Scripted(fails=limited), b=Scripted(b"1"))
    for _ in range(4):
        desk.ask()
    assert len(desk.providers["a"].calls) == 1
    desk.now += 30.0
    desk.ask()
    assert len(desk.providers["a"].calls) == 2


def test_while_all_cool_down_nobody_is_asked_and_a_pinned_request_makes_its_one_attempt():
    desk = Desk(a=Scripted(fails=DOWN))
    for _ in range(3):
        with pytest.raises(UpstreamFailed):
            desk.ask()
    with pytest.raises(ProvidersCoolingDown) as caught:
        desk.ask()
    assert (caught.value.status, caught.value.code) == (429, "providers_cooling_down")
    assert caught.value.retry_after_s
    assert [attempt.outcome for attempt in caught.value.attempts] == [NOT_ASKED]
    assert len(desk.providers["a"].calls) == 3
    with pytest.raises(UpstreamFailed):
        desk.ask(suffix="a")
    assert len(desk.providers["a"].calls) == 4


def test_an_empty_plan_is_that_all_cool_down():
    desk = Desk()
    with pytest.raises(ProvidersCoolingDown):
        desk.ask()


def test_exactly_one_request_at_a_time_tries_a_deployment_that_cooled_down():
    desk = Desk(a=Scripted(fails=DOWN), b=Scripted(b"1"))
    for _ in range(3):
        desk.ask()
    desk.now += 2.0
    trial = desk.providers["a"] = Waiting()

    async def asks():
        async with desk.relay.open(plan("a", "b"), CALL) as answer:
            return answer

    async def run():
        first = asyncio.get_running_loop().create_task(asks())
        while not trial.calls:
            await asyncio.sleep(0)
        others = [await asks() for _ in range(3)]
        first.cancel()
        await asyncio.wait([first])
        return others

    others = asyncio.run(run())
    assert [answer.deployment.provider for answer in others] == ["b", "b", "b"]
    assert [attempt.outcome for attempt in others[0].attempts] == [NOT_ASKED, "committed"]
    assert len(trial.calls) == 1

    desk.providers["a"] = works = Scripted(b"2")
    assert desk.ask()[1] == desk.ask()[1] == [b"2"]
    assert len(works.calls) == 2
