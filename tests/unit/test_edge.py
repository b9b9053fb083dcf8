"""The edge: who may come in, under which Host, and what a failure looks like from outside."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.routing import Route, Router
from structlog.testing import capture_logs

from trunkline.accounts import Caller, Gate
from trunkline.api.edge import Edge, accepted_hosts
from trunkline.api.exchange import exchange_of
from trunkline.api.metrics import Metrics
from trunkline.api.receive import ClientGoneError
from trunkline.api.send import send_json
from trunkline.errors import (
    ConfigError,
    EngineOverloaded,
    InvalidAPIKey,
    InvalidRequest,
    RateLimited,
    UpstreamError,
)
from trunkline.store import Limits, Rate

KEY = "tl_good"
CALLER = Caller(key_id="key_1", account_id="acc_1")


class Keyring:
    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def authenticate(self, presented: str | None) -> Caller:
        if presented is None:
            raise InvalidAPIKey(reason="missing")
        if presented != KEY:
            raise InvalidAPIKey(reason="unknown")
        return self._caller


@dataclass
class Seen:
    """What came back, and what was logged."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    raised: BaseException | None = None
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def status(self) -> int:
        status: int = self.messages[0]["status"]
        return status

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.messages[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error

    def logged(self, event: str) -> Any:
        (found,) = [one for one in self.events if one["event"] == event]
        return found


class Hello:
    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        await send_json(send, exchange_of(scope), b"{}")


hello = Hello()


def ask(
    app: Any = hello,
    *,
    path: str = "/v1/models",
    headers: dict[bytes, bytes] | None = None,
    key: str | None = KEY,
    hosts: frozenset[str] | None = None,
    access_log: bool = True,
    kind: str = "http",
    method: str = "GET",
    gate: Gate | None = None,
    caller: Caller = CALLER,
) -> Seen:
    seen = Seen()
    pairs = [*(headers or {}).items()]
    if key is not None:
        pairs.append((b"authorization", f"Bearer {key}".encode()))
    edge = Edge(
        app,
        keyring=Keyring(caller),  # type: ignore[arg-type]  # the one method that the edge uses
        gate=gate or Gate(),
        metrics=seen.metrics,
        hosts=hosts,
        access_log=access_log,
    )

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        seen.messages.append(message)

    scope = {"type": kind, "method": method, "path": path, "headers": pairs}
    with capture_logs() as seen.events:
        try:
            asyncio.run(edge(scope, receive, send))
        except Exception as error:  # noqa: BLE001  # to be looked at
            seen.raised = error
    return seen


def failing(error: BaseException) -> Any:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        raise error

    return app


# -------------------------------------------------------------------------------------- limits of keys


@pytest.mark.parametrize("limits", [Limits(rate=Rate(1, 60)), Limits(concurrency=1)])
def test_what_a_key_may_not_begin_is_refused_with_the_time_to_wait(limits):
    limited = Caller(key_id="key_1", account_id="acc_1", limits=limits)
    gate = Gate()
    with gate.entered(limited):
        seen = ask(hello, method="POST", caller=limited, gate=gate)
        reading = ask(hello, caller=limited, gate=gate)
        other = ask(hello, method="POST", gate=gate)
    assert (seen.status, seen.error["type"]) == (429, "rate_limit_error")
    assert 1 <= int(seen.headers[b"retry-after"]) <= 60
    assert seen.logged("request")["error"] == seen.error["code"]
    assert (reading.status, other.status) == (200, 200)


def test_a_request_counts_until_its_answer_has_ended():
    limited = Caller(key_id="key_1", account_id="acc_1", limits=Limits(concurrency=1))
    gate = Gate()

    async def app(scope, receive, send):
        with pytest.raises(RateLimited), gate.entered(limited):
            pass
        await hello(scope, receive, send)

    for _ in range(2):
        assert ask(app, method="POST", caller=limited, gate=gate).status == 200
    for _ in range(2):
        assert ask(failing(ValueError()), method="POST", caller=limited, gate=gate).status == 500


# ------------------------------------------------------------------------------------------------ Host


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"127.0.0.1", 200),
        (b"127.0.0.1:7070", 200),
        (b"localhost:7070", 200),
        (b"LOCALHOST", 200),
        (b"[::1]", 200),
        (b"[::1]:7070", 200),
        (b"localhost:", 200),
        (b"", 403),
        (None, 403),
        (b"::1", 403),
        (b"evil.example", 403),
        (b"evil.example:7070", 403),
        (b"localhost.evil.example", 403),
        (b"evil.example:80@localhost", 403),
        (b"[::1", 403),
        (b"127.0.0.2", 403),
        (b"\xff\xfe", 403),
        (b"x" * 10_000, 403),
    ],
)
def test_bound_to_loopback_only_loopback_names_are_served(host, status):
    headers = {} if host is None else {b"host": host}
    seen = ask(headers=headers, hosts=accepted_hosts("127.0.0.1", []))
    assert seen.status == status
    if status == 403:
        assert seen.error["code"] == "host_not_allowed"
        assert "allowed_hosts" in seen.error["message"]
        assert len(seen.error["message"]) < 250


@pytest.mark.parametrize(
    ("bound", "allowed", "served", "refused"),
    [
        ("127.0.0.1", ["Box.local"], ["box.local", "localhost"], ["other"]),
        ("127.0.0.5", [], ["127.0.0.5", "localhost"], ["127.0.0.6"]),
        ("localhost", [], ["[::1]"], ["::1"]),
        ("::1", [], ["[::1]", "127.0.0.1"], ["other"]),
        ("0.0.0.0", ["box.local"], ["box.local", "127.0.0.1"], ["other"]),
    ],
)
def test_names_can_be_allowed(bound, allowed, served, refused):
    hosts = accepted_hosts(bound, allowed)
    assert hosts is not None
    assert hosts.issuperset(served)
    assert hosts.isdisjoint(refused)


