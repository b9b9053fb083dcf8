"""Keys and the door: who comes in, with what, and under which Host."""

from __future__ import annotations

import datetime
import json
import stat
import time
import zlib
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.client import Answer, ask, events_of, question, run, until
from tests.e2e.wire import connected, ended
from tests.serving import Serving, running
from trunkline import ids

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ENGINE_OFF = "[engine]\nenabled = false\n"


def models(serving: Serving, key: str | None) -> Answer:
    """Makes a request that needs a key and nothing else."""
    return ask(serving, "GET", "/v1/models", key=key)


def test_a_key_is_tl_and_30_digits_and_the_checksum_of_both(tmp_path: Path) -> None:
    made = json.loads(run("keys", "create", "--json", home=tmp_path).stdout)["key"]
    start, checksum = made[:-6], made[-6:]
    number = zlib.crc32(start.encode())
    digits = "".join(BASE62[number // 62**place % 62] for place in range(5, -1, -1))

    assert (start[:3], len(start), checksum) == ("tl_", 33, digits)
    assert set(start[3:]) <= set(BASE62)


def test_the_first_key_is_private_and_only_its_hash_is_stored() -> None:
    with running(config=ENGINE_OFF) as serving:
        key = serving.key
        made = run("keys", "create", home=serving.home).stdout.strip()
        for each in (key, made):
            assert models(serving, each).status == 200
        shown = run("keys", "show", home=serving.home)
        mode = stat.S_IMODE((serving.home / "key").stat().st_mode)
        stored = b"".join(file.read_bytes() for file in serving.home.glob("trunkline.db*"))
        log = serving.stderr()

    assert shown.stdout == f"{key}\n"
    assert mode == 0o600
    for each in (key, made):
        assert each.encode() not in stored
        assert each not in log


def test_a_bootstrap_key_of_any_shape_takes_the_first_keys_place() -> None:
    secret = "0123456789abcdef"
    with running(config=ENGINE_OFF, environment={"TRUNKLINE_BOOTSTRAP_KEY": secret}) as serving:
        assert serving.key == secret
        assert secret not in serving.stdout()
        assert models(serving, secret).status == 200
        assert len(json.loads(run("keys", "ls", "--json", home=serving.home).stdout)) == 1


def test_a_key_with_a_wrong_checksum_counts_if_it_is_known() -> None:
    shaped = "tl_" + "A" * 36
    with running(config=ENGINE_OFF, environment={"TRUNKLINE_BOOTSTRAP_KEY": shaped}) as serving:
        assert models(serving, shaped).status == 200


def test_keys_belong_to_accounts_that_are_made_at_need(server: Serving) -> None:
    run("keys", "create", "--account", "acme", "--name", "their first", home=server.home)
    listed = json.loads(run("keys", "ls", "--json", "--account", "acme", home=server.home).stdout)

    assert [(key["account"], key["name"]) for key in listed] == [("acme", "their first")]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_revoked_key_is_refused_within_a_second(workers: str) -> None:
    with running(config=ENGINE_OFF, flags=["--workers", workers]) as serving:
        made = json.loads(run("keys", "create", "--json", home=serving.home).stdout)
        assert {models(serving, made["key"]).status for _ in range(8)} == {200}  # all remember it
        assert run("keys", "revoke", made["id"], home=serving.home).returncode == 0
        revoked = time.monotonic()
        until(
            lambda: {models(serving, made["key"]).status for _ in range(8)} == {401},
            "every worker refuses the key",
        )
        took_s = time.monotonic() - revoked

    assert took_s < 1.0


def test_the_four_refusals_are_identical_and_the_log_tells_them_apart() -> None:
    with running(config=ENGINE_OFF) as serving:
        soon = ids.now() + datetime.timedelta(seconds=4)
        expiring = run("keys", "create", "--expires", soon.isoformat(), home=serving.home)
        revoked = json.loads(run("keys", "create", "--json", home=serving.home).stdout)
        run("keys", "revoke", revoked["id"], home=serving.home)
        until(lambda: models(serving, expiring.stdout.strip()).status == 401, "the key expires")
        answers = [
            models(serving, key)
            for key in (None, "tl_" + "x" * 36, revoked["key"], expiring.stdout.strip())
        ]
        logged = [entry["reason"] for entry in events_of(serving, "key_refused")][-4:]

    assert {answer.status for answer in answers} == {401}
    assert len({answer.body for answer in answers}) == 1
    assert all(_told(answer) == _told(answers[0]) for answer in answers)
    assert answers[0].error["code"] == "invalid_api_key"
    assert "Bearer" in answers[0].error["message"]
    assert answers[0].headers["www-authenticate"] == "Bearer"
    assert logged == ["missing", "unknown", "revoked", "expired"]


def _told(answer: Answer) -> dict[str, str]:
    return {
        name: value
        for name, value in answer.headers.items()
        if name not in {"x-request-id", "date"}
    }


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "bearer\tx", "Bearer \xff\xfe", "tl_x"],
)
def test_an_authorization_that_makes_no_sense_is_a_401(server: Serving, header: str) -> None:
    answer = ask(server, "GET", "/v1/models", key=None, headers={"Authorization": header})

    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")


