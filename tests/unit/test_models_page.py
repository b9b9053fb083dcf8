"""What callers see of the catalog: OpenAI's fields, and Hugging Face's where they are known."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from trunkline.accounts import Price
from trunkline.api.models import ShownModels
from trunkline.errors import ModelNotFound
from trunkline.routing import Abilities, Catalog, Condition, Deployment

BIG = "openai/gpt-oss-120b"

FULL = Deployment(
    model=BIG,
    provider="groq",
    upstream_model=BIG,
    price=Price(input=75_000_000, output=300_000_000),
    context=131_072,
    abilities=Abilities(tools=True, structured=False, vision=True),
)
BARE = Deployment(model=BIG, provider="mine", upstream_model="x", local=True)


def shown(*deployments: Deployment, condition: Condition | None = None) -> ShownModels:
    return ShownModels(
        Catalog(deployments),
        condition=lambda _: condition or Condition(),
        created=1_790_000_000,
        descriptions={BIG: "a large model"},
    )


def provider(deployment: Deployment, condition: Condition | None = None) -> Any:
    (model,) = shown(deployment, condition=condition).all()
    return msgspec.to_builtins(model.providers[0])


def test_a_model_has_openais_fields_and_its_providers() -> None:
    (model,) = msgspec.to_builtins(shown(FULL, BARE).all())

    assert [one["provider"] for one in model.pop("providers")] == ["groq", "mine"]
    assert model == {
        "id": BIG,
        "object": "model",
        "created": 1_790_000_000,
        "owned_by": "openai",
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
        "context_length": 131_072,
        "description": "a large model",
    }


def test_what_is_known_of_a_provider_is_shown_under_hugging_faces_names() -> None:
    measured = Condition(tokens_per_s=512.345, first_token_s=0.12345)

    assert provider(FULL, measured) == {
        "provider": "groq",
        "status": "live",
        "context_length": 131_072,
        "pricing": {"input": 0.075, "output": 0.3},
        "supports_tools": True,
        "supports_structured_output": False,
        "first_token_latency_ms": 123.5,
        "throughput": 512.3,
        "local": False,
    }


def test_what_is_not_known_of_a_provider_is_left_out() -> None:
    assert provider(BARE) == {"provider": "mine", "status": "live", "local": True}


def test_a_provider_that_cools_down_has_the_status_error() -> None:
    assert provider(FULL, Condition(failures=3, cooling_s=1.5))["status"] == "error"


@pytest.mark.parametrize("nano", [1, 37_000_000, 999_999_999_999, 0])
def test_a_price_is_shown_with_its_own_digits(nano: int) -> None:
    priced = msgspec.structs.replace(FULL, price=Price(input=nano, output=0))
    document = msgspec.json.encode(shown(priced).all()[0].providers[0].pricing)

    assert round(msgspec.json.decode(document)["input"] * 10**9) == nano


def test_one_model_is_shown_by_any_of_its_names() -> None:
    page = shown(FULL, BARE)

    assert page.one(BIG) == page.one(f"{BIG}:groq") == page.one(f"{BIG}:cheapest")
    with pytest.raises(ModelNotFound):
        page.one("openai/gpt-oss-12b")
