"""What callers see of the catalog: OpenAI's fields, and Hugging Face's where they are known."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from trunkline.accounts import Price
from trunkline.api.models import ShownModels
from trunkline.errors import ModelNotFound
from trunkline.routing import Abilities, Catalog, Condition, Deployment
from trunkline.store import NO_LIMITS, Limits

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


@pytest.mark.parametrize(
    ("limits", "providers"),
    [
        (Limits(models=("openai/*",)), ["groq", "mine"]),
        (Limits(deny_models=(BIG,)), []),
        (Limits(providers=("mine",)), ["mine"]),
        (Limits(deny_providers=("mine",)), ["groq"]),
        (Limits(max_output=300_000_000), ["groq"]),
        (Limits(concurrency=1), ["groq", "mine"]),
    ],
)
def test_a_key_is_shown_what_it_may_use_and_nothing_else(
    limits: Limits, providers: list[str]
) -> None:
    models = shown(FULL, BARE).all(limits)
    assert [one.provider for model in models for one in model.providers] == providers
    if providers:
        assert [one.provider for one in shown(FULL, BARE).one(BIG, limits).providers] == providers
        return
    for name in (BIG, f"{BIG}:cheapest"):
        with pytest.raises(ModelNotFound, match="this key may not use"):
            shown(FULL, BARE).one(name, limits)


def test_a_suffix_that_a_key_may_not_use_is_not_shown() -> None:
    with pytest.raises(ModelNotFound, match="this key may not use"):
        shown(FULL, BARE).one(f"{BIG}:groq", Limits(providers=("mine",)))


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        (Limits(concurrency=1), ["x", "unheard-of"]),
        (Limits(models=(BIG,)), ["x"]),
        (Limits(deny_models=("other",)), ["x"]),
        (Limits(max_output=1), []),
        (Limits(deny_providers=("mine",)), []),
    ],
)
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_providers_own_list_is_narrowed_to_what_a_key_may_use(
    limits: Limits, left: list[str], wrapped: bool
) -> None:
    entries = [
        {"id": "x", "owned_by": "me"},
        {"id": "unheard-of"},
        {"id": 7},
        "x",
        {"id": "\u0007"},
    ]
    document = msgspec.json.encode({"object": "list", "data": entries} if wrapped else entries)

    told = msgspec.json.decode(shown(FULL, BARE).of("mine", document, limits))

    assert told == ({"object": "list", "data": told["data"]} if wrapped else told)
    assert [one["id"] for one in (told["data"] if wrapped else told)] == left
    assert shown(FULL, BARE).of("mine", document, NO_LIMITS) == document


def test_what_is_no_list_of_models_tells_a_limited_key_nothing() -> None:
    narrow = Limits(models=("other",))
    for document in (b'{"models":["x"]}', b'{"data":{"id":"x"}}'):
        told = msgspec.json.decode(shown(BARE).of("mine", document, narrow))
        assert told == {"object": "list", "data": []}
