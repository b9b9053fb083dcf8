"""``/{provider}/v1/…``: one provider by its own model ids, and no way around keys, receipts and money."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.client import ask, events_of, question, receipt, streaming
from tests.serving import ECHO, NANO, Serving, running, until
from tests.simulator import Script, Simulator
from tests.simulator.replies import vector
from tests.simulator.script import error

KEY = "sk-mine"
_CONFIG = f"""
[providers.groq]
base_url = "URL/openai/v1"
api_key = "{KEY}"
models = {{}}
[providers.mine]
base_url = "URL/v1"
models."openai/gpt-oss-20b" = {{ id = "sim/small", input = 1.0, output = 2.0 }}
models."BAAI/bge-m3" = {{ id = "sim/embed", input = 0.5 }}
models."sim/other" = {{ input = 9.0, output = 9.0 }}
[providers.other]
base_url = "URL/v1"
models."sim/other" = {{ input = 1.0, output = 1.0 }}
"""


@pytest.fixture(scope="module")
def router(running_simulator: Simulator) -> Iterator[Serving]:
    with running(config=_CONFIG.replace("URL", running_simulator.url)) as serving:
        yield serving


CHAT = "/mine/v1/chat/completions"


def test_a_model_is_asked_for_by_the_providers_own_id(
    router: Serving, simulator: Simulator
) -> None:
    answer = ask(router, "POST", CHAT, question("hello", model="sim/small"))
    kept = receipt(router, answer.headers["x-request-id"])

    assert answer.status == 200, answer.body
    assert "hello" in answer.json["choices"][0]["message"]["content"]
    assert answer.headers["x-trunkline-provider"] == "mine"
    assert answer.headers["x-trunkline-model"] == "openai/gpt-oss-20b"
    assert (kept["model"], kept["provider"], kept["status"]) == ("sim/small", "mine", 200)
    assert kept["decision"]["policy"] == "pinned"
    used = answer.json["usage"]
    nano = used["prompt_tokens"] * 1000 + used["completion_tokens"] * 2000
    assert round(float(kept["cost_usd"]) * 1e9) == nano
    assert kept["cost_usd"] == answer.headers["x-trunkline-cost-usd"]
    assert simulator.seen[0].body["model"] == "sim/small"


def test_an_id_that_is_not_listed_is_asked_for_and_has_no_price(
    router: Serving, simulator: Simulator
) -> None:
    answer = ask(router, "POST", CHAT, question(model="sim/new:thing"))
    kept = receipt(router, answer.headers["x-request-id"])

    assert (answer.status, answer.headers["x-trunkline-model"]) == (200, "sim/new:thing")
    assert "x-trunkline-cost-usd" not in answer.headers
    assert kept["cost_usd"] is None
    assert kept["usage"]["completion_tokens"] > 0
    assert simulator.seen[0].body["model"] == "sim/new:thing"


def test_a_price_cap_leaves_out_what_has_no_price(router: Serving, simulator: Simulator) -> None:
    capped = question(model="sim/new", provider={"max_price": {"prompt": 5}})
    answer = ask(router, "POST", CHAT, capped)

    assert (answer.status, answer.error["code"]) == (400, "no_matching_provider")
    assert simulator.seen == []


def test_nobody_else_is_asked_and_the_providers_word_passes(
    router: Serving, simulator: Simulator
) -> None:
    for script, status in ((error(500), 502), (error(400, message="odd"), 400)):
        simulator.reset()
        simulator.play(script)
        answer = ask(router, "POST", CHAT, question(model="sim/other"))
        assert answer.status == status
        assert len(simulator.seen) == 1


def test_a_stream_passes_whole(router: Serving, simulator: Simulator) -> None:
    with streaming(router, question("hello", model="sim/small"), path=CHAT) as stream:
        *_, last = stream.events()

    assert stream.headers["x-trunkline-provider"] == "mine"
    assert last == "data: [DONE]"
    assert simulator.seen[0].body["stream"] is True


def test_embeddings_pass_too(router: Serving) -> None:
    body = {"model": "sim/embed", "input": "a b"}
    answer = ask(router, "POST", "/mine/v1/embeddings", body)

    assert answer.json["data"][0]["embedding"] == vector("a b", 8)
    assert answer.headers["x-trunkline-cost-usd"] == "0.000001"
    wrong = ask(router, "POST", CHAT, question(model="sim/embed"))
    assert (wrong.status, wrong.error["param"]) == (400, "model")


def test_the_providers_own_list_of_models_passes_as_it_is(
    router: Serving, simulator: Simulator
) -> None:
    answer = ask(router, "GET", "/mine/v1/models")

    assert [model["id"] for model in answer.json["data"]] == ["sim/echo"]
    assert answer.headers["x-trunkline-provider"] == "mine"
    for script, status in (
        (error(401, message="who are you"), 502),
        (Script(body="<h1>", content_type="text/html"), 502),
        (Script(raw="nonsense\r\n\r\n"), 502),
        (error(504), 504),
    ):
        simulator.play(script)
        failed = ask(router, "GET", "/mine/v1/models")
        assert failed.status == status
        assert "provider 'mine'" in failed.error["message"]


def test_the_path_of_the_providers_own_address_is_taken_too(
    router: Serving, simulator: Simulator
) -> None:
    for prefix in ("v1", "openai/v1"):
        answer = ask(router, "GET", f"/groq/{prefix}/models")
        assert answer.status == 502  # the simulator has no such path: it was asked, with the key
    answer = ask(router, "GET", "/groq/v2/models")
    assert (answer.status, answer.error["code"]) == (404, "not_found")
    assert "/groq/v1/" in answer.error["message"]


def test_the_engines_models_are_behind_local(router: Serving) -> None:
    body = question(model=NANO, max_tokens=4)
    answer = ask(router, "POST", "/local/v1/chat/completions", body)
    listed = ask(router, "GET", "/local/v1/models").json["data"]
    unknown = ask(router, "POST", "/local/v1/chat/completions", question(model="sim/small"))

    assert (answer.status, answer.headers["x-trunkline-provider"]) == (200, "local")
    assert [model["id"] for model in listed] == [NANO]
    assert (unknown.status, unknown.error["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("path", ["chat/completions", "embeddings", "models"])
def test_an_unknown_provider_names_those_that_are_active(router: Serving, path: str) -> None:
    method = "GET" if path == "models" else "POST"
    answer = ask(router, method, f"/grok/v1/{path}", {} if method == "POST" else None)

    assert (answer.status, answer.error["code"]) == (404, "not_found")
    assert answer.error["param"] == "provider"
    assert "no provider 'grok'; active are: local, groq, mine, other" in answer.error["message"]


def test_a_known_provider_without_a_key_says_what_is_missing(router: Serving) -> None:
    answer = ask(router, "POST", "/cerebras/v1/chat/completions", question(model="gpt-oss-120b"))

    assert (answer.status, answer.error["code"]) == (400, "provider_not_configured")
    assert "CEREBRAS_API_KEY" in answer.error["message"]


def test_no_other_path_and_nobody_without_a_key_gets_through(
    router: Serving, simulator: Simulator
) -> None:
    for method, path in (
        ("POST", "/mine/v1/audio/speech"),
        ("POST", "/mine/v1/files"),
        ("GET", "/mine/v1/models/sim/echo"),
        ("DELETE", "/mine/v1/models/sim/echo"),
        ("POST", "/v1/v1/chat/completions"),
        ("POST", "/mine/../v1/chat/completions"),
        ("POST", "/mine/v1/../_script/chat/completions"),
    ):
        assert ask(router, method, path, {} if method == "POST" else None).status == 404, path
    assert ask(router, "GET", CHAT).status == 405
    for method, path in (("POST", CHAT), ("GET", "/mine/v1/models"), ("GET", "/nobody/v1/models")):
        refused = ask(router, method, path, question(model=ECHO), key=None)
        assert refused.error["code"] == "invalid_api_key"
    assert simulator.seen == []


def test_callers_cannot_make_the_figures_grow_with_ids_of_their_own(router: Serving) -> None:
    def series() -> set[str]:
        lines = ask(router, "GET", "/metrics").body.decode().splitlines()
        return {line.rpartition(" ")[0] for line in lines}

    def strange(number: int) -> None:
        body = question(model=f"strange-{number}", stream=number % 2 == 0)
        assert ask(router, "POST", CHAT, body).status == 200
        ask(router, "POST", f"/strange-{number}/v1/chat/completions", body)

    for number in range(2):
        strange(number)
    series()
    before = series()
    for number in range(2, 8):
        strange(number)

    assert series() == before
    # The log is written once the answer is out.
    until(lambda: events_of(router, "request")[-1]["path"] == "/metrics")
