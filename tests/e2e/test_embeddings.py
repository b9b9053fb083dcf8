"""``POST /v1/embeddings``: routed, metered and recorded like chat completions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.client import Answer, ask, chat, question, receipt
from tests.serving import ECHO, EMBED, NANO, Serving, running
from tests.simulator import Script, Simulator
from tests.simulator.replies import vector
from tests.simulator.script import error

_CONFIG = """
[engine]
enabled = false
[providers.dear]
base_url = "URL"
models."BAAI/bge-m3" = { id = "dear/bge", input = 3.0 }
[providers.cheap]
base_url = "URL"
models."BAAI/bge-m3" = { id = "cheap/bge", input = 0.000001, dimensions = 8 }
models."sim/echo" = {}
"""
BGE = "BAAI/bge-m3"


@pytest.fixture(scope="module")
def router(running_simulator: Simulator) -> Iterator[Serving]:
    """A server with a dear and a cheap provider of a known embedding model."""
    with running(config=_CONFIG.replace("URL", running_simulator.base_url)) as serving:
        yield serving


def embed(serving: Serving, texts: Any = "a b c", model: str = BGE, **more: Any) -> Answer:
    return ask(serving, "POST", "/v1/embeddings", {"model": model, "input": texts, **more})


def test_the_cheapest_embeds_for_an_exact_price_and_leaves_a_receipt(
    router: Serving, simulator: Simulator
) -> None:
    answer = embed(router, ["a b c", "d"], f"{BGE}:cheapest", dimensions=4)
    kept = receipt(router, answer.headers["x-request-id"])

    assert answer.status == 200, answer.body
    assert [one["embedding"] for one in answer.json["data"]] == [vector("a b c", 4), vector("d", 4)]
    assert answer.headers["x-trunkline-provider"] == "cheap"
    assert answer.headers["x-trunkline-model"] == BGE
    assert answer.headers["x-trunkline-attempts"] == "1"
    assert answer.headers["x-trunkline-cost-usd"] == "0.000000001"  # 4 × 10⁻¹², rounded up
    assert (kept["api"], kept["provider"], kept["status"]) == ("embeddings", "cheap", 200)
    assert (kept["usage"]["prompt_tokens"], kept["usage"]["completion_tokens"]) == (4, 0)
    assert kept["cost_usd"] == "0.000000001"
    assert kept["decision"]["plan"] == ["cheap", "dear"]
    (seen,) = simulator.seen
    assert (seen.path, seen.body["model"]) == ("/v1/embeddings", "cheap/bge")
    assert seen.body["dimensions"] == 4


def test_a_failing_provider_is_followed_by_the_next(router: Serving, simulator: Simulator) -> None:
    simulator.play(error(500))
    answer = embed(router, model=f"{BGE}:cheapest")

    assert (answer.status, answer.headers["x-trunkline-provider"]) == (200, "dear")
    assert answer.headers["x-trunkline-attempts"] == "2"
    kept = receipt(router, answer.headers["x-request-id"])
    assert [one["outcome"] for one in kept["attempts"]] == ["failed with status 500", "committed"]


def test_all_failures_are_listed(router: Serving, simulator: Simulator) -> None:
    simulator.play(error(500), Script(body="<h1>", content_type="text/html"))
    answer = embed(router, model=f"{BGE}:cheapest")

    assert (answer.status, answer.error["code"]) == (502, "upstream_failed")
    assert "cheap failed with status 500" in answer.error["message"]
    assert (
        "dear answered with something that is not a list of embeddings" in answer.error["message"]
    )


def test_a_callers_mistake_is_told_by_the_provider_and_tried_once(
    router: Serving, simulator: Simulator
) -> None:
    simulator.play(error(400, message="input is odd"))
    answer = embed(router, model=f"{BGE}:cheapest")

    assert (answer.status, answer.error["message"]) == (400, "input is odd")
    assert len(simulator.seen) == 1


def test_who_makes_no_vectors_of_that_length_is_left_out(router: Serving) -> None:
    answer = embed(router, model=f"{BGE}:cheapest", dimensions=16)
    kept = receipt(router, answer.headers["x-request-id"])

    assert answer.headers["x-trunkline-provider"] == "dear"
    removed = {one["provider"]: one.get("removed") for one in kept["decision"]["candidates"]}
    assert removed == {"dear": None, "cheap": "has vectors of 8 dimensions at most"}


def test_dimensions_that_nobody_heeds_are_an_error(router: Serving, simulator: Simulator) -> None:
    simulator.play(*[Script(takes_dimensions=False)] * 2)
    answer = embed(router, dimensions=4)

    assert (answer.status, answer.error["code"]) == (400, "unsupported_parameter")
    assert answer.error["param"] == "dimensions"


@pytest.mark.parametrize("takes_encoding", [True, False])
def test_base64_comes_whatever_the_provider_does(
    router: Serving, simulator: Simulator, takes_encoding: bool
) -> None:
    simulator.play(Script(takes_encoding=takes_encoding))
    encoded = embed(router, encoding_format="base64")

    assert encoded.status == 200
    assert isinstance(encoded.json["data"][0]["embedding"], str)


def test_models_of_the_other_kind_say_where_to_go(server: Serving) -> None:
    for model in (NANO, ECHO, f"{ECHO}:sim"):
        answer = embed(server, model=model)
        assert (answer.status, answer.error["code"]) == (400, "invalid_value")
        assert answer.error["param"] == "model"
        assert "answers conversations" in answer.error["message"]
        assert "POST /v1/chat/completions" in answer.error["message"]
    answer = chat(server, question(model=EMBED))
    assert (answer.status, answer.error["code"]) == (400, "invalid_value")
    assert "makes embeddings; send the request to POST /v1/embeddings" in answer.error["message"]


def test_errors_are_in_the_envelope(server: Serving) -> None:
    assert embed(server, model="sim/nothing").error["code"] == "model_not_found"
    assert embed(server, texts=[]).error["param"] == "input"
    assert ask(server, "GET", "/v1/embeddings").error["code"] == "method_not_allowed"
    refused = ask(server, "POST", "/v1/embeddings", {"model": EMBED, "input": "a"}, key=None)
    assert refused.error["code"] == "invalid_api_key"
    lenient = {"x-trunkline-params": "lenient"}
    body = {"model": EMBED, "input": "a", "odd": 1}
    answer = ask(server, "POST", "/v1/embeddings", body, headers=lenient)
    assert (answer.status, answer.headers["x-trunkline-ignored"]) == (200, "odd")


def test_an_embedding_model_is_listed_as_one(server: Serving) -> None:
    model = ask(server, "GET", f"/v1/models/{EMBED}").json

    assert model["architecture"]["output_modalities"] == ["embeddings"]
    assert model["dimensions"] == 8
    assert model["providers"][0]["pricing"] == {"input": 0.5, "output": 0.0}
