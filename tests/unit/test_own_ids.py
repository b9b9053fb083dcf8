"""What is asked of one provider by its own ids, and kinds of models, as the catalog sees them."""

from __future__ import annotations

import pytest

from trunkline.accounts import Price
from trunkline.api.pass_through import ProviderPaths
from trunkline.config import ModelSettings, ProviderSettings
from trunkline.errors import InvalidRequest, ModelNotFound, NotFound
from trunkline.ids import now
from trunkline.routing import LOCAL, Catalog, Deployment, DeploymentHealth, engine_deployment
from trunkline.routing.catalog import deployment_of
from trunkline.routing.needs import needs_of
from trunkline.wire import embeddings

BIG, BGE = "openai/gpt-oss-120b", "BAAI/bge-m3"
PRICE = Price(input=1, output=2)
CEREBRAS = Deployment(model=BIG, provider="cerebras", upstream_model="gpt-oss-120b", price=PRICE)
NOVITA = Deployment(model=BGE, provider="novita", upstream_model="baai/bge-m3", kind="embedding")
THROUGH = Deployment(model=BIG, provider="huggingface", upstream_model=f"{BIG}:groq")
ENGINE = engine_deployment("trunkline/gpt-oss-nano", context=4096)
CATALOG = Catalog(
    [ENGINE, CEREBRAS, NOVITA],
    inactive={"together": "has no key; set TOGETHER_API_KEY"},
    through={"groq": [THROUGH]},
)
PATHS = ProviderPaths(
    CATALOG,
    {
        LOCAL: "",
        "cerebras": "https://api.cerebras.ai/v1",
        "novita": "https://api.novita.ai/v3/openai",
    },
)


def provider_of(provider: str, prefix: str) -> str:
    return PATHS.provider_of({"path_params": {"provider": provider, "prefix": prefix}})


def test_a_listed_model_is_found_by_the_providers_own_id() -> None:
    plan = CATALOG.own("cerebras", "gpt-oss-120b", kind="chat")

    assert (plan.asked, plan.model, plan.pinned) == ("gpt-oss-120b", BIG, True)
    assert plan.deployments == (CEREBRAS,)


def test_an_id_that_is_not_listed_has_no_price_and_keeps_its_colons() -> None:
    plan = CATALOG.own("cerebras", "qwen-3:cheapest", kind="chat")
    (deployment,) = plan.deployments

    assert (plan.model, deployment.upstream_model) == ("qwen-3:cheapest", "qwen-3:cheapest")
    assert (deployment.price, deployment.listed) == (None, False)


def test_ids_that_callers_make_up_share_one_place_in_what_is_measured() -> None:
    health = DeploymentHealth()
    for number in range(100):
        (deployment,) = CATALOG.own("cerebras", f"made-up-{number}", kind="chat").deployments
        assert deployment.place == ("", "cerebras", "")
        health.insist(deployment).failed()

    assert health.of(deployment).failures == 3  # it cools down, and pinned requests add nothing
    assert health.of(CEREBRAS).failures == 0


def test_a_model_of_the_other_kind_is_refused_also_by_its_own_id() -> None:
    with pytest.raises(InvalidRequest, match="makes embeddings") as caught:
        CATALOG.own("novita", "baai/bge-m3", kind="chat")
    assert caught.value.param == "model"
    with pytest.raises(InvalidRequest, match="answers conversations"):
        CATALOG.resolve(BIG, kind="embedding")
    with pytest.raises(InvalidRequest, match="POST /v1/embeddings"):
        CATALOG.resolve(f"{BGE}:novita")
    assert CATALOG.resolve(BGE, kind=None).deployments == (NOVITA,)


def test_the_engine_knows_only_its_own_models() -> None:
    assert CATALOG.own(LOCAL, ENGINE.model, kind="chat").deployments == (ENGINE,)
    for name in ("gpt-oss-120b", "a\nb"):
        with pytest.raises(ModelNotFound):
            CATALOG.own(LOCAL, name, kind="chat")


@pytest.mark.parametrize(
    ("provider", "prefix"),
    [("cerebras", "v1"), ("novita", "v1"), ("novita", "v3/openai"), (LOCAL, "v1")],
)
def test_a_path_names_an_active_provider(provider: str, prefix: str) -> None:
    assert provider_of(provider, prefix) == provider


@pytest.mark.parametrize(
    ("provider", "prefix", "said"),
    [
        ("cerebras", "v3/openai", "did you mean /cerebras/v1/…?"),
        ("grok", "v1", "no provider 'grok'; active are: local, cerebras, novita"),
        ("x" * 9999, "v1", f"no provider '{'x' * 100}'"),
        ("v1", "v1", "there is no such path"),
        ("a\nb", "v1", "there is no such path"),
    ],
)
def test_a_path_that_names_nobody_says_so(provider: str, prefix: str, said: str) -> None:
    with pytest.raises(NotFound) as caught:
        provider_of(provider, prefix)

    assert said in caught.value.message


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("together", "has no key; set TOGETHER_API_KEY"),
        ("groq", "is only reached through huggingface"),
        ("scaleway", "is not configured"),
    ],
)
def test_a_known_provider_that_is_not_active_says_what_is_missing(provider: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        provider_of(provider, "v1")

    assert caught.value.code == "provider_not_configured"
    assert said in caught.value.message


# ------------------------------------------------------------------------------------------ kinds


def deployed(model: str, **facts: object) -> Deployment:
    provider = ProviderSettings(base_url="http://localhost/v1")
    offer = ModelSettings(**facts)  # type: ignore[arg-type]  # the test's own facts
    return deployment_of(model, offer, "mine", provider, now().date())


def test_a_known_models_kind_holds_wherever_it_is_offered() -> None:
    assert deployed(BGE).kind == "embedding"
    assert deployed(BGE, kind="chat").kind == "chat"
    assert deployed("mine/new").kind == "chat"
    assert deployed("mine/new", kind="embedding").kind == "embedding"


def test_an_embedding_costs_its_prompt_alone() -> None:
    assert deployed(BGE, input=10_000_000).price == Price(input=10_000_000, output=0)
    assert deployed(BIG, input=10_000_000).price is None
    assert deployed(BGE).price is None


@pytest.mark.parametrize(
    ("texts", "tokens"),
    [
        (f'"{"x" * 60}"', 10),
        (f'["xxxxxx", "{"x" * 600}"]', 100),
        ("[1, 2, 3]", 3),
        ("[[1], [1, 2]]", 2),
    ],
)
def test_the_longest_text_is_what_must_fit(texts: str, tokens: int) -> None:
    body = f'{{"model": "m", "input": {texts}, "dimensions": 9}}'.encode()
    needs = needs_of(embeddings.decode_request(body, lenient=False))

    assert (needs.tokens, needs.dimensions) == (tokens, 9)
