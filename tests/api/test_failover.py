"""Two providers over real HTTP, the first of which dies at each point: who answers, and who was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import msgspec
import pytest

from tests.simulator import Script, Simulator
from tests.simulator.script import error
from trunkline.errors import UpstreamError, UpstreamTimeout
from trunkline.providers.base import Call
from trunkline.providers.http import HTTPProvider
from trunkline.providers.openai import OpenAIChat
from trunkline.routing import Deployment, DeploymentHealth, Plan, Relay
from trunkline.transport import Client, Timeouts

MESSAGES = [{"role": "user", "content": "hello there"}]
PLAN = Plan(
    "m",
    "m",
    None,
    tuple(Deployment(model="m", provider=name, upstream_model="sim/echo") for name in "ab"),
)
TIMEOUTS = Timeouts(connect_s=2.0, first_chunk_s=0.7, idle_s=0.7, total_s=10.0)
PATIENT = Timeouts(connect_s=10.0, first_chunk_s=10.0, idle_s=10.0, total_s=10.0)


@pytest.fixture(scope="session")
def running_second() -> Iterator[Simulator]:
    with Simulator() as second:
        yield second


@pytest.fixture
def second(running_second: Simulator) -> Simulator:
    """Another provider than ``simulator``, which answers well."""
    running_second.reset()
    return running_second


def call(*, stream: bool) -> Call:
    body = {"model": "asked", "messages": MESSAGES, "stream": stream}
    raw = msgspec.json.decode(msgspec.json.encode(body), type=dict[str, msgspec.Raw])
    return Call(model="asked", body=raw, stream=stream, request_id="req_1")


class Outcome(msgspec.Struct):
    """What a request came to: the text, who gave it after whom, and what broke it off."""

    text: str = ""
    attempts: list[str] = []
    broke_off: UpstreamError | None = None


def ask(
    first: str, other: str, *, stream=True, timeouts=TIMEOUTS, health=None, **options
) -> Outcome:
    outcome = Outcome()

    async def run():
        async with Client() as client:
            providers = {
                name: HTTPProvider(
                    name=name, base_url=url, adapter=OpenAIChat(), client=client, timeouts=timeouts
                )
                for name, url in {"a": first, "b": other}.items()
            }
            relay = Relay(providers=providers, health=health, **options)
            async with relay.open(PLAN, call(stream=stream)) as answer:
                outcome.attempts = [attempt.provider for attempt in answer.attempts]
                try:
                    async for read in answer.reply.chunks:
                        outcome.text += "".join(map(spoken, read))
                except UpstreamError as error:
                    answer.broke_off(error)
                    outcome.broke_off = error
                else:
                    answer.ended(6)

    asyncio.run(run())
    return outcome


def spoken(document: bytes) -> str:
    choices = json.loads(document)["choices"]
    said = [choice.get("delta") or choice.get("message") or {} for choice in choices]
    return "".join(message.get("content") or "" for message in said)


BEFORE_THE_FIRST_CONTENT = {
    "before headers": Script(raw=""),
    "garbage for headers": Script(raw="what?\r\n\r\n"),
    "with a 408": error(408),
    "with a 409": error(409),
    "with a 429": error(429, Retry_After="1"),
    "with a 500": error(500),
    "with a 503": error(503),
    "with a harmony 500": error(500, message="unexpected tokens remaining in message header"),
    "with a 400 of its own limits": error(400, message="tool_choice is not supported"),
    "with a context of its own": error(400, message="the prompt is too long: 9000 tokens"),
    "before it answers, by stall": Script(silent=True),
    "empty": Script(body=""),
    "with an HTML page": Script(body="<h1>Oops</h1>", content_type="text/html"),
    "in its body": Script(cut_after_bytes=10),
}
IN_A_STREAM = {
    "after headers": Script(cut_after=0),
    "after headers, by stall": Script(stall_after=0),
    "after a role chunk": Script(cut_after=1),
    "after a role chunk, properly": Script(end_after=1),
    "after a role chunk, by stall": Script(stall_after=1),
    "after a role chunk, by an error": Script(error_after=1),
}
LATER = {
    "cut": Script(cut_after=5, reasoning=""),
    "ended": Script(end_after=5, reasoning=""),
    "error": Script(error_after=5, reasoning=""),
    "stall": Script(stall_after=5, reasoning=""),
}


def long_text(script: Script) -> Script:
    return msgspec.structs.replace(script, text="one two three four five six seven eight")


@pytest.mark.parametrize("point", [*BEFORE_THE_FIRST_CONTENT, *IN_A_STREAM])
def test_who_dies_before_the_first_content_is_stood_in_for(simulator, second, point):
    simulator.play({**BEFORE_THE_FIRST_CONTENT, **IN_A_STREAM}[point])
    outcome = ask(simulator.base_url, second.base_url)
    assert outcome == Outcome("echo: hello there", ["a", "b"])
    assert (len(simulator.seen), len(second.seen)) == (1, 1)
    simulator.wait_for_open(0)


@pytest.mark.parametrize("point", [p for p in BEFORE_THE_FIRST_CONTENT if "stall" not in p])
def test_who_dies_in_a_whole_answer_is_stood_in_for(simulator, second, point):
    simulator.play(BEFORE_THE_FIRST_CONTENT[point])
    outcome = ask(simulator.base_url, second.base_url, stream=False)
    assert outcome == Outcome("echo: hello there", ["a", "b"])
    assert (len(simulator.seen), len(second.seen)) == (1, 1)


def test_who_cannot_be_connected_to_is_stood_in_for(second, unused_port):
    outcome = ask(f"http://127.0.0.1:{unused_port}/v1", second.base_url)
    assert outcome == Outcome("echo: hello there", ["a", "b"])
    assert len(second.seen) == 1


@pytest.mark.parametrize("point", LATER)
def test_who_dies_after_the_first_content_ends_the_reply_and_nobody_generates_it_again(
    simulator, second, point
):
    simulator.play(long_text(LATER[point]))
    health = DeploymentHealth()
    outcome = ask(simulator.base_url, second.base_url, health=health)
    assert outcome.broke_off is not None
    assert outcome.text == "one two three four"
    assert outcome.attempts == ["a"]
    assert (len(simulator.seen), len(second.seen)) == (1, 0)
    assert health.of(PLAN.deployments[0]).failures == 1
    simulator.wait_for_open(0)


def test_a_callers_own_mistake_is_not_tried_elsewhere(simulator, second):
    simulator.play(error(400, message="temperature must be a number"))
    with pytest.raises(Exception, match="temperature must be a number"):
        ask(simulator.base_url, second.base_url)
    assert (len(simulator.seen), len(second.seen)) == (1, 0)


def test_the_requests_deadline_ends_a_reply_that_has_begun_too(simulator, second):
    simulator.play(long_text(Script(stall_after=5)))
    health = DeploymentHealth()
    outcome = ask(
        simulator.base_url,
        second.base_url,
        timeouts=PATIENT,
        health=health,
        request_timeout_s=1.0,
    )
    assert outcome.broke_off is not None
    assert outcome.broke_off.timed_out
    assert (len(simulator.seen), len(second.seen)) == (1, 0)
    assert health.of(PLAN.deployments[0]).failures == 0


def test_two_that_never_answer_end_at_the_requests_deadline(simulator, second):
    simulator.play(Script(silent=True))
    second.play(Script(silent=True))
    with pytest.raises(UpstreamTimeout, match=r"nobody answered within 1 s: a .*; b "):
        ask(simulator.base_url, second.base_url, request_timeout_s=1.0)
    assert (len(simulator.seen), len(second.seen)) == (1, 1)
