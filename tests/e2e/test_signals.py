"""How a server ends: draining on the first signal, at once on the second."""

from __future__ import annotations

import http.client
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.client import ask, chat, question, streaming, until
from tests.serving import ECHO, Serving, launched, running, simulated_provider
from tests.simulator import Script, Simulator

ENGINE_OFF = "[engine]\nenabled = false\n"
_WORDS = "one two three four five six seven eight nine ten eleven twelve"
_PACED = Script(text=_WORDS, chunk_delay_s=0.1)


def refuses(serving: Serving, port: int) -> bool:
    """Whether a new connection is refused, or closed without an answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.3) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return connection.recv(1) == b""
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    except TimeoutError:  # taken by the system, and by nobody else
        return False


@pytest.fixture(params=["1", "2"], ids=["alone", "two-workers"])
def serving(request: pytest.FixtureRequest, simulator: Simulator) -> Iterator[Serving]:
    config = ENGINE_OFF + simulated_provider(simulator.base_url, ECHO)
    with running(config=config, flags=["--workers", request.param]) as serving:
        yield serving


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_a_running_stream_finish_and_refuses_new_connections(
    serving: Serving, simulator: Simulator, number: signal.Signals
) -> None:
    simulator.play(_PACED)
    with streaming(serving, question(model=ECHO)) as stream:
        assert stream.next_event()
        port = serving.port
        serving.process.send_signal(number)
        until(lambda: refuses(serving, port), "new connections are refused")
        assert serving.process.poll() is None
        chunks = stream.chunks()

    said = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    assert said == _WORDS
    assert serving.process.wait(10) == 0
    assert "Traceback" not in serving.stderr()


def test_a_second_signal_ends_at_once(serving: Serving, simulator: Simulator) -> None:
    simulator.play(Script(stall_after=3))
    with streaming(serving, question(model=ECHO)) as stream:
        assert stream.next_event()
        port = serving.port
        serving.process.send_signal(signal.SIGTERM)
        until(lambda: refuses(serving, port), "new connections are refused")
        started = time.monotonic()
        serving.process.send_signal(signal.SIGTERM)
        code = serving.process.wait(10)

    assert code == 0
    assert time.monotonic() - started < 5
    assert "Traceback" not in serving.stderr()


def test_draining_ends_after_drain_s_and_says_so(simulator: Simulator) -> None:
    provider = simulated_provider(simulator.base_url, ECHO, "sim/silent")
    config = f"{ENGINE_OFF}[server]\ndrain_s = 0.5\n" + provider
    with running(config=config) as serving, ThreadPoolExecutor() as pool:
        unanswered = pool.submit(chat, serving, question(model="sim/silent"))
        simulator.wait_for_open(1)
        simulator.play(Script(stall_after=3))
        with streaming(serving, question(model=ECHO)) as stream:
            assert stream.next_event()
            started = time.monotonic()
            assert serving.stop() == 0
            took_s = time.monotonic() - started
            with pytest.raises(http.client.IncompleteRead):
                stream.read()
        simulator.wait_for_open(0)
        answer = unanswered.result()

        assert 0.5 <= took_s < 5
        assert (answer.status, answer.error["code"]) == (503, "server_stopping")
        assert int(answer.headers["retry-after"]) > 0
        assert "Traceback" not in serving.stderr()
        with running(config=ENGINE_OFF, home=serving.home) as again:
            receipts = [
                ask(again, "GET", f"/v1/requests/{each.headers['x-request-id']}").json
                for each in (stream, answer)
            ]

    assert [receipt["status"] for receipt in receipts] == [200, 503]
    assert {receipt["error_code"] for receipt in receipts} == {"server_stopping"}


def test_an_idle_connection_does_not_hold_up_the_end(serving: Serving) -> None:
    with socket.create_connection(("127.0.0.1", serving.port), timeout=5) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(1) == b"H"
        started = time.monotonic()
        assert serving.stop() == 0

    assert time.monotonic() - started < 5


def test_the_receipt_of_the_last_stream_is_stored_before_the_end(
    serving: Serving, simulator: Simulator
) -> None:
    simulator.play(_PACED)
    with streaming(serving, question(model=ECHO)) as stream:
        assert stream.next_event()
        serving.process.send_signal(signal.SIGTERM)
        assert stream.chunks()
        request_id = stream.headers["x-request-id"]
    assert serving.process.wait(10) == 0
    with running(config=ENGINE_OFF, home=serving.home) as again:
        receipt = ask(again, "GET", f"/v1/requests/{request_id}").json

    assert (receipt["status"], receipt["provider"]) == (200, "sim")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_starts_ends_it_without_a_traceback(number: signal.Signals) -> None:
    with launched(config="[server]\nlog_level = 'debug'\n") as serving:
        until(lambda: "engine_log" in serving.stderr(), "the engine is being loaded")
        code = serving.stop(number, timeout_s=10)

        assert code in (0, 130)
        assert "Traceback" not in serving.stderr()
