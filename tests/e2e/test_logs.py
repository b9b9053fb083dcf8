"""What is written down: one JSON object a line, and never a prompt, an answer or a key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import ask, chat, events_of, question, receipt, run, streaming, until
from tests.serving import ECHO, NANO, Serving, running, simulated_provider
from tests.simulator import Script, Simulator
from tests.simulator.script import error

PROMPT = "canary-prompt-7c1e"
ANSWER = "canary-answer-93ab"
UPSTREAM_KEY = "sk-simulated"  # what tests.serving.simulated_provider configures


@pytest.fixture(scope="module", params=["info", "debug"])
def router(request: pytest.FixtureRequest, running_simulator: Simulator) -> Iterator[Serving]:
    config = (
        f'[server]\nlog_level = "{request.param}"\nmax_body_bytes = 200000\n'
        "[routing]\nfirst_chunk_timeout_s = 0.3\ntotal_timeout_s = 0.5\n"
        + simulated_provider(running_simulator.base_url, ECHO)
    )
    with running(config=config) as serving:
        yield serving


def written(serving: Serving) -> bytes:
    """Returns everything that the server has written down: log, database, figures."""
    stored = b"".join(file.read_bytes() for file in serving.home.glob("trunkline.db*"))
    figures = ask(serving, "GET", "/metrics").body
    return serving.stderr().encode() + stored + figures


def test_no_prompt_no_answer_and_no_key_is_written_down_on_any_path(
    router: Serving, simulator: Simulator
) -> None:
    made = run("keys", "create", home=router.home).stdout.strip()
    wrong = "tl_canary" + "x" * 30
    function = {"name": "f", "description": PROMPT, "parameters": {"type": "object"}}
    tool = {"type": "function", "function": function}
    schema = {"type": "object", "properties": {PROMPT: {"type": "string"}}, "required": [PROMPT]}
    wanted = {"type": "json_schema", "json_schema": {"name": "f", "schema": schema}}
    broken = {"type": "json_schema", "json_schema": {"name": "f", "schema": {"type": PROMPT}}}
    for body in (
        question(PROMPT),
        question(PROMPT, model=ECHO),
        question(PROMPT, tools=[tool], tool_choice="required"),
        question(PROMPT, response_format=wanted, max_tokens=20),
        question(PROMPT, response_format=broken),
        question(PROMPT, guided_regex=f"({PROMPT}"),
        question(PROMPT, stop=[PROMPT], user=PROMPT, metadata={"a": PROMPT}),
        question(PROMPT, reasoning_effort=PROMPT),
        question(PROMPT, temperature=PROMPT),
        question(PROMPT, messages=[{"role": PROMPT, "content": PROMPT}]),
        question(PROMPT, messages=[{"role": "tool", "content": PROMPT, "tool_call_id": PROMPT}]),
        question(f"{PROMPT} " * 5000),
        question(f"{PROMPT} " * 20_000),
        question(PROMPT, **{PROMPT: 1}),
        question(PROMPT, provider={"only": [PROMPT]}, model=ECHO),
        question(PROMPT, provider={"order": [PROMPT]}, prompt_cache_key=PROMPT, model=ECHO),
        f'{{"model": "{NANO}", "messages": "{PROMPT}'.encode(),
        f'{{"messages": [{{"role": "user", "content": "{PROMPT}\\ud800"}}]}}'.encode(),
    ):
        chat(router, body)
        if isinstance(body, dict):
            with streaming(router, body) as stream:
                stream.read()
    quoted = f"cannot read '{PROMPT}' with key {UPSTREAM_KEY}"
    for script in (
        *(error(status, message=quoted) for status in (400, 401, 403, 422, 429, 500)),
        Script(text=ANSWER, reasoning=ANSWER),
        Script(body=f'{{"error": "{quoted}"}}'),
        Script(body=quoted, content_type="text/html"),
        Script(text=f"{ANSWER} " * 9, cut_after=5),
        Script(text=ANSWER, error_after=3),
        Script(raw=f"{quoted}\r\n\r\n"),
        Script(status=302, headers={"Location": f"/{PROMPT}"}, body=PROMPT),
        Script(silent=True),
    ):
        for streamed in (False, True):
            simulator.play(script)
            # Pinned, so that it is asked however often it has failed.
            chat(router, question(PROMPT, model=f"{ECHO}:sim", stream=streamed))
    for key in (made, wrong):
        ask(router, "GET", "/v1/models", key=key)
        ask(router, "GET", f"/v1/models?key={key}", key=None)
    last = chat(router, question(PROMPT, model=ECHO)).headers["x-request-id"]
    assert receipt(router, last)  # and with it those before

    found = written(router)
    for canary in (PROMPT, ANSWER, UPSTREAM_KEY, made, wrong, router.key):
        where = found.find(canary.encode())
        assert where < 0, found[max(0, where - 400) : where + 100]
    assert b"Traceback" not in found


def test_the_access_log_is_one_json_object_for_each_request(server: Serving) -> None:
    answers = [
        chat(server, question(max_tokens=4)),
        chat(server, question(model=ECHO, stream=True)),
        ask(server, "GET", "/v1/models?api_key=secret"),
        ask(server, "GET", "/nothing", key=None),
        chat(server, b"{"),
    ]
    ids = [answer.headers["x-request-id"] for answer in answers]
    until(lambda: ids[-1] in server.stderr(), "the last request is logged")
    logged = {entry["request_id"]: entry for entry in events_of(server, "request")}
    whole, stream, listing, stranger, broken = (logged[each] for each in ids)

    assert (whole["method"], whole["path"]) == ("POST", "/v1/chat/completions")
    assert (whole["status"], whole["provider"], whole["model"]) == (200, "local", NANO)
    assert whole["key"].startswith("key_")
    assert whole["account"].startswith("acct_")
    assert whole["duration_ms"] > 0
    assert (stream["stream"], stream["provider"]) == (True, "sim")
    assert 0 < stream["first_chunk_ms"] <= stream["duration_ms"]
    assert listing["path"] == "/v1/models"
    assert (stranger["status"], stranger["error"]) == (401, "invalid_api_key")
    assert (broken["status"], broken["error"]) == (400, "invalid_json")


def test_the_access_log_can_be_switched_off(tmp_path: Path) -> None:
    config = "[engine]\nenabled = false\n[server]\naccess_log = false\n"
    with running(config=config) as serving:
        ask(serving, "GET", "/v1/models")
        ask(serving, "GET", "/v1/models", key=None)
        until(lambda: events_of(serving, "key_refused"), "the refusal is logged")
        assert events_of(serving, "request") == []


def test_every_line_of_the_log_is_json_also_what_libraries_say(router: Serving) -> None:
    ask(router, "GET", "/health")

    assert [json.loads(line) for line in router.stderr().splitlines()]


def test_callers_cannot_make_the_figures_grow(server: Serving) -> None:
    def series() -> int:
        return len(ask(server, "GET", "/metrics").body.splitlines())

    def strange(number: int) -> None:
        ask(server, "GET", f"/v1/strange-{number}")
        ask(server, f"STRANGE{number}", "/v1/models")
        ask(server, "GET", f"/v1/models/strange-{number}")
        ask(server, "GET", f"/v1/requests/strange-{number}")
        chat(server, question(model=f"strange-{number}"))

    strange(0)
    series()  # counts itself, from the second time on
    before = series()
    for number in range(1, 6):
        strange(number)

    assert series() == before
