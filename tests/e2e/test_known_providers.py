"""Known providers, pointed at the simulator: a key is enough, and Hugging Face's router stands in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.client import ask, chat, question
from tests.serving import Serving, running
from tests.simulator import Simulator

BIG, SMALL = "openai/gpt-oss-120b", "openai/gpt-oss-20b"
KEYS = {"CEREBRAS_API_KEY": "csk-canary", "HF_TOKEN": "hf_canary", "GROQ_API_KEY": "tl_canary"}


@pytest.fixture(scope="module")
def router(running_simulator: Simulator) -> Iterator[Serving]:
    """A server whose configuration only says where Cerebras and Hugging Face are."""
    url = running_simulator.base_url
    config = (
        "[engine]\nenabled = false\n"
        f'[providers.cerebras]\nbase_url = "{url}"\n'
        f'[providers.huggingface]\nbase_url = "{url}"\n'
    )
    with running(config=config, environment=KEYS) as serving:
        yield serving
        assert "canary" not in serving.stdout() + serving.stderr()


@pytest.mark.parametrize(
    ("name", "provider", "upstream", "key"),
    [
        (f"{BIG}:cerebras", "cerebras", "gpt-oss-120b", "csk-canary"),
        (f"{BIG}:cheapest", "cerebras", "gpt-oss-120b", "csk-canary"),
        (f"{SMALL}:groq", "huggingface", f"{SMALL}:groq", "hf_canary"),
        (f"{BIG}:huggingface", "huggingface", BIG, "hf_canary"),
        (SMALL, "huggingface", SMALL, "hf_canary"),
    ],
)
def test_a_key_is_enough_to_ask_a_known_provider(
    router: Serving, simulator: Simulator, name: str, provider: str, upstream: str, key: str
) -> None:
    answer = chat(router, question(model=name))

    assert answer.status == 200, answer.body
    assert answer.headers["x-trunkline-provider"] == provider
    (seen,) = simulator.seen
    assert seen.body["model"] == upstream
    assert seen.headers["authorization"] == f"Bearer {key}"


def test_what_is_asked_through_the_router_of_providers_costs_what_the_provider_lists(
    router: Serving,
) -> None:
    answer = chat(router, question(model=f"{SMALL}:groq"))

    usage = answer.json["usage"]
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    tenths = (
        (usage["prompt_tokens"] - cached) * 750 + cached * 375 + usage["completion_tokens"] * 3000
    )
    assert float(answer.headers["x-trunkline-cost-usd"]) * 1e9 == pytest.approx(-(-tenths // 10))


def test_a_known_provider_without_a_key_says_which_to_set(router: Serving) -> None:
    error = chat(router, question(model=f"{BIG}:nebius")).error

    assert error["code"] == "provider_not_configured"
    assert "set NEBIUS_API_KEY or [providers.nebius] api_key" in error["message"]


def test_the_models_of_known_providers_are_listed(router: Serving) -> None:
    listed = {model["id"]: model for model in ask(router, "GET", "/v1/models").json["data"]}

    assert list(listed) == [BIG, SMALL]
    assert [one["provider"] for one in listed[BIG]["providers"]] == ["cerebras", "huggingface"]
    assert listed[BIG]["context_length"] == 131_072
