"""Clients that hang up, dawdle or do not read: they free what they held and hold nobody up."""

from __future__ import annotations

import json
import resource
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import (
    ask,
    chat,
    events_of,
    long_question,
    question,
    receipt,
    streaming,
    until,
)
from tests.e2e.wire import connected, ended, received, request
from tests.serving import ECHO, Serving, running, simulated_provider
from tests.simulator import Script, Simulator


@pytest.fixture(scope="module")
def router(running_simulator: Simulator) -> Iterator[Serving]:
    """A server with one slot of the engine and half a second for a body."""
    config = (
        "[server]\nbody_timeout_s = 0.5\n[engine]\nslots = 1\nqueue = 1\n"
        + simulated_provider(running_simulator.base_url, ECHO, "sim/silent")
    )
    with running(config=config) as serving:
        yield serving
        assert "Traceback" not in serving.stderr()


def figure(serving: Serving, name: str) -> float:
    page = ask(serving, "GET", "/metrics").body.decode()
    (value,) = [line.split()[-1] for line in page.splitlines() if line.startswith(f"{name} ")]
    return float(value)


def hung_up(serving: Serving, request_id: str) -> dict[str, Any]:
    """Waits for the receipt of a request whose client hung up."""
    told = receipt(serving, request_id, timeout_s=5.0)
    assert told["error_code"] == "client_gone"
    return told


def test_hanging_up_on_a_stream_frees_the_engines_slot(router: Serving) -> None:
    with streaming(router, long_question()) as stream:
        assert stream.next_event()
        assert figure(router, "trunkline_engine_slots_busy") == 1
    until(lambda: figure(router, "trunkline_engine_slots_busy") == 0, "the slot is free")

    assert hung_up(router, stream.headers["x-request-id"])["provider"] == "local"
    assert chat(router, question(max_tokens=4)).status == 200


def test_hanging_up_before_the_answer_frees_the_engines_slot_and_the_queue(
    router: Serving,
) -> None:
    with closing(connected(router)) as first, closing(connected(router)) as second:
        first.sendall(request(router, long_question()))
        until(lambda: figure(router, "trunkline_engine_slots_busy") == 1, "the first one runs")
        second.sendall(request(router, long_question()))
        until(lambda: figure(router, "trunkline_engine_queue") == 1, "the second one waits")
    until(lambda: figure(router, "trunkline_engine_slots_busy") == 0, "the slot is free")

    assert figure(router, "trunkline_engine_queue") == 0
    assert chat(router, question(max_tokens=4)).status == 200


@pytest.mark.parametrize("stream", [False, True])
def test_hanging_up_closes_the_upstream_connection(
    router: Serving, simulator: Simulator, stream: bool
) -> None:
    body = question(model="sim/silent", stream=stream)
    with closing(connected(router)) as connection:
        connection.sendall(request(router, body))
        simulator.wait_for_open(1)
    simulator.wait_for_open(0)


def test_hanging_up_mid_stream_closes_the_upstream_connection(
    router: Serving, simulator: Simulator
) -> None:
    simulator.play(Script(stall_after=3))
    with streaming(router, question(model=ECHO)) as stream:
        assert stream.next_event()
        simulator.wait_for_open(1)
    simulator.wait_for_open(0)

    assert hung_up(router, stream.headers["x-request-id"])["provider"] == "sim"


def test_hanging_up_is_no_error_in_the_log(router: Serving, simulator: Simulator) -> None:
    simulator.play(Script(stall_after=3))
    with streaming(router, question(model=ECHO)) as stream:
        assert stream.next_event()
        request_id = stream.headers["x-request-id"]
    until(lambda: request_id in router.stderr(), "the request is logged")
    (logged,) = [e for e in events_of(router, "request") if e["request_id"] == request_id]

    assert (logged["level"], logged["error"]) == ("info", "client_gone")


# ------------------------------------------------------------------------------------------- slowly


@pytest.mark.parametrize("sent", [b"", b"{"])
def test_a_body_that_does_not_come_in_time_is_a_408(router: Serving, sent: bytes) -> None:
    whole = request(router, question())
    head, _, _ = whole.partition(b"\r\n\r\n")
    with closing(connected(router)) as connection:
        connection.sendall(head + b"\r\n\r\n" + sent)
        answer = ended(connection)

    status, _, rest = answer.partition(b"\r\n")
    assert status.split()[1] == b"408"
    assert b"x-request-id: req_" in rest.lower()
    error = json.loads(rest.partition(b"\r\n\r\n")[2])["error"]
    assert (error["code"], error["type"]) == ("request_timeout", "invalid_request_error")


def test_a_head_that_does_not_come_in_time_ends_the_connection(router: Serving) -> None:
    with closing(connected(router)) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n")
        connection.settimeout(10)
        assert ended(connection) == b""


def test_hanging_up_within_the_body_is_survived(router: Serving) -> None:
    with closing(connected(router)) as connection:
        connection.sendall(request(router, question())[:-10])
    with closing(connected(router)) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost")

    assert ask(router, "GET", "/health", key=None).status == 200


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # someone speaks TLS
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /%ff%00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ],
    ids=["tls", "version", "length", "negative-length", "long-path", "bytes", "escapes"],
)
def test_what_is_not_http_is_answered_with_4xx_or_cut_off(router: Serving, garbage: bytes) -> None:
    with closing(connected(router)) as connection:
        connection.sendall(garbage)
        try:
            answer = connection.recv(65_536)
        except ConnectionResetError:
            answer = b""

    assert not answer or answer.split()[1][:1] == b"4", answer
    assert ask(router, "GET", "/health", key=None).status == 200


# ------------------------------------------------------------------------------------ does not read


def resident_bytes(serving: Serving) -> int:
    pages = int(Path(f"/proc/{serving.process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="looks into /proc")
def test_a_client_that_does_not_read_stops_the_upstream_and_not_the_memory(
    router: Serving, simulator: Simulator
) -> None:
    chat(router, question(model=ECHO))
    before = resident_bytes(router)
    word = "x" * 10_000
    simulator.play(Script(text=f"{word} " * 20_000))  # 200 MB
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", router.port))
        connection.sendall(request(router, question(model=ECHO, stream=True)))
        received(connection, word.encode())
        settled = [resident_bytes(router)]
        for _ in range(20):
            assert chat(router, question(max_tokens=4)).status == 200  # others are served
            settled.append(resident_bytes(router))
        simulator.wait_for_open(1)

    assert max(settled) - before < 30_000_000
    simulator.wait_for_open(0)
