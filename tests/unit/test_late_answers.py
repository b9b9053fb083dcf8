"""Streams whose reply is checked before any of it leaves: comments keep them alive until then."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from trunkline.accounts.keyring import Caller
from trunkline.api.chat import ChatCompletions
from trunkline.api.exchange import Exchange, attach
from trunkline.api.metrics import Metrics
from trunkline.api.run import Intake
from trunkline.config import Quirks
from trunkline.errors import UpstreamError, UpstreamFailed
from trunkline.providers.base import Reply
from trunkline.providers.parameters import support_of
from trunkline.routing import Catalog, Chooser, Deployment, DeploymentHealth, Relay, Sticky

QUIRKS = Quirks(unsupported=("n",))
CHUNK = b'{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}'


class Slow:
    """A provider that answers, or fails, once it is let go."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.go = asyncio.Event()
        self._failure = failure

    @asynccontextmanager
    async def open(self, _call: Any):
        await self.go.wait()
        if self._failure is not None:
            raise self._failure

        async def chunks():
            yield [CHUNK]

        yield Reply(chunks(), (), {"n"})


class Kept:
    def __init__(self) -> None:
        self.receipts: list[Any] = []

    def add(self, receipt: Any) -> None:
        self.receipts.append(receipt)


def answer(
    *,
    failure: Exception | None = None,
    pulse_s: float,
    after: int,
    better_fails: bool = False,
    **fields: Any,
):
    """Returns what is sent, and the receipt; the provider goes on after that many messages.

    With ``better_fails`` there is another, which takes ``n`` as it is, and fails.
    """

    async def run():
        provider, kept, sent = Slow(failure), Kept(), []
        offer = Deployment(model="m", provider="p", upstream_model="m", support=support_of(QUIRKS))
        better = Slow(UpstreamError("failed", retryable=True))
        better.go.set()
        offers = [offer]
        if better_fails:
            offers.append(Deployment(model="m", provider="better", upstream_model="m"))
        health = DeploymentHealth()
        intake = Intake(
            catalog=Catalog(offers),
            chooser=Chooser(health=health, sticky=Sticky()),
            requests=kept,  # type: ignore[arg-type]
            metrics=Metrics(),
            params="strict",
            max_body_bytes=100_000,
            body_timeout_s=10,
        )
        relay = Relay(providers={"p": provider, "better": better}, health=health)
        endpoint = ChatCompletions(intake, relay, pulse_s=pulse_s)
        body = msgspec.json.encode(
            {
                "model": "m",
                "messages": [{"role": "user", "content": "hi"}],
                "stream": True,
                **fields,
            }
        )
        messages = [{"type": "http.request", "body": body, "more_body": False}]
        scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "headers": []}
        caller = Caller(key_id="key_1", account_id="acct_1")
        exchange = Exchange(request_id="req_1", method="POST", path="/", identified=caller)
        attach(scope, exchange)

        async def receive():
            if messages:
                return messages.pop()
            return await asyncio.Event().wait()

        async def send(message):
            sent.append(message)
            if len(sent) >= after:
                provider.go.set()

        if not after:
            provider.go.set()
        try:
            await asyncio.wait_for(endpoint(scope, receive, send), 30)
        finally:
            (receipt,) = kept.receipts
        return sent, receipt

    return asyncio.run(run())


def text(sent: list[Any]) -> str:
    return b"".join(one.get("body", b"") for one in sent).decode()


def test_comments_come_until_the_reply_is_there():
    sent, receipt = answer(pulse_s=0.001, after=4, n=2)
    assert sent[0]["status"] == 200
    assert not any(name.startswith(b"x-trunkline") for name, _ in sent[0]["headers"])
    said = text(sent)
    assert said.startswith(": waiting\n\n: waiting\n\n")
    assert said.endswith(f"data: {CHUNK.decode()}\n\ndata: [DONE]\n\n")
    assert said.count(CHUNK.decode()) == 1
    assert receipt.attempts[-1].emulations == ("n",)


def test_a_reply_that_is_there_before_has_its_headers():
    sent, _ = answer(pulse_s=60, after=0, n=2)
    assert (b"x-trunkline-provider", b"p") in sent[0]["headers"]
    assert text(sent) == f"data: {CHUNK.decode()}\n\ndata: [DONE]\n\n"


def test_a_failure_after_the_first_comment_is_an_event():
    failure = UpstreamError("did not keep to it", retryable=True)
    sent, receipt = answer(failure=failure, pulse_s=0.001, after=2, n=2)
    *_, event = text(sent).strip().split("\n\n")
    assert event.startswith("event: error\ndata: ")
    error = json.loads(event.partition("data: ")[2])["error"]
    assert error["code"] == "upstream_failed"
    assert (receipt.error_code, receipt.attempts[0].provider) == ("upstream_failed", "p")
    assert "[DONE]" not in text(sent)


def test_a_failure_before_it_has_a_status():
    failure = UpstreamError("did not keep to it", retryable=True)
    with pytest.raises(UpstreamFailed):
        answer(failure=failure, pulse_s=60, after=0, n=2)


def test_a_stream_that_is_not_checked_waits_without_comments():
    sent, _ = answer(pulse_s=0.001, after=0, n=1)
    assert ": waiting" not in text(sent)


def test_comments_come_also_where_another_was_asked_that_needs_none():
    sent, receipt = answer(pulse_s=0.001, after=4, better_fails=True, n=2)
    assert text(sent).startswith(": waiting\n\n: waiting\n\n")
    assert [(one.provider, one.emulations) for one in receipt.attempts] == [
        ("better", ()),
        ("p", ("n",)),
    ]
