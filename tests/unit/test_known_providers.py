"""The providers and models that are known from the start: the data is whole, and read exactly."""

from __future__ import annotations

import datetime
import re
import string
import tomllib
from decimal import Decimal

import pytest

from trunkline.accounts import Price, Usage, cost
from trunkline.config import known, values
from trunkline.ids import now

PROVIDERS = known.providers()
OFFERS = [
    (model, provider, offer)
    for model, offers in known.models().items()
    for provider, offer in offers.items()
]
BIG, SMALL = "openai/gpt-oss-120b", "openai/gpt-oss-20b"


def test_the_providers_of_gpt_oss_are_known_in_this_order() -> None:
    assert list(PROVIDERS) == [
        *("cerebras", "fireworks-ai", "groq", "together", "deepinfra", "novita", "nscale"),
        *("ovhcloud", "scaleway", "baseten", "sambanova", "nebius", "hyperbolic", "openrouter"),
        *("databricks", "bedrock", "bedrock-mantle", "wandb", "cloudflare", "vertex"),
        "huggingface",
    ]


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_known_provider_is_described_whole(name: str) -> None:
    one = PROVIDERS[name]
    values.check_provider_name(name)
    filled = one.base_url.format(**dict.fromkeys(one.parts, "part"))
    assert values.base_url(filled) == filled
    assert filled.startswith("https://")
    named = {field for _, field, _, _ in string.Formatter().parse(one.base_url) if field}
    assert named == set(one.parts)
    variables = [*one.key_env, *(v for variables in one.parts.values() for v in variables)]
    assert one.key_env
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]+", variable) for variable in variables)
    assert not any(variable.startswith("TRUNKLINE_") for variable in variables)
    for slug in one.routes:
        values.check_provider_name(slug)
    assert one.title
    assert known.offers(name), "nothing to ask it for"
    check_origin(one.source, one.checked)


@pytest.mark.parametrize(
    ("model", "provider", "offer"), OFFERS, ids=[f"{model}:{name}" for model, name, _ in OFFERS]
)
def test_an_offer_is_of_a_known_provider_and_makes_sense(
    model: str, provider: str, offer: known.Offer
) -> None:
    facts = offer.settings
    assert provider in PROVIDERS
    values.check_model_name(model)
    if facts.kind == "embedding":
        assert facts.input is not None
        assert facts.input > 0
        assert (facts.output, facts.max_output, facts.efforts) == (None, None, None)
        check_origin(offer.source, offer.checked)
        return
    assert facts.dimensions is None
    assert (facts.input is None) == (facts.output is None)
    if facts.input is not None and facts.output is not None:
        assert 0 < facts.input <= facts.output
        assert facts.cached_input is None or 0 < facts.cached_input <= facts.input
    else:
        assert facts.cached_input is None
    assert facts.context is None or facts.context >= (facts.max_output or 1) > 0
    assert set(facts.efforts or ()) <= {"none", "minimal", "low", "medium", "high", "xhigh"}
    if facts.tools is False or facts.structured is False:
        assert facts.structured_with_tools is False
    if offer.unverified:
        assert facts.input is None
    check_origin(offer.source, offer.checked)


def check_origin(source: str, checked: datetime.date) -> None:
    assert len(source) > 10
    assert datetime.date(2026, 1, 1) <= checked <= now().date()


def test_every_source_is_used() -> None:
    document = tomllib.loads((known.FOLDER / "models.toml").read_text())
    assert {source["text"] for source in document["sources"].values()} >= {
        offer.source for _, _, offer in OFFERS
    }
    used = {
        entry["source"]
        for model in document["models"].values()
        for entry in (model, *model["offers"].values())
    }
    assert used == set(document["sources"])


@pytest.mark.parametrize(
    ("model", "provider", "nano"),
    [
        (BIG, "cerebras", (350_000_000, None, 750_000_000)),
        (BIG, "groq", (150_000_000, 75_000_000, 600_000_000)),
        (BIG, "fireworks-ai", (150_000_000, 15_000_000, 600_000_000)),
        (BIG, "deepinfra", (37_000_000, None, 170_000_000)),
        (BIG, "openrouter", (39_000_000, None, 190_000_000)),
        (SMALL, "groq", (75_000_000, 37_500_000, 300_000_000)),
        (SMALL, "wandb", (30_000_000, None, 130_000_000)),
        (BIG, "nscale", (None, None, None)),
        (BIG, "huggingface", (None, None, None)),
    ],
)
def test_prices_are_the_listed_ones_to_the_nano_dollar(
    model: str, provider: str, nano: tuple[int | None, ...]
) -> None:
    facts = known.models()[model][provider].settings
    assert (facts.input, facts.cached_input, facts.output) == nano