def test_bound_to_the_network_any_name_is_served_unless_some_are_named():
    assert accepted_hosts("0.0.0.0", []) is None
    assert ask(headers={b"host": b"anything"}, hosts=None).status == 200


def test_the_host_is_checked_before_the_key():
    assert ask(key=None, hosts=accepted_hosts("127.0.0.1", [])).status == 403


# ------------------------------------------------------------------------------------------------ keys


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/chat/completions", "/metrics", "/", "/nothing"]
)
def test_every_path_but_two_needs_a_key(path):
    seen = ask(path=path, key=None)
    assert (seen.status, seen.error["code"]) == (401, "invalid_api_key")
    assert seen.headers[b"www-authenticate"] == b"Bearer"
    assert ask(path=path).status == 200


@pytest.mark.parametrize("path", ["/health", "/openapi.json"])
def test_two_paths_are_open(path):
    assert ask(path=path, key=None).status == 200
    assert ask(path=f"{path}/", key=None).status == 401


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (b"Bearer tl_good", 200),
        (b"bearer   tl_good  ", 200),
        (b"Basic tl_good", 401),
        (b"tl_good", 401),
        (b"Bearer", 401),
        (b"Bearer ", 401),
        (b"Bearer tl_good tl_good", 401),
        (b"Bearer \xff", 401),
    ],
)
def test_a_key_is_a_bearer_token(authorization, status):
    assert ask(key=None, headers={b"authorization": authorization}).status == status


def test_the_log_tells_what_was_wrong_with_a_key_and_never_the_key():
    seen = ask(key="tl_secret")
    assert seen.logged("key_refused")["reason"] == "unknown"
    assert "tl_secret" not in str(seen.events)
    assert seen.body == ask(key=None).body


# ---------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidRequest("bad", param="x"), 400, "invalid_value"),
        (EngineOverloaded(retry_after_s=0.2), 429, "engine_overloaded"),
        (UpstreamError("hidden", retryable=True, public="shown"), 502, "upstream_failed"),
        (ConfigError("shown"), 500, "internal_error"),
        (HTTPException(404), 404, "not_found"),
        (HTTPException(405, headers={"Allow": "POST"}), 405, "method_not_allowed"),
        (HTTPException(418, detail="teapot"), 418, "internal_error"),
    ],
)
def test_a_failure_becomes_an_envelope(error, status, code):
    seen = ask(failing(error))
    assert (seen.status, seen.error["code"]) == (status, code)
    assert seen.error.keys() == {"message", "type", "param", "code"}
    assert "hidden" not in seen.body.decode()
    assert seen.headers[b"x-request-id"].startswith(b"req_")
    assert int(seen.headers[b"content-length"]) == len(seen.body)


def test_a_refusal_for_now_says_when_to_come_back():
    assert ask(failing(EngineOverloaded(retry_after_s=0.2))).headers[b"retry-after"] == b"1"


@pytest.mark.parametrize(
    "error", [RuntimeError("password=hunter2"), KeyError("x"), RecursionError()]
)
def test_what_nobody_expected_stays_in_the_log(error):
    seen = ask(failing(error))
    assert (seen.status, seen.error["code"]) == (500, "internal_error")
    assert "hunter2" not in seen.body.decode()
    event = seen.logged("request_failed")
    assert event["exc_info"] is error
    assert event["request_id"].encode() == seen.headers[b"x-request-id"]


def test_an_answer_that_has_begun_is_broken_off():
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        exchange = exchange_of(_scope)
        exchange.status = 200
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("too late")

    seen = ask(app)
    assert [message["type"] for message in seen.messages] == ["http.response.start"]
    assert isinstance(seen.raised, RuntimeError)
    assert (seen.logged("request")["status"], seen.logged("request")["error"]) == (
        200,
        "internal_error",
    )


def test_a_client_that_is_gone_gets_nothing_and_is_no_failure():
    seen = ask(failing(ClientGoneError()))
    assert (seen.messages, seen.raised) == ([], None)
    event = seen.logged("request")
    assert (event["status"], event["error"]) == (499, "client_gone")


# --------------------------------------------------------------------------------- what the edge notes


def test_the_access_log_names_the_request_and_not_the_prompt():
    seen = ask(path="/v1/models", headers={b"x": b"secret"})
    event = seen.logged("request")
    assert (event["method"], event["path"], event["status"]) == ("GET", "/v1/models", 200)
    assert (event["key"], event["account"]) == ("key_1", "acc_1")
    assert event["duration_ms"] >= 0
    assert "secret" not in str(event)


def test_the_access_log_can_be_switched_off():
    assert ask(access_log=False).events == []


def test_a_request_is_counted_under_its_route():
    router = Router([Route("/v1/models/{id:path}", hello)])
    seen = ask(router, path="/v1/models/a/b")
    page = seen.metrics.render().decode()
    assert 'path="/v1/models/{id:path}",status="200"} 1.0' in page
    other = ask(router, path="/wp-login.php").metrics.render().decode()
    assert 'path="other",status="404"} 1.0' in other
    assert "wp-login" not in other


def test_what_is_not_http_passes_by():
    kinds: list[str] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        kinds.append(scope["type"])

    ask(app, kind="lifespan", key=None)
    assert kinds == ["lifespan"]
