"""Canary keys and prompts: whatever an upstream does with them, they come out nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.client import Answer, ask, question, receipt, run, streaming
from tests.serving import Serving, running
from tests.simulator import Script, Simulator
from tests.simulator.script import error

FIRST, SECOND = "sk-canary-4b1d92c7e8", "opaque.canary.8d7f6a55"
"""The providers' keys: one that looks like a key, and one that does not."""
GATEWAY = "gateway.canary.51c0"
"""What opens the gateway before a provider: a header of the configuration."""
PROMPT = "canary-prompt-a71f"
_CONFIG = f"""
[server]
log_level = "debug"
[engine]
enabled = false
[routing]
first_chunk_timeout_s = 0.5
total_timeout_s = 1.0
[providers.first]
base_url = "URL"
api_key = "{FIRST}"
headers = {{ "X-Gateway" = "Basic {GATEWAY}" }}
models."sim/echo" = {{ input = 1.0, output = 2.0 }}
models."sim/embed" = {{ kind = "embedding", input = 1.0 }}
models."openai/gpt-oss-20b" = {{ input = 1.0, output = 2.0 }}
[providers.second]
base_url = "URL"
api_key = "{SECOND}"
models."sim/echo" = {{}}
models."sim/embed" = {{ kind = "embedding" }}
models."openai/gpt-oss-20b" = {{}}
"""


@pytest.fixture(scope="module")
def router(running_simulator: Simulator) -> Iterator[Serving]:
    with running(config=_CONFIG.replace("URL", running_simulator.base_url)) as serving:
        yield serving


def echoes(key: str) -> list[Script]:
    """Returns the ways in which an upstream gives back what it was sent, in a failure."""
    said = f"cannot take {PROMPT} with Bearer {key} or key={key}"
    fault = {"message": said, "type": key, "param": f"{key} {PROMPT}", "code": key}
    headers = {
        "X-Echo": key,
        "Retry-After": key,
        "WWW-Authenticate": f"Bearer {key}",
        "X-Request-Id": key,
    }
    statuses = (300, 400, 401, 403, 404, 413, 422, 429, 500, 503)
    in_envelope = [
        Script(status=status, headers=headers, body=json.dumps({"error": fault}))
        for status in statuses
    ]
    other_shapes = [
        Script(status=status, headers=headers, body=body, content_type=content_type)
        for status in (200, 400, 502)
        for body, content_type in (
            (json.dumps({"error": said}), "application/json"),
            (json.dumps({"detail": [{"loc": ["body", key], "msg": said}]}), "application/json"),
            (json.dumps([{"error": {"message": said, "code": 400}}]), "application/json"),
            (json.dumps({"message": said, "code": key}), "application/json"),
            (f"<h1>{said}</h1>", "text/html"),
            (said, "text/plain"),
            (f"data: {json.dumps({'error': fault})}\n\n", "text/event-stream"),
            (f"data: {said}\n\n", "text/event-stream"),
        )
    ]
    generation = {"code": "tool_use_failed", "message": said, "failed_generation": said}
    return [
        *in_envelope,
        *other_shapes,
        Script(status=400, body=json.dumps({"error": generation})),
        Script(status=302, headers={"Location": f"/{key}?key={key}"}, body=said),
        Script(raw=f"{said}\r\n\r\n"),
        Script(raw=f"HTTP/1.1 200 OK\r\n{said}\r\n\r\n"),
        Script(raw=f"HTTP/1.1 200 {said}\r\nContent-Length: 9\r\n\r\n"),
        Script(silent=True),
        error(529, message=said),
    ]


def told(answer: Answer) -> bytes:
    return json.dumps([answer.status, answer.headers]).encode() + answer.body


def requests() -> list[tuple[str, str, dict[str, Any]]]:
    """Returns requests, each with its path and the key of the provider that it goes to."""
    texts = {"model": "sim/embed:first", "input": [PROMPT]}
    return [
        (FIRST, "/v1/chat/completions", question(PROMPT, model="sim/echo:first")),
        (GATEWAY, "/v1/chat/completions", question(PROMPT, model="sim/echo:first")),
        (SECOND, "/v1/chat/completions", question(PROMPT, model="openai/gpt-oss-20b:second")),
        (FIRST, "/first/v1/chat/completions", question(PROMPT, model="sim/own")),
        (SECOND, "/second/v1/embeddings", {"model": "sim/embed", "input": PROMPT}),
        (FIRST, "/v1/embeddings", texts),
    ]


def test_no_key_comes_out_on_any_path_and_no_prompt_is_written_down(
    router: Serving, simulator: Simulator
) -> None:
    heard: list[bytes] = []
    asked: list[str] = []
    for key, path, body in requests():
        answer = ask(router, "POST", path, body)
        assert answer.status == 200, answer.body
        asked.append(answer.headers["x-request-id"])
        for script in echoes(key):
            simulator.play(script)
            answer = ask(router, "POST", path, body)
            heard.append(told(answer))
            asked.append(answer.headers["x-request-id"])
            if "messages" in body:
                simulator.play(script)
                with streaming(router, body, path=path) as stream:
                    heard.append(json.dumps(stream.headers).encode() + stream.read())
    for script in (*echoes(FIRST), *echoes(GATEWAY)):
        simulator.play(script)
        heard.append(told(ask(router, "GET", "/first/v1/models")))
    simulator.reset()
    kept = [receipt(router, each, timeout_s=10.0) for each in asked]
    explained = run("explain", asked[-1], home=router.home)
    heard += [ask(router, "GET", path).body for path in ("/v1/models", "/metrics", "/openapi.json")]
    heard += [json.dumps(kept).encode(), (explained.stdout + explained.stderr).encode()]
    written = [file.read_bytes() for file in router.home.glob("trunkline.db*")]
    written += [router.stderr().encode(), router.stdout().encode()]

    for key in (FIRST, SECOND, GATEWAY):
        for text in (*heard, *written):
            where = text.find(key.encode())
            assert where < 0, text[max(0, where - 400) : where + 100]
    for text in (*written, json.dumps(kept).encode(), ask(router, "GET", "/metrics").body):
        where = text.find(PROMPT.encode())
        assert where < 0, text[max(0, where - 400) : where + 100]
    assert "Traceback" not in router.stderr()


def test_a_key_goes_to_its_own_provider_alone(router: Serving, simulator: Simulator) -> None:
    own = [(key, path, body) for key, path, body in requests() if key != GATEWAY]
    for _, path, body in own:
        ask(router, "POST", path, body)
    ask(router, "GET", "/second/v1/models")

    keys = [seen.headers["authorization"].removeprefix("Bearer ") for seen in simulator.seen]
    assert keys == [*(key for key, _, _ in own), SECOND]
    gateways = [seen.headers.get("x-gateway") for seen in simulator.seen]
    assert gateways == [f"Basic {GATEWAY}" if key == FIRST else None for key in keys]
    assert router.key not in json.dumps([seen.headers for seen in simulator.seen])
