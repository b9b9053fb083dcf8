"""A provider over real HTTP: what it passes, how it fails, and that leaving hangs up."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import msgspec
import pytest

from tests.simulator import Script
from tests.simulator.script import error
from trunkline.errors import UpstreamError
from trunkline.providers.base import Call
from trunkline.providers.http import HTTPProvider
from trunkline.providers.openai import OpenAIChat
from trunkline.routing import Deployment, Plan, Relay
from trunkline.transport import Client, Timeouts

MESSAGES = [{"role": "user", "content": "hello there"}]


def call(model="sim/echo", *, stream=True, **fields):
    body = {"model": "asked", "messages": MESSAGES, "stream": stream, **fields}
    raw = msgspec.json.decode(msgspec.json.encode(body), type=dict[str, msgspec.Raw])
    return Call(model=model, body=raw, stream=stream, request_id="req_1")


@asynccontextmanager
async def provider(base_url, *, timeouts=None, headers=None):
    async with Client() as client:
        yield HTTPProvider(
            name="sim",
            base_url=base_url,
            adapter=OpenAIChat(key="sk-sim"),
            client=client,
            timeouts=timeouts or Timeouts(),
            headers=headers,
        )


def ask(base_url, asked, **options):
    """Returns all chunks of the answer, decoded."""

    async def run():
        async with provider(base_url, **options) as sim, sim.open(asked) as reply:
            return [json.loads(chunk) async for chunks in reply.chunks for chunk in chunks]

    return asyncio.run(run())


def failure(base_url, asked, **options):
    """Returns the UpstreamError that the call ends with, and the chunks that came before it."""

    async def run():
        chunks: list[bytes] = []
        committed = False
        try:
            async with provider(base_url, **options) as sim, sim.open(asked) as reply:
                committed = True
                async for read in reply.chunks:
                    chunks += read
        except UpstreamError as error:
            return error, chunks, committed
        raise AssertionError(f"no failure, but {chunks}")

    return asyncio.run(run())


def text(chunks):
    return "".join(choice["delta"].get("content") or "" for c in chunks for choice in c["choices"])


def test_an_answer_passes(simulator):
    [completion] = ask(simulator.base_url, call(stream=False))
    message = completion["choices"][0]["message"]
    assert message["content"] == "echo: hello there"
    assert message["reasoning"] == message["reasoning_content"] == "Let me think."
    assert completion["usage"]["total_tokens"] == 8


def repaired(base_url, asked):
    """Returns all chunks of the answer, decoded, and what was put right in it."""

    async def run():
        async with provider(base_url) as sim, sim.open(asked) as reply:
            chunks = [json.loads(chunk) async for chunks in reply.chunks for chunk in chunks]
            return chunks, set(reply.repairs)

    return asyncio.run(run())


def test_what_gpt_oss_leaves_in_a_stream_is_repaired_and_named(simulator):
    simulator.play(Script(text="assistantfinalHi there"))
    chunks, repairs = repaired(simulator.base_url, call("openai/gpt-oss-20b"))
    assert (text(chunks), repairs) == ("Hi there", {"bare_channels"})


@pytest.mark.parametrize("stream", [False, True])
def test_a_failed_generation_is_a_reply(simulator, stream):
    generation = '{"name": "ls", "arguments": {}}'
    fault = {"code": "tool_use_failed", "failed_generation": generation}
    simulator.play(Script(status=400, body=json.dumps({"error": fault})))
    tools = [{"type": "function", "function": {"name": "ls"}}]
    chunks, repairs = repaired(
        simulator.base_url, call("openai/gpt-oss-20b", stream=stream, tools=tools)
    )
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert repairs == {"failed_generation"}


def test_a_stream_passes_with_its_usage(simulator):
    chunks = ask(simulator.base_url, call())
    assert text(chunks) == "echo: hello there"
    assert chunks[-1]["usage"]["total_tokens"] == 8
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"


def test_the_request_carries_key_and_headers_and_nothing_of_the_router(simulator):
    ask(simulator.base_url, call(seed=7), headers={"X-Org": "acme"})
    [seen] = simulator.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["authorization"] == "Bearer sk-sim"
    assert seen.headers["x-org"] == "acme"
    assert seen.headers["accept-encoding"] == "identity"
    assert not {"cookie", "x-request-id"} & seen.headers.keys()
    assert seen.body == {
        "model": "sim/echo",
        "messages": MESSAGES,
        "stream": True,
        "seed": 7,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize("stream", [False, True])
def test_tools_schemas_effort_and_choices_pass(simulator, stream):
    tools = [
        {
            "type": "function",
            "function": {
                "name": name,
                "parameters": {
                    "type": "object",
                    "properties": {"q": {"type": "integer"}},
                    "required": ["q"],
                },
            },
        }
        for name in ("first", "second")
    ]
    named = {"type": "function", "function": {"name": "second"}}
    chunks = ask(simulator.base_url, call(stream=stream, tools=tools, tool_choice=named, n=2))
    holder = "delta" if stream else "message"
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    calls = [c for choice in choices for c in choice.get(holder, {}).get("tool_calls", ())]
    assert {c["function"]["name"] for c in calls if "name" in c["function"]} == {"second"}
    assert "".join(c["function"]["arguments"] for c in calls) == '{"q":0}' * 2
    assert {choice["index"] for choice in choices} == {0, 1}


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_stream_with_comments_and_any_line_end_passes(simulator, line_end):
    simulator.play(Script(comments=True, line_end=line_end, role_chunk=False, done=False))
    assert text(ask(simulator.base_url, call())) == "echo: hello there"


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_status_fails_before_the_commit(simulator, status, stream):
    caught, chunks, committed = failure(
        simulator.base_url, call(f"sim/error-{status}", stream=stream)
    )
    assert (caught.status, caught.retryable, committed, chunks) == (
        status,
        status != 400,
        False,
        [],
    )


def test_retry_after_is_handed_on(simulator):
    simulator.play(error(429, Retry_After="3"))
    assert failure(simulator.base_url, call())[0].retry_after_s == 3


def test_a_redirect_is_not_followed_and_the_key_goes_nowhere_else(simulator):
    caught, *_ = failure(simulator.base_url, call("sim/redirect"))
    assert caught.retryable
    assert "redirect" in caught.public
    assert len(simulator.seen) == 1


@pytest.mark.parametrize(
    "model",
    [
        "sim/empty",
        "sim/garbage",
        "sim/html",
        "sim/json",
        "sim/cut-0",
        "sim/cut-1",
        "sim/late-error-0",
        "sim/end-1",
    ],
)
def test_a_bad_stream_fails_before_the_commit_and_may_be_tried_elsewhere(simulator, model):
    caught, _, committed = failure(simulator.base_url, call(model))
    assert (caught.retryable, committed) == (True, False)


@pytest.mark.parametrize("model", ["sim/empty", "sim/garbage", "sim/html", "sim/json"])
def test_a_bad_answer_may_be_tried_elsewhere(simulator, model):
    caught, _, committed = failure(simulator.base_url, call(model, stream=False))
    assert (caught.retryable, committed) == (True, False)


@pytest.mark.parametrize(
    "script",
    [
        Script(raw="HTTP/1.1 what\r\n\r\n"),
        Script(raw="hello\r\n\r\n"),
        Script(raw=""),
        Script(cut_after_bytes=20),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_http_or_breaks_off_may_be_tried_elsewhere(simulator, script, stream):
    simulator.play(script)
    caught, _, committed = failure(simulator.base_url, call(stream=stream))
    assert (caught.retryable, caught.timed_out, committed) == (True, False, False)
    assert "127.0.0.1" not in caught.public


@pytest.mark.parametrize("model", ["sim/cut-5", "sim/end-5", "sim/late-error-5"])
def test_a_stream_that_breaks_off_later_delivers_what_came_and_then_fails(simulator, model):
    caught, chunks, committed = failure(simulator.base_url, call(model))
    assert committed
    assert len(chunks) == 5
    assert caught.message


def test_a_huge_error_page_is_not_read_to_its_end(simulator):
    simulator.play(Script(status=502, body_bytes=10 << 30))
    caught, *_ = failure(simulator.base_url, call())
    assert caught.status == 502
    simulator.wait_for_open(0)


def test_a_huge_answer_is_not_read_to_its_end(simulator, monkeypatch):
    monkeypatch.setattr("trunkline.providers.http._MAX_REPLY_BYTES", 1 << 20)
    caught, *_ = failure(simulator.base_url, call("sim/huge-10000000000", stream=False))
    assert "more than 1048576 bytes" in caught.message
    simulator.wait_for_open(0)


@pytest.mark.parametrize(
    ("asked", "timeouts", "message"),
    [
        (call("sim/silent"), Timeouts(first_chunk_s=0.05), "did not answer in time"),
        (call("sim/stall-1"), Timeouts(first_chunk_s=0.3), "no first chunk within 0.3 s"),
        (call("sim/stall-4"), Timeouts(idle_s=0.05), "sent nothing for 0.05 s"),
        (call("sim/paced-100ms"), Timeouts(total_s=0.4), "took longer than 0.4 s"),
        (call("sim/silent", stream=False), Timeouts(total_s=0.05), "did not answer in time"),
    ],
)
def test_each_deadline_ends_the_call_and_closes_the_connection(simulator, asked, timeouts, message):
    caught, *_ = failure(simulator.base_url, asked, timeouts=timeouts)
    assert message in caught.message
    assert caught.timed_out
    assert caught.retryable
    simulator.wait_for_open(0)


def test_an_answer_in_one_piece_may_take_longer_than_a_first_chunk(simulator):
    [completion] = ask(
        simulator.base_url,
        call("sim/slow-100ms", stream=False),
        timeouts=Timeouts(first_chunk_s=0.01),
    )
    assert completion["choices"]


def test_comments_alone_do_not_put_off_the_first_chunk(simulator):
    simulator.play(Script(comments=True, stall_after=1))
    caught, *_ = failure(simulator.base_url, call(), timeouts=Timeouts(first_chunk_s=0.05))
    assert caught.timed_out


def test_a_slow_reader_of_ours_is_not_the_upstreams_fault(simulator):
    async def run():
        async with (
            provider(simulator.base_url, timeouts=Timeouts(idle_s=0.2)) as sim,
            sim.open(call()) as reply,
        ):
            first = await anext(aiter(reply.chunks))
            await asyncio.sleep(0.3)  # longer than the upstream itself may take
            return [*first, *[chunk async for read in reply.chunks for chunk in read]]

    assert text(map(json.loads, asyncio.run(run()))) == "echo: hello there"


def test_nobody_listening_is_told_without_the_address(unused_port):
    caught, *_ = failure(f"http://127.0.0.1:{unused_port}/v1", call())
    assert caught.public == "could not be reached"
    assert caught.message == "127.0.0.1: could not be reached (Connection refused)"
    assert caught.retryable


@pytest.mark.parametrize("url", ["http://no-such-host.invalid/v1", "https://[::1", "http:///v1"])
def test_an_address_that_leads_nowhere_fails_as_an_attempt(url):
    assert failure(url, call())[0].retryable


def test_leaving_early_hangs_up_at_once(simulator):
    async def run():
        async with provider(simulator.base_url) as sim, sim.open(call("sim/stall-6")) as reply:
            await anext(aiter(reply.chunks))
            simulator.wait_for_open(1)

    asyncio.run(run())
    simulator.wait_for_open(0)


@pytest.mark.parametrize("model", ["sim/silent", "sim/stall-1", "sim/stall-6"])
def test_a_cancelled_call_hangs_up_at_once(simulator, model):
    async def reading(sim):
        async with sim.open(call(model)) as reply:
            async for _ in reply.chunks:
                pass

    async def run():
        async with provider(simulator.base_url) as sim, asyncio.TaskGroup() as tasks:
            task = tasks.create_task(reading(sim))
            await asyncio.to_thread(simulator.wait_for_open, 1)
            task.cancel()
            await asyncio.to_thread(simulator.wait_for_open, 0)

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True])
def test_a_connection_is_used_again_once_its_answer_was_read(simulator, stream):
    async def run():
        async with provider(simulator.base_url) as sim:
            for _ in range(5):
                async with sim.open(call(stream=stream)) as reply:
                    async for _ in reply.chunks:
                        pass

    asyncio.run(run())
    assert len({seen.peer for seen in simulator.seen}) == 1


def test_many_calls_at_once_do_not_wait_for_each_other(simulator):
    async def reading(sim):
        async with sim.open(call("sim/silent")):
            pass

    async def run():
        async with provider(simulator.base_url) as sim, asyncio.TaskGroup() as tasks:
            waiting = [tasks.create_task(reading(sim)) for _ in range(150)]
            await asyncio.to_thread(simulator.wait_for_open, 150)
            for task in waiting:
                task.cancel()

    asyncio.run(run())
    simulator.wait_for_open(0)


@pytest.mark.parametrize("bad", ["sim/error-503", "sim/cut-1", "sim/late-error-0", "sim/empty"])
def test_a_relay_fails_over_before_the_commit_and_closes_what_failed(simulator, bad):
    models = {"bad": bad, "good": "sim/echo"}
    deployments = [Deployment(model="m", provider=p, upstream_model=m) for p, m in models.items()]

    async def run():
        async with provider(simulator.base_url) as sim:
            relay = Relay(providers=dict.fromkeys(models, sim))
            async with relay.open(Plan("m", "m", None, tuple(deployments)), call()) as answer:
                chunks = [json.loads(c) async for read in answer.reply.chunks for c in read]
                return [attempt.provider for attempt in answer.attempts], text(chunks)

    assert asyncio.run(run()) == (["bad", "good"], "echo: hello there")
    assert [seen.body["model"] for seen in simulator.seen] == [bad, "sim/echo"]
    simulator.wait_for_open(0)
