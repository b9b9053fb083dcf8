"""The servers that are measured: the upstream stand-in, the raw engine, the router and its like."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from tests.bench import processes
from tests.bench.load import KEY, Failed, Server
from tests.serving import NANO, running
from trunkline.engine import model as engine_model
from trunkline.engine.child import Parameters, Ready
from trunkline.engine.client import EngineClient
from trunkline.engine.endpoint import Endpoint
from trunkline.errors import TrunklineError
from trunkline.providers.base import Call
from trunkline.providers.local import LocalProvider

UPSTREAM_MODEL = "openai/gpt-oss-120b"
ENVIRONMENT = {"TRUNKLINE_BOOTSTRAP_KEY": KEY}
LITELLM = "LiteLLM's proxy"
_ACCEPTS_WITHIN_S = 5.0
_LITELLM_STARTS_WITHIN_S = 180.0
_SLOTS, _CONTEXT, _CACHE_MB = 8, 4096, 64  # the router's own defaults

_ROUTER = """
[engine]
enabled = {engine}
[providers.upstream]
base_url = "http://127.0.0.1:{port}/v1"
api_key = "sk-upstream"
[providers.upstream.models]
"openai/gpt-oss-120b" = {{}}
"""

_LITELLM = """
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: http://127.0.0.1:{port}/v1
      api_key: sk-upstream
general_settings:
  master_key: {key}
"""

_NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  upstream stand_in {{
    server 127.0.0.1:{upstream};
    keepalive 64;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://stand_in;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


@contextmanager
def upstream(program: Path, *, chunks: int, delay_ms: float) -> Iterator[Server]:
    """Runs the stand-in for a provider; a stream has so many tokens, so far apart."""
    command = [str(program), str(chunks), str(round(delay_ms * 1000))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    with processes.ended(process):
        assert process.stdout is not None
        yield Server("the raw upstream", int(process.stdout.readline()), process.pid)


@contextmanager
def nginx(program: str, upstream: Server, *, folder: Path) -> Iterator[Server]:
    """Runs nginx as a bare reverse proxy, one worker, without a log."""
    port = unused_port()
    folder = folder / f"nginx-{port}"
    folder.mkdir()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, port=port, upstream=upstream.port))
    command = [program, "-p", str(folder), "-e", f"{folder}/nginx.log", "-c", str(config)]
    with processes.ended(subprocess.Popen(command)) as process:
        _wait_until_accepting(port)
        yield Server("nginx", port, process.pid)


@contextmanager
def router(upstream: Server, *, workers: int = 1) -> Iterator[Server]:
    """Runs the router with its defaults in front of the upstream, without the embedded engine."""
    config = _ROUTER.format(engine="false", port=upstream.port)
    flags = ["--workers", str(workers)]
    with running(config=config, flags=flags, environment=ENVIRONMENT) as serving:
        name = "the router" if workers == 1 else f"the router, {workers} workers"
        yield Server(name, serving.port, serving.process.pid)


@contextmanager
def router_with_engine() -> Iterator[Server]:
    """Runs the router with its defaults on the embedded engine."""
    config = _ROUTER.format(engine="true", port=9)
    with running(config=config, environment=ENVIRONMENT) as serving:
        yield Server("the router", serving.port, serving.process.pid)


@contextmanager
def litellm(program: str, upstream: Server, *, folder: Path) -> Iterator[Server]:
    """Runs LiteLLM's proxy in front of the upstream: one worker, a key, no database, no log."""
    port = unused_port()
    config = folder / f"litellm-{port}.yaml"
    config.write_text(_LITELLM.format(model=UPSTREAM_MODEL, port=upstream.port, key=KEY))
    command = [program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks the network for one
        "LITELLM_LOG": "ERROR",
    }
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with processes.ended(process):
        _wait_until_accepting(port, within_s=_LITELLM_STARTS_WITHIN_S)
        yield Server(LITELLM, port, process.pid)


@contextmanager
def raw_engine() -> Iterator[Server]:
    """Runs the engine's child process by itself, with the parameters that the router gives it."""
    model = engine_model.nano()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "trunkline.engine", model.file.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    parameters = Parameters(
        secret=KEY,
        slots=_SLOTS,
        context=_CONTEXT,
        threads=model.card.threads,
        gpu_layers=0,
        cache_mb=_CACHE_MB,
    )
    with process:  # leaving closes its stdin, which ends it
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(parameters) + b"\n")
        process.stdin.flush()
        ready = msgspec.json.decode(process.stdout.readline(), type=Ready)
        yield Server(
            "the raw engine",
            int(ready.address.rpartition(":")[2]),
            process.pid,
            path="/completion",
            # As the router asks: llama.cpp drops requests on connections that it kept.
            headers=(f"Authorization: Bearer {KEY}", "Connection: close"),
        )


def chat_body(model: str, *, stream: bool, **parameters: object) -> bytes:
    """Returns the chat request that every measurement makes."""
    fields: dict[str, object] = {
        "model": model,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "Tell me a fun fact about the Eiffel Tower."},
        ],
        **parameters,
    }
    if stream:
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
    return msgspec.json.encode(fields)


def engine_body(*, tokens: int, stream: bool) -> bytes:
    """Returns a chat request that nano answers with exactly so many tokens: it may not end before."""
    markers = engine_model.nano().file.markers
    ends = {str(markers[name]): -100 for name in ("<|end|>", "<|return|>", "<|call|>")}
    return chat_body(NANO, stream=stream, seed=1, max_tokens=tokens, logit_bias=ends)


def raw_engine_body(chat: bytes) -> bytes:
    """Returns what the router asks of the engine in order to answer the chat request.

    Only the reports of progress are left out, so that a reply's first byte is its first token.
    """
    body = asyncio.run(_asked_of_engine(chat))
    return msgspec.json.encode(body | {"return_progress": False})


async def _asked_of_engine(chat: bytes) -> dict[str, Any]:
    model = engine_model.nano()
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split()[0])
        asked.append(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as listener:
        endpoint = Endpoint(
            address=f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}",
            secret=KEY,
            pid=0,
            model=model.card.name,
            slots=_SLOTS,
            context=_CONTEXT,
            markers=model.file.markers,
        )
        async with EngineClient(lambda: endpoint, slots=_SLOTS, queue=0) as client:
            provider = LocalProvider(client=client, card=model.card)
            fields = msgspec.json.decode(chat, type=dict[str, msgspec.Raw])
            call = Call(model=model.card.name, body=fields, stream=True, request_id="req_bench")
            with suppress(TrunklineError):  # the refusal
                async with provider.open(call):
                    pass
    decoded: dict[str, Any] = msgspec.json.decode(asked[0])
    return decoded


def unused_port() -> int:
    """Returns a loopback port that nobody listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def _wait_until_accepting(port: int, *, within_s: float = _ACCEPTS_WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > deadline:
                raise Failed(f"nothing listens on port {port} within {within_s:g} s") from None
            time.sleep(0.01)
        else:
            return
