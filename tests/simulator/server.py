"""The simulator's HTTP server, and the thread that tests run it on."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Self

import msgspec
from aiohttp import web

from tests.simulator import replies
from tests.simulator.dialects import DIALECTS, PLAIN, Dialect
from tests.simulator.script import Script, named

_PADDING = b" " * 65_536


class Seen(msgspec.Struct, frozen=True):
    """A request as it arrived; header names are in lower case, ``peer`` is the connection's port."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    peer: int


class Simulator:
    """A provider at ``base_url``, on a thread of its own between ``__enter__`` and ``__exit__``."""

    def __init__(self, *, port: int = 0) -> None:
        self.seen: list[Seen] = []
        self._port = port
        self._scripts: deque[Script] = deque()
        self._open = 0
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def base_url(self) -> str:
        """What a provider is configured with."""
        return f"{self.url}/v1"

    def base_url_of(self, dialect: str) -> str:
        """What a provider that speaks a dialect is configured with."""
        return f"{self.url}/{dialect}{DIALECTS[dialect].path}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "the simulator did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def play(self, *scripts: Script) -> None:
        """Queues scripts: each next request takes one, whatever its model."""
        self._scripts.extend(scripts)

    def reset(self) -> None:
        """Forgets what was queued and seen."""
        self._scripts.clear()
        self.seen.clear()

    def wait_for_open(self, count: int, *, timeout_s: float = 5.0) -> None:
        """Waits until that many requests are being answered; a hung-up one no longer counts."""
        with self._changed:
            reached = self._changed.wait_for(lambda: self._open == count, timeout_s)
        assert reached, f"{self._open} requests are open, not {count}"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = web.AppRunner(
            self.app(), handler_cancellation=True, access_log=None, shutdown_timeout=0.1
        )
        self._loop.run_until_complete(self._listen(runner))
        self._ready.set()
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(runner.cleanup())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    async def _listen(self, runner: web.AppRunner) -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port, backlog=1024)
        await site.start()
        self._port = runner.addresses[0][1]

    def app(self) -> web.Application:
        """Returns the web application, for a loop of the caller's own."""
        app = web.Application(client_max_size=1 << 30)
        app.add_routes(
            [
                web.post("/v1/chat/completions", self._counted(self._complete)),
                web.post("/v1/embeddings", self._counted(self._complete)),
                web.get("/v1/models", self._models),
                *(
                    web.post(
                        f"/{name}{dialect.path}/chat/completions",
                        self._counted(partial(self._complete, dialect=dialect)),
                    )
                    for name, dialect in DIALECTS.items()
                ),
                web.post("/_script", self._queue),
                web.get("/_requests", self._requests),
                web.delete("/_requests", self._forget),
                web.get("/_state", self._state),
            ]
        )
        return app

    def _counted(self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
        async def counted(request: web.Request) -> web.StreamResponse:
            self._count(+1)
            try:
                return await handler(request)
            finally:
                self._count(-1)

        return counted

    def _count(self, step: int) -> None:
        with self._changed:
            self._open += step
            self._changed.notify_all()

    async def _complete(self, request: web.Request, dialect: Dialect = PLAIN) -> web.StreamResponse:
        body = msgspec.json.decode(await request.read())
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert request.transport is not None
        peer = request.transport.get_extra_info("peername")[1]
        self.seen.append(Seen(request.method, request.path, headers, body, peer))
        script = self._scripts.popleft() if self._scripts else named(body["model"])
        await asyncio.sleep(script.delay_s)
        if script.silent:
            await _forever()
        if script.raw is not None:
            return _sent_raw(request, script.raw)
        if script.body_bytes:
            return await _padded(request, script)
        if script == Script() and (refusal := dialect.refusal(body)):
            script = dialect.refused(refusal)
        elif script.status >= 400 and script.body is None:
            script = dialect.failed(script)
        script, body = dialect.spoken(script, body["model"]), dialect.heard(body)
        if script.status == 200 and script.body is None and body.get("stream"):
            return await _streamed(request, script, body, dialect)
        return await _whole(request, script, body, dialect)

    async def _models(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert request.transport is not None
        peer = request.transport.get_extra_info("peername")[1]
        self.seen.append(Seen(request.method, request.path, headers, None, peer))
        if self._scripts:
            return await _whole(request, self._scripts.popleft(), None, PLAIN)
        model = {"id": "sim/echo", "object": "model", "created": 1_760_000_000, "owned_by": "sim"}
        return web.json_response({"object": "list", "data": [model]})

    async def _queue(self, request: web.Request) -> web.Response:
        scripts = msgspec.json.decode(await request.read(), type=Script | list[Script])
        self.play(*(scripts if isinstance(scripts, list) else [scripts]))
        return web.json_response({"queued": len(self._scripts)})

    async def _requests(self, _: web.Request) -> web.Response:
        return web.json_response(msgspec.to_builtins(self.seen))

    async def _forget(self, _: web.Request) -> web.Response:
        self.reset()
        return web.json_response({})

    async def _state(self, _: web.Request) -> web.Response:
        return web.json_response({"open": self._open})


async def _whole(
    request: web.Request, script: Script, body: Any, dialect: Dialect
) -> web.StreamResponse:
    if script.body is None and request.path.endswith("/embeddings"):
        text = msgspec.json.encode(replies.embeddings(body, script))
    elif script.body is None:
        text = msgspec.json.encode(dialect.completion(replies.completion(body, script), script))
    else:
        text = script.body.encode()
    response = web.StreamResponse(
        status=script.status, headers=_headers(script, "application/json")
    )
    response.content_length = len(text)
    await response.prepare(request)
    if script.cut_after_bytes is not None:
        await response.write(text[: script.cut_after_bytes])
        return _hung_up(request, response)
    await _written(response, text, script)
    return response


async def _written(response: web.StreamResponse, data: bytes, script: Script) -> None:
    """Writes at once, or in pieces that each leave alone."""
    size = script.drip_bytes or len(data) or 1
    for start in range(0, len(data), size):
        await response.write(data[start : start + size])
        if script.drip_bytes:
            await asyncio.sleep(0)


async def _streamed(
    request: web.Request, script: Script, body: Any, dialect: Dialect
) -> web.StreamResponse:
    response = web.StreamResponse(headers=_headers(script, "text/event-stream"))
    await response.prepare(request)
    sent_bytes = 0
    for number, chunk in enumerate(dialect.chunks(replies.chunks(body, script), script)):
        match number:
            case script.error_after:
                fault = dialect.error(500, "simulated late failure", None)
                await response.write(_event(fault, script))
                return response
            case script.stall_after:
                await _forever()
            case script.cut_after:
                return _hung_up(request, response)
            case script.end_after:
                return response
        event = _event(chunk, script)
        while script.endless and number:
            await response.write(event)
        if script.cut_after_bytes is not None and sent_bytes + len(event) > script.cut_after_bytes:
            await response.write(event[: script.cut_after_bytes - sent_bytes])
            return _hung_up(request, response)
        await _written(response, event, script)
        sent_bytes += len(event)
        await asyncio.sleep(script.chunk_delay_s)
    if script.done:
        await response.write(f"data: [DONE]{script.line_end * 2}".encode())
    return response


async def _padded(request: web.Request, script: Script) -> web.StreamResponse:
    response = web.StreamResponse(
        status=script.status, headers=_headers(script, "application/json")
    )
    await response.prepare(request)
    for _ in range(-(-script.body_bytes // len(_PADDING))):
        await response.write(_PADDING)
    return response


def _event(chunk: Any, script: Script) -> bytes:
    lines = f": ping{script.line_end * 2}" if script.comments else ""
    lines += f"data: {msgspec.json.encode(chunk).decode()}{script.line_end * 2}"
    return lines.encode()


def _headers(script: Script, content_type: str) -> dict[str, str]:
    return {"Content-Type": script.content_type or content_type, **script.headers}


def _hung_up(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return response


def _sent_raw(request: web.Request, raw: str) -> web.Response:
    assert request.transport is not None
    request.transport.write(raw.encode())
    request.transport.close()
    return web.Response()


async def _forever() -> None:
    await asyncio.Event().wait()
