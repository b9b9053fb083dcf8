"""The engine's client against a scripted server: everything that a healthy engine never does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain, repeat
from typing import Any

import msgspec
import pytest

from trunkline.engine.client import Completion, Done, EngineClient, Piece, Progress
from trunkline.engine.endpoint import Endpoint
from trunkline.errors import EngineUnavailable, InvalidRequest, UpstreamError

HELLO = b'data: {"content":"h\xc3\xa9","tokens":[5],"tokens_predicted":2,"stop":false}\n\n'
END = (
    b'data: {"content":"","tokens":[],"stop":true,"stop_type":"eos","stopping_word":"",'
    b'"tokens_predicted":2,"tokens_evaluated":9,"timings/cache_n":4}\n\n'
)
WHOLE = [Piece("hé", [5], 2, []), Done("eos", "", 9, 4, 2)]
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def plain(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


class Script:
    """Answers each connection with the next list of writes; None in a list waits for ever."""

    def __init__(self, *answers: list[bytes | None]) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[bytes, bytes]] = []

    async def play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            self.requests.append((head, await reader.readexactly(length)))
            for data in self.answers.pop(0):
                if data is None:
                    await reader.read()  # until the client hangs up
                    return
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(0)
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def client_of(script: Script, **options: Any) -> AsyncIterator[EngineClient]:
    server = await asyncio.start_server(script.play, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    endpoints = (endpoint(port, pid) for pid in range(9))
    async with server, EngineClient(lambda: next(endpoints), slots=8, queue=8, **options) as client:
        yield client


def endpoint(port: int, pid: int) -> Endpoint:
    return Endpoint(
        address=f"http://127.0.0.1:{port}",
        secret="s3cret",
        pid=pid,
        model="m",
        slots=8,
        context=64,
        markers={},
    )


async def output(client: EngineClient, completion: Completion) -> list[Progress | Piece | Done]:
    async with client.complete(completion) as reads:
        return [piece async for read in reads for piece in read]


def run(
    script: Script, completion: Completion | None = None, **options: float
) -> list[Progress | Piece | Done]:
    async def main():
        async with client_of(script, **options) as client:
            return await output(client, completion or Completion(prompt=[1]))

    return asyncio.run(main())


def test_a_stream_cut_at_any_byte_gives_the_same_pieces():
    stream = (
        b'data: {"tokens":[0],"prompt_progress":{"total":9,"cache":4,"processed":5}}\n\n'
        + HELLO
        + END
    )
    for cut in range(1, len(stream)):
        writes = [STREAM, chunked(stream[:cut]), chunked(stream[cut:]), b"0\r\n\r\n"]
        assert run(Script([*writes])) == [Progress(prompt_tokens=9, cached_tokens=4), *WHOLE]


def test_pieces_that_arrive_together_leave_together():
    async def main():
        script = Script([STREAM + chunked(HELLO + HELLO), chunked(END)])
        async with client_of(script) as client, client.complete(Completion(prompt=[1])) as reads:
            return [len(read) async for read in reads]

    assert asyncio.run(main()) in ([2, 1], [3])


def test_every_sampling_value_is_sent_and_the_connection_is_not_kept():
    script = Script([STREAM, chunked(END)])
    run(script, Completion(prompt=[1, "hi"], seed=2**32, logit_bias={7: -2.5}, stop=["x"]))
    head, body = script.requests[0]
    assert b"authorization: bearer s3cret\r\n" in head.lower()
    assert b"connection: close\r\n" in head.lower()
    sent = msgspec.json.decode(body)
    del sent["response_fields"]
    assert sent == {
        "prompt": [1, "hi"],
        "n_predict": -1,
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "seed": 1,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "repeat_penalty": 1.0,
        "repeat_last_n": 64,
        "typical_p": 1.0,
        "top_n_sigma": -1.0,
        "dynatemp_range": 0.0,
        "xtc_probability": 0.0,
        "dry_multiplier": 0.0,
        "mirostat": 0,
        "stop": ["x"],
        "grammar": "",
        "logit_bias": [[7, -2.5]],
        "n_probs": 0,
        "post_sampling_probs": False,
        "ignore_eos": False,
        "cache_prompt": True,
        "stream": True,
        "return_tokens": True,
        "return_progress": True,
    }


def test_texts_alone_are_no_prompt():
    with pytest.raises(ValueError, match="a prompt needs a token id"):
        run(Script(), Completion(prompt=["one", "two"]))


@pytest.mark.parametrize(
    "writes",
    [
        [STREAM + chunked(HELLO)],
        [STREAM + chunked(HELLO) + b"0\r\n\r\n"],
        [STREAM + chunked(HELLO + b"data: {not json}\n\n"), None],
        [STREAM + chunked(HELLO + b'data: {"error":{"message":"oops"}}\n\n'), None],
    ],
    ids=["connection lost", "ended early", "garbage", "error"],
)
def test_a_reply_that_goes_wrong_on_the_way_is_a_retryable_failure(writes):
    with pytest.raises(UpstreamError) as failure:
        run(Script(writes))
    assert (failure.value.retryable, failure.value.timed_out) == (True, False)


@pytest.mark.parametrize(
    "writes", [[None], [STREAM + chunked(HELLO), None]], ids=["start", "middle"]
)
def test_silence_is_a_timeout(writes):
    with pytest.raises(UpstreamError, match=r"the engine sent nothing for 0\.05 s") as failure:
        run(Script(writes), stall_s=0.05)
    assert (failure.value.retryable, failure.value.timed_out) == (True, True)


def test_what_an_engine_took_before_it_died_is_not_sent_to_the_next():
    script = Script([], [STREAM + chunked(HELLO + END)])
    with pytest.raises(UpstreamError, match="connection broke") as failure:
        run(script)
    assert failure.value.retryable
    assert len(script.requests) == 1


def test_a_request_that_no_engine_took_goes_to_the_next(unused_port):
    async def main():
        script = Script([STREAM + chunked(HELLO + END)])
        server = await asyncio.start_server(script.play, "127.0.0.1", 0)
        gone, next_one = endpoint(unused_port, 1), endpoint(server.sockets[0].getsockname()[1], 2)
        announced = chain([gone, gone, None, None], repeat(next_one))
        async with server, EngineClient(lambda: next(announced), slots=1, queue=1) as client:
            return await output(client, Completion(prompt=[1])), len(script.requests)

    assert asyncio.run(main()) == (WHOLE, 1)


def test_after_a_broken_reply_the_next_request_waits_for_the_successor():
    async def main():
        dying, script = Script([STREAM + chunked(HELLO)]), Script([STREAM + chunked(HELLO + END)])
        servers = [await asyncio.start_server(s.play, "127.0.0.1", 0) for s in (dying, script)]
        first, second = (
            endpoint(server.sockets[0].getsockname()[1], number)
            for number, server in enumerate(servers, 1)
        )
        announced = first
        async with (
            servers[0],
            servers[1],
            EngineClient(lambda: announced, slots=1, queue=1) as client,
        ):
            with pytest.raises(UpstreamError):
                await output(client, Completion(prompt=[1]))

            def announce():
                nonlocal announced
                announced = second

            asyncio.get_running_loop().call_later(0.1, announce)
            return await output(client, Completion(prompt=[1])), len(dying.requests)

    assert asyncio.run(main()) == (WHOLE, 1)


def test_an_engine_that_lives_on_after_a_broken_reply_is_trusted_again(monkeypatch):
    monkeypatch.setattr("trunkline.engine.client._NOTICED_S", 0.05)

    async def main():
        script = Script([STREAM + chunked(HELLO)], [STREAM + chunked(HELLO + END)])
        server = await asyncio.start_server(script.play, "127.0.0.1", 0)
        alive = endpoint(server.sockets[0].getsockname()[1], 1)
        async with server, EngineClient(lambda: alive, slots=1, queue=1) as client:
            with pytest.raises(UpstreamError):
                await output(client, Completion(prompt=[1]))
            return await output(client, Completion(prompt=[1]))

    assert asyncio.run(main()) == WHOLE


def test_an_engine_that_takes_no_connections_and_has_no_successor_has_failed(
    unused_port, monkeypatch
):
    monkeypatch.setattr("trunkline.engine.client._NOTICED_S", 0.05)

    async def main():
        gone = endpoint(unused_port, 1)
        async with EngineClient(lambda: gone, slots=1, queue=1) as client:
            await output(client, Completion(prompt=[1]))

    with pytest.raises(UpstreamError, match="connection broke") as failure:
        asyncio.run(main())
    assert failure.value.retryable


def test_a_prompt_longer_than_the_context_is_the_callers_mistake():
    body = b'{"error":{"type":"exceed_context_size_error","n_prompt_tokens":9002,"n_ctx":4096}}'
    with pytest.raises(
        InvalidRequest, match=r"holds 4096 tokens and the prompt has 9002"
    ) as refused:
        run(Script([plain("400 Bad Request", body)]))
    assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "messages")


@pytest.mark.parametrize(
    ("status", "body", "retryable"),
    [
        ("400 Bad Request", b'{"error":{"message":"Prompt contains invalid tokens"}}', False),
        ("401 Unauthorized", b'{"error":{"message":"Invalid API Key"}}', True),
        ("500 Internal Server Error", b'{"error":{"message":"oops","code":500}}', True),
        ("502 Bad Gateway", b"<html>", True),
    ],
)
def test_other_refusals_are_upstream_failures(status, body, retryable):
    with pytest.raises(UpstreamError) as failure:
        run(Script([plain(status, body)]))
    assert (failure.value.status, failure.value.retryable) == (int(status[:3]), retryable)


def test_an_engine_that_does_not_start_in_time_is_unavailable():
    async def main():
        async with EngineClient(lambda: None, slots=1, queue=1, start_timeout_s=0.05) as client:
            await output(client, Completion(prompt=[1]))

    with pytest.raises(EngineUnavailable, match=r"did not start within 0\.05 s"):
        asyncio.run(main())
