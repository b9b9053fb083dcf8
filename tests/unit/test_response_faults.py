"""Responses over a provider of which nobody expects what it does: also that is told in the stream."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from tests.responses import events_of
from trunkline.accounts.keyring import Caller
from trunkline.api.exchange import Exchange, attach
from trunkline.api.metrics import Metrics
from trunkline.api.responses import Responses
from trunkline.api.run import Intake
from trunkline.errors import APIError
from trunkline.providers.base import Reply
from trunkline.responses.attachments import Attachments
from trunkline.responses.sealing import Seal
from trunkline.responses.state import State
from trunkline.routing import Catalog, Chooser, Deployment, DeploymentHealth, Relay, Sticky

SECRET = "nobody is told of this"
CHUNK = b'{"choices":[{"index":0,"delta":{"content":"Half a "}}]}'


class Faulty:
    """A provider that stumbles over itself in the middle of its reply, or before."""

    def __init__(self, *, before: bool) -> None:
        self._before = before

    @asynccontextmanager
    async def open(self, _call: Any):
        if self._before:
            raise RuntimeError(SECRET)

        async def chunks():
            yield [CHUNK]
            raise RuntimeError(SECRET)

        yield Reply(chunks(), ())


def answered(*, before: bool) -> tuple[list[Any], Any]:
    """Returns what is sent of a stream, and the receipt."""

    async def run():
        receipts: list[Any] = []
        health = DeploymentHealth()
        kept = cast(Any, type("Kept", (), {"add": staticmethod(receipts.append)}))
        intake = Intake(
            catalog=Catalog([Deployment(model="m", provider="p", upstream_model="m")]),
            chooser=Chooser(health=health, sticky=Sticky()),
            requests=kept,
            metrics=Metrics(),
            params="strict",
            max_body_bytes=100_000,
            body_timeout_s=10,
        )
        nothing = cast(Any, None)  # neither state nor attachments are asked for
        endpoint = Responses(
            intake,
            Relay(providers={"p": Faulty(before=before)}, health=health),
            State(nothing, keep_for=None),
            Attachments(fetch=nothing, read_text=nothing),
            seal=Seal(b"secret"),
        )
        asked = {"model": "m", "input": "hi", "store": False, "stream": True}
        messages = [{"type": "http.request", "body": json.dumps(asked).encode()}]
        scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "headers": []}
        caller = Caller(key_id="key_1", account_id="acct_1")
        exchange = Exchange(request_id="req_1", method="POST", path="/", identified=caller)
        attach(scope, exchange)
        sent: list[Any] = []

        async def receive():
            return messages.pop() if messages else await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        try:
            await asyncio.wait_for(endpoint(scope, receive, send), 30)
        finally:
            (receipt,) = receipts
        return sent, receipt

    result: tuple[list[Any], Any] = asyncio.run(run())
    return result


def test_what_nobody_expects_in_the_middle_ends_the_stream_with_events():
    sent, receipt = answered(before=False)
    text = b"".join(one.get("body", b"") for one in sent).decode()
    events = events_of(text.removesuffix("\n\n").split("\n\n"))
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert events[-1]["response"]["output"][0]["status"] == "incomplete"
    assert events[-2]["code"] == APIError.code == receipt.error_code
    assert SECRET not in text


def test_what_nobody_expects_before_is_left_to_the_status():
    with pytest.raises(RuntimeError):
        answered(before=True)