def test_a_price_is_exact_where_binary_fractions_are_not() -> None:
    assert int(0.29 * 100) == 28  # what a float would make of it
    text = tomllib.loads("input = 0.29", parse_float=Decimal)
    assert values.nano_dollars(text["input"]) == 290_000_000


@pytest.mark.parametrize(
    ("model", "provider", "tokens", "nano"),
    [
        # 700 × 0.15 + 300 × 0.075 + 50 × 0.60 = 105 + 22.5 + 30 = 157.5 millionths of a dollar
        (BIG, "groq", (1000, 300, 50), 157_500),
        # 1 × 0.0375 + 1 × 0.30 millionths
        (SMALL, "groq", (1, 1, 1), 338),
        # 1,234 × 0.037 + 567 × 0.17 = 45.658 + 96.39
        (BIG, "deepinfra", (1234, 0, 567), 142_048),
    ],
)
def test_a_request_costs_what_a_hand_computes(
    model: str, provider: str, tokens: tuple[int, int, int], nano: int
) -> None:
    facts = known.models()[model][provider].settings
    assert facts.input is not None
    assert facts.output is not None
    price = Price(input=facts.input, output=facts.output, cached_input=facts.cached_input)
    prompt, cached, completion = tokens
    usage = Usage(prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion)
    assert cost(usage, price) == nano


def test_the_router_of_providers_knows_those_that_it_can_pass_requests_to() -> None:
    assert set(known.routes().values()) == {"huggingface"}
    assert {"cerebras", "groq", "fireworks-ai", "hf-inference"} <= set(known.routes())
    assert not {"nebius", "sambanova", "openrouter", "huggingface"} & set(known.routes())


@pytest.mark.parametrize(
    ("provider", "environ", "address"),
    [
        ("groq", {}, "https://api.groq.com/openai/v1"),
        ("bedrock", {}, ""),
        (
            "bedrock",
            {"AWS_DEFAULT_REGION": "eu-west-1"},
            "https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1",
        ),
        (
            "bedrock",
            {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "eu-west-1"},
            "https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1",
        ),
        ("bedrock", {"AWS_REGION": "evil.test/x#"}, ""),
        ("bedrock", {"AWS_REGION": "a@evil.test"}, ""),
        (
            "databricks",
            {"DATABRICKS_HOST": "https://adb-1.2.azuredatabricks.net/"},
            "https://adb-1.2.azuredatabricks.net/serving-endpoints",
        ),
        (
            "databricks",
            {"DATABRICKS_API_BASE": "https://w.cloud.databricks.com/serving-endpoints"},
            "https://w.cloud.databricks.com/serving-endpoints",
        ),
        ("databricks", {"DATABRICKS_HOST": "https://user:pw@w.test"}, ""),
        ("databricks", {"DATABRICKS_HOST": "https://[w"}, ""),
        ("vertex", {"GOOGLE_CLOUD_PROJECT": "p-1"}, ""),
        (
            "vertex",
            {"GOOGLE_CLOUD_PROJECT": "p-1", "VERTEXAI_LOCATION": "us-central1"},
            "https://us-central1-aiplatform.googleapis.com/v1/projects/p-1/locations/us-central1/endpoints/openapi",
        ),
        (
            "cloudflare",
            {"CLOUDFLARE_ACCOUNT_ID": "0af"},
            "https://api.cloudflare.com/client/v4/accounts/0af/ai/v1",
        ),
    ],
)
def test_parts_of_an_address_come_from_the_environment(
    provider: str, environ: dict[str, str], address: str
) -> None:
    assert PROVIDERS[provider].address(environ) == address


def test_what_an_address_lacks_is_named() -> None:
    vertex = PROVIDERS["vertex"]
    assert vertex.wants_address({}) == "GOOGLE_CLOUD_LOCATION and GOOGLE_CLOUD_PROJECT"
    assert vertex.wants_address({"VERTEXAI_LOCATION": "x"}) == "GOOGLE_CLOUD_PROJECT"