def test_the_scheme_is_read_without_regard_to_case(server: Serving) -> None:
    authorization = {"Authorization": f"bEARER {server.key}"}

    assert ask(server, "GET", "/v1/models", key=None, headers=authorization).status == 200


def test_only_health_and_the_description_are_open(server: Serving) -> None:
    health = ask(server, "GET", "/health", key=None)
    described = ask(server, "GET", "/openapi.json", key=None)
    closed = [
        ask(server, method, path, body, key=None).status
        for method, path, body in (
            ("GET", "/v1/models", None),
            ("GET", "/v1/models/sim/echo", None),
            ("GET", "/v1/requests/req_x", None),
            ("GET", "/metrics", None),
            ("GET", "/nothing", None),
            ("GET", "/health/", None),
            ("GET", "//health", None),
            ("GET", "/%2e/health", None),
            ("POST", "/v1/chat/completions", question()),
            ("POST", "/v1/chat/completions", b"no JSON"),
        )
    ]

    assert health.status == 200
    assert health.json.keys() == {"status", "version", "engine"}
    assert (health.json["status"], health.json["engine"]) == ("ok", "ready")
    assert described.json["openapi"].startswith("3.1")
    assert set(closed) == {401}


def test_health_says_that_the_engine_is_off() -> None:
    with running(config=ENGINE_OFF) as serving:
        assert ask(serving, "GET", "/health", key=None).json["engine"] == "off"


# --------------------------------------------------------------------------------------------- Host


def test_bound_to_loopback_only_loopback_names_are_a_host(server: Serving) -> None:
    port = server.port
    for host in ("127.0.0.1", f"127.0.0.1:{port}", "localhost:1", "LOCALHOST", f"[::1]:{port}"):
        assert ask(server, "GET", "/v1/models", headers={"Host": host}).status == 200, host
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "", "[::2]:80"):
        for path in ("/v1/models", "/health"):
            answer = ask(server, "GET", path, headers={"Host": host})
            assert (answer.status, answer.error["code"]) == (403, "host_not_allowed"), host
            assert "allowed_hosts" in answer.error["message"]


def test_a_request_without_a_host_is_refused(server: Serving) -> None:
    with closing(connected(server)) as connection:
        connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert ended(connection).startswith(b"HTTP/1.1 403 ")


def test_allowed_hosts_are_accepted_beside_the_loopback_names() -> None:
    with running(config=ENGINE_OFF + '[server]\nallowed_hosts = ["Router.example"]\n') as serving:
        for host in ("router.example", "router.example:8443", "localhost"):
            assert ask(serving, "GET", "/health", headers={"Host": host}).status == 200
        assert ask(serving, "GET", "/health", headers={"Host": "example"}).status == 403


def test_a_server_is_reached_by_the_loopback_address_that_it_is_bound_to() -> None:
    with running(config=ENGINE_OFF, flags=["--host", "127.0.0.9"]) as serving:
        assert serving.url.startswith("http://127.0.0.9:")
        done = run("keys", "ls", "--json", home=serving.home)
        assert done.returncode == 0
        answer = ask(serving, "GET", "/health", headers={"Host": f"127.0.0.9:{serving.port}"})
        assert answer.status == 200
