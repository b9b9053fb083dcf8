"""Model names, the catalog, the policies, and a request's wishes about providers."""

from __future__ import annotations

from datetime import date

import msgspec
import pytest

from trunkline.accounts.pricing import Price
from trunkline.config import (
    ModelSettings,
    ProviderSettings,
    Quirks,
    RoutingSettings,
    Secret,
    Settings,
)
from trunkline.errors import APIError, InvalidRequest, ModelNotFound, NoMatchingProvider
from trunkline.providers.parameters import support_of
from trunkline.routing import (
    Abilities,
    Catalog,
    Chooser,
    Deployment,
    DeploymentHealth,
    Sticky,
    Wishes,
    catalog_of,
    decode_wishes,
    engine_deployment,
)
from trunkline.routing.policy import NO_WISHES
from trunkline.store import NO_LIMITS, Limits
from trunkline.wire.chat import decode_request

OSS = "openai/gpt-oss-120b"
NANO = engine_deployment("trunkline/gpt-oss-nano", context=4096)


def deployment(provider, *, model=OSS, price=None, local=False):
    listed = Price(input=price[0], output=price[1]) if price else None
    return Deployment(
        model=model, provider=provider, upstream_model=model, price=listed, local=local
    )


def catalog():
    return Catalog(
        [
            NANO,
            deployment("groq", price=(150_000_000, 600_000_000)),
            deployment("novita", price=(50_000_000, 250_000_000)),
            deployment("desk", local=True),
            deployment("groq", model="openai/gpt-oss-20b"),
            deployment("groq", model="tagged:8b"),
        ],
        inactive={"cerebras": "has no key; set CEREBRAS_API_KEY"},
        preferred=["desk", "novita"],
    )


def providers(plan):
    return [d.provider for d in plan.deployments]


def chosen(name, wish=NO_WISHES, *, of=None, limits=NO_LIMITS):
    """Returns what a fresh chooser makes of a name and wishes, without exploring."""
    request = decode_request(
        b'{"model":"m","messages":[{"role":"user","content":"hi"}]}', lenient=False
    )
    chooser = Chooser(health=DeploymentHealth(), sticky=Sticky(), draw=lambda: 1.0)
    plan = (of or catalog()).resolve(name)
    return chooser.choose(plan, request, wishes=wish, limits=limits, account_id="acct_1")


@pytest.mark.parametrize(
    ("name", "order"),
    [
        (OSS, ["groq", "novita", "desk"]),
        (f"{OSS}:fastest", ["groq", "novita", "desk"]),
        (f"{OSS}:cheapest", ["novita", "groq", "desk"]),
        (f"{OSS}:preferred", ["desk", "novita", "groq"]),
        (f"{OSS}:local", ["desk"]),
        (f"{OSS}:novita", ["novita"]),
        ("trunkline/gpt-oss-nano", ["local"]),
        ("trunkline/gpt-oss-nano:local", ["local"]),
        ("tagged:8b", ["groq"]),
        ("tagged:8b:groq", ["groq"]),
    ],
)
def test_a_name_and_its_suffix_decide_who_is_tried_in_which_order(name, order):
    plan = chosen(name)
    assert providers(plan) == order
    assert plan.asked == name


def test_a_plan_tells_model_and_suffix_apart():
    plan = catalog().resolve("tagged:8b:groq")
    assert (plan.model, plan.suffix) == ("tagged:8b", "groq")
    assert (catalog().resolve("tagged:8b").suffix) is None


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        (
            f"{OSS}:together",
            "provider_not_configured",
            "provider 'together' is not configured; add [providers.together]",
        ),
        (
            f"{OSS}:cerebras",
            "provider_not_configured",
            "provider 'cerebras' has no key; set CEREBRAS_API_KEY",
        ),
        (
            "openai/gpt-oss-20b:novita",
            "no_matching_provider",
            "provider 'novita' does not offer 'openai/gpt-oss-20b'; it is offered by groq",
        ),
        (
            "openai/gpt-oss-20b:local",
            "no_matching_provider",
            "no local deployment offers 'openai/gpt-oss-20b'; it is offered by groq",
        ),
    ],
)
def test_a_suffix_that_cannot_be_served_says_why(name, code, message):
    with pytest.raises(InvalidRequest) as caught:
        catalog().resolve(name)
    assert (caught.value.code, caught.value.param, caught.value.message) == (code, "model", message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "OpenAI/GPT-OSS-120",
            "unknown model 'OpenAI/GPT-OSS-120'; did you mean 'openai/gpt-oss-120b' or 'openai/gpt-oss-20b'? see GET /v1/models",
        ),
        ("zzz", "unknown model 'zzz'; see GET /v1/models"),
        (f"{OSS}:nobody", None),
        ("unheard-of:groq", "unknown model 'unheard-of'; see GET /v1/models"),
        (":groq", None),
        ("", "unknown model ''; see GET /v1/models"),
        ("x" * 100_000, None),
    ],
)
def test_an_unknown_model_is_told_the_closest_names(name, message):
    with pytest.raises(ModelNotFound) as caught:
        catalog().resolve(name)
    assert caught.value.param == "model"
    assert message in (None, caught.value.message)
    assert len(caught.value.message) < 500


@pytest.mark.parametrize(
    "name",
    ["openai/gpt-oss-120b", "any/thing:groq", "a/b:c:d", "trunkline/gpt-oss-nano", "x/y:local"],
)
def test_in_demo_mode_every_name_with_an_organisation_is_answered_by_the_engine(name):
    settings = Settings(
        providers={"groq": ProviderSettings(base_url="http://x", models={OSS: ModelSettings()})}
    )
    demo = catalog_of(settings, engine=NANO, demo=True)
    plan = demo.resolve(name)
    assert (plan.asked, plan.deployments) == (name, (NANO,))
    assert list(demo.models()) == ["trunkline/gpt-oss-nano"]


@pytest.mark.parametrize("name", ["gpt-4", "/x", "x/", ""])
def test_in_demo_mode_other_names_stay_unknown(name):
    with pytest.raises(ModelNotFound):
        Catalog([NANO], demo=True).resolve(name)


def test_the_catalog_of_a_configuration_holds_active_providers_and_the_engine_first():
    models = {
        OSS: ModelSettings(
            id="oss",
            input=1,
            cached_input=2,
            output=3,
            context=4,
            max_output=5,
            tools=True,
            structured=False,
            vision=False,
            efforts=("low",),
        )
    }
    settings = Settings(
        routing=RoutingSettings(preferred=("b", "a")),
        providers={
            "a": ProviderSettings(base_url="http://a", models=models),
            "b": ProviderSettings(
                base_url="http://b",
                api_key=Secret("k"),
                models={OSS: ModelSettings(input=1)},
                local=True,
            ),
            "off": ProviderSettings(base_url="http://c", enabled=False, models=models),
            "keyless": ProviderSettings(base_url="http://d", api_key_env="D_KEY", models=models),
            "bare": ProviderSettings(base_url="http://e"),
        },
    )
    built = catalog_of(settings, engine=NANO)
    a = Deployment(
        model=OSS,
        provider="a",
        upstream_model="oss",
        price=Price(input=1, cached_input=2, output=3),
        context=4,
        max_output=5,
        abilities=Abilities(tools=True, structured=False, vision=False, efforts=("low",)),
        support=support_of(
            Quirks(), ModelSettings(structured=False, vision=False, efforts=("low",))
        ),
    )
    b = Deployment(
        model=OSS,
        provider="b",
        upstream_model=OSS,
        local=True,
        abilities=Abilities(),
        support=support_of(Quirks()),
    )
    assert built.models() == {"trunkline/gpt-oss-nano": (NANO,), OSS: (a, b)}
    assert built.resolve(f"{OSS}:preferred").deployments == (b, a)
    for provider, why in [("off", "disabled"), ("keyless", "D_KEY"), ("bare", "no models")]:
        with pytest.raises(InvalidRequest, match=why) as caught:
            built.resolve(f"{OSS}:{provider}")
        assert caught.value.code == "provider_not_configured"


@pytest.mark.parametrize(
    ("suffix", "env_keys", "why"),
    [
        ("groq", True, "has no key; set GROQ_API_KEY or [providers.groq] api_key"),
        ("groq", False, "has no key; set [providers.groq] api_key ([routing] env_keys is false)"),
        ("cohere", True, "is not configured; add [providers.cohere]"),
    ],
)
def test_a_known_provider_that_is_not_in_use_says_what_it_needs(suffix, env_keys, why):
    settings = Settings(routing=RoutingSettings(env_keys=env_keys))
    with pytest.raises(InvalidRequest) as caught:
        catalog_of(settings, engine=NANO).resolve(f"{OSS}:{suffix}")
    assert caught.value.code == "provider_not_configured"
    assert caught.value.message == f"provider '{suffix}' {why}"


def ending(day, *, other=False):
    """A catalog of two providers, of which ``a`` takes the model away on that day."""
    gone = ModelSettings(input=1, output=1, deprecated=day)
    offers = {"a": gone, "b": ModelSettings(input=2, output=2, deprecated=other)}
    return catalog_of(
        Settings(
            providers={
                name: ProviderSettings(base_url="http://x", models={OSS: offer})
                for name, offer in offers.items()
            }
        ),
        engine=NANO,
        today=date(2026, 11, 7),
    )


@pytest.mark.parametrize(
    ("day", "order"),
    [
        (date(2026, 11, 8), ["a", "b"]),
        (date(2026, 11, 7), ["b"]),
        (date(2020, 1, 1), ["b"]),
        (True, ["b"]),
        (False, ["a", "b"]),
    ],
)
def test_policies_leave_out_what_is_deprecated_from_its_day_on(day, order):
    built = ending(day)
    for suffix in ("", ":fastest", ":cheapest", ":preferred"):
        plan = chosen(f"{OSS}{suffix}", of=built)
        assert providers(plan) == order
        assert [one.provider for one in plan.decision.candidates] == ["a", "b"]
    assert providers(built.resolve(f"{OSS}:a")) == ["a"]


def test_what_is_deprecated_can_be_chosen_if_the_request_names_its_provider():
    built = ending(True)
    for wishes in (Wishes(only=["a"]), Wishes(order=["a"])):
        assert providers(chosen(OSS, wishes, of=built))[0] == "a"
    assert providers(chosen(OSS, Wishes(only=["b"]), of=built)) == ["b"]
    assert [d.deprecated for d in built.models()[OSS]] == [True, False]


def test_a_model_that_is_deprecated_everywhere_says_how_it_can_be_asked_for():
    with pytest.raises(InvalidRequest) as caught:
        chosen(f"{OSS}:cheapest", of=ending(True, other=True))
    assert (caught.value.code, caught.value.param) == ("no_matching_provider", "model")
    assert caught.value.message == (
        f"the filters leave nobody to ask for '{OSS}': "
        f"a (deprecated, so it must be asked for as '{OSS}:a'), "
        f"b (deprecated, so it must be asked for as '{OSS}:b')"
    )


def routed(**others):
    """A catalog with Hugging Face's router, and other providers by name."""
    router = ProviderSettings(
        base_url="http://hf",
        api_key=Secret("hf_x"),
        models={OSS: ModelSettings(), "o/own": ModelSettings(id="own", input=7, output=7)},
    )
    return catalog_of(Settings(providers={"huggingface": router, **others}), engine=NANO)


def test_a_suffix_that_the_router_of_providers_knows_goes_through_it():
    plan = routed().resolve(f"{OSS}:groq")
    assert (plan.model, plan.suffix) == (OSS, "groq")
    (groq,) = plan.deployments
    assert (groq.provider, groq.upstream_model) == ("huggingface", f"{OSS}:groq")
    assert groq.price == Price(input=150_000_000, cached_input=75_000_000, output=600_000_000)
    assert groq.abilities is not None
    assert groq.abilities.structured_with_tools is False
    (cohere,) = routed().resolve("o/own:cohere").deployments
    assert (cohere.upstream_model, cohere.price) == ("own:cohere", Price(input=7, output=7))
    assert routed().resolve(OSS).deployments[0].upstream_model == OSS
    assert routed().resolve(f"{OSS}:huggingface").deployments[0].upstream_model == OSS
    assert routed().models().keys() == {"trunkline/gpt-oss-nano", OSS, "o/own"}


def test_a_provider_of_ones_own_is_not_asked_through_the_router():
    models = {OSS: ModelSettings(id="oss")}
    groq = ProviderSettings(base_url="http://g", models=models)
    (found,) = routed(groq=groq).resolve(f"{OSS}:groq").deployments
    assert (found.provider, found.upstream_model) == ("groq", "oss")
    off = ProviderSettings(base_url="http://g", enabled=False, models=models)
    with pytest.raises(InvalidRequest, match="is disabled"):
        routed(groq=off).resolve(f"{OSS}:groq")


@pytest.mark.parametrize("others", [{}, {"groq": ProviderSettings(base_url="http://g", models={})}])
def test_a_routers_own_ids_say_to_whom_it_passes_them_on(others):
    catalog = routed(**others)

    groq = catalog.own("huggingface", f"{OSS}:groq", kind="chat")
    assert (groq.model, groq.deployments[0].behind) == (OSS, ("groq",))
    assert groq.deployments[0].price == Price(
        input=150_000_000, cached_input=75_000_000, output=600_000_000
    )
    (unlisted,) = catalog.own("huggingface", "o/unheard-of:groq", kind="chat").deployments
    assert (unlisted.listed, unlisted.behind) == (False, ("groq",))
    for any_of_them in (OSS, f"{OSS}:cheapest", "o/unheard-of"):
        (found,) = catalog.own("huggingface", any_of_them, kind="chat").deployments
        assert {"groq", "cerebras"} < set(found.behind)


def test_the_router_of_providers_is_not_asked_for_what_it_does_not_know():
    with pytest.raises(InvalidRequest, match="provider 'nebius' has no key; set NEBIUS_API_KEY"):
        routed().resolve(f"{OSS}:nebius")
    with pytest.raises(ModelNotFound):
        routed().resolve("o/unheard-of:groq")
    with pytest.raises(InvalidRequest, match="provider 'groq' does not offer"):
        routed().resolve("trunkline/gpt-oss-nano:groq")


PULLED = engine_deployment(OSS, context=4096, reserve=True)


@pytest.mark.parametrize("suffix", ["", ":fastest", ":cheapest", ":preferred"])
def test_a_pulled_model_answers_where_nobody_else_offers_it(suffix):
    alone = catalog_of(Settings(), engine=NANO, pulled=[PULLED])
    assert chosen(f"{OSS}{suffix}", of=alone).deployments == (PULLED,)
    hosted = catalog_of(hosted_settings(), engine=NANO, pulled=[PULLED])
    plan = chosen(f"{OSS}{suffix}", of=hosted)
    assert providers(plan) == ["a"]
    assert plan.decision.candidates[1].removed.startswith("kept in reserve")


def test_a_pulled_model_is_asked_by_name_and_listed_last():
    built = catalog_of(hosted_settings(), engine=NANO, pulled=[PULLED])
    assert built.resolve(f"{OSS}:local").deployments == (PULLED,)
    assert [d.provider for d in built.models()[OSS]] == ["a", "local"]
    assert chosen(OSS, Wishes(only=["local"]), of=built).deployments == (PULLED,)
    assert providers(chosen(OSS, Wishes(order=["local", "a"]), of=built)) == ["local", "a"]
    assert providers(chosen(OSS, Wishes(ignore=["b"]), of=built)) == ["a"]


def test_a_server_of_ones_own_goes_before_a_pulled_model():
    built = catalog_of(hosted_settings(local=True), engine=NANO, pulled=[PULLED])
    assert [d.provider for d in built.resolve(f"{OSS}:local").deployments] == ["a", "local"]
    assert providers(chosen(OSS, of=built)) == ["a"]


def test_a_pulled_model_answers_where_nobody_else_may():
    built = catalog_of(hosted_settings(), engine=NANO, pulled=[PULLED])
    for limits in (Limits(providers=("local",)), Limits(max_output=0)):
        assert chosen(OSS, of=built, limits=limits).deployments == (PULLED,)
    assert chosen(OSS, Wishes(ignore=["a"]), of=built).deployments == (PULLED,)


def hosted_settings(*, local: bool = False) -> Settings:
    offer = {OSS: ModelSettings(input=1, output=1)}
    provider = ProviderSettings(base_url="http://a", models=offer, local=local)
    return Settings(providers={"a": provider})


def test_without_engine_and_providers_there_is_nothing():
    assert catalog_of(Settings(), engine=None).models() == {}


# Wishes


def wishes(**fields):
    return decode_wishes(msgspec.json.encode(fields))


@pytest.mark.parametrize(
    ("asked", "order"),
    [
        ({}, ["groq", "novita", "desk"]),
        ({"order": ["desk"]}, ["desk", "groq", "novita"]),
        ({"order": ["desk", "groq"], "allow_fallbacks": False}, ["desk", "groq"]),
        ({"allow_fallbacks": False}, ["groq"]),
        ({"only": ["desk", "groq"]}, ["groq", "desk"]),
        ({"ignore": ["groq"]}, ["novita", "desk"]),
        ({"sort": "price"}, ["novita", "groq", "desk"]),
        ({"sort": "price", "order": ["desk"], "ignore": ["groq"]}, ["desk", "novita"]),
        ({"max_price": {"prompt": 0.05}}, ["novita"]),
        ({"max_price": {"completion": 0.6}}, ["groq", "novita"]),
        ({"max_price": {"prompt": "0.05", "completion": 0.25}}, ["novita"]),
        ({"max_price": {"prompt": 0.0499999999}}, []),
        ({"max_price": {}}, ["groq", "novita", "desk"]),
        ({"sort": {"by": "price", "partition": "none"}}, ["novita", "groq", "desk"]),
        ({"sort": {}, "order": ["novita"]}, ["novita", "groq", "desk"]),
        (
            {"require_parameters": False, "zdr": None, "data_collection": "allow"},
            ["groq", "novita", "desk"],
        ),
    ],
)
def test_wishes_filter_and_order(asked, order):
    try:
        assert providers(chosen(OSS, wishes(**asked))) == order
    except NoMatchingProvider:
        assert order == []


@pytest.mark.parametrize("cents", range(1, 100))
def test_a_list_price_is_not_above_itself(cents):
    one = deployment("a", price=(cents * 10_000_000, 0))
    plan = chosen(OSS, wishes(max_price={"prompt": cents / 100}), of=Catalog([one]))
    assert providers(plan) == ["a"]


def test_no_wishes_are_no_wishes():
    assert decode_wishes(None) == Wishes()


def test_wishes_that_leave_nobody_say_what_removed_each():
    asked = wishes(only=["groq", "desk"], ignore=["groq"], max_price={"prompt": 0.01})
    with pytest.raises(InvalidRequest) as caught:
        chosen(OSS, asked)
    assert (caught.value.code, caught.value.param) == ("no_matching_provider", "provider")
    assert caught.value.message == (
        f"the filters leave nobody to ask for '{OSS}': groq (in provider.ignore), "
        "novita (not in provider.only), desk (without a list price)"
    )


@pytest.mark.parametrize(
    ("asked", "code", "param"),
    [
        ({"order": "groq"}, "invalid_type", "provider.order"),
        ({"order": [1]}, "invalid_type", "provider.order[0]"),
        ({"sort": "beauty"}, "invalid_value", "provider.sort"),
        ({"max_price": {"prompt": -1}}, "invalid_value", "provider.max_price.prompt"),
        ({"max_price": {"prompt": 1e300}}, "invalid_value", "provider.max_price.prompt"),
        ({"max_price": {"completion": "NaN"}}, "invalid_value", "provider.max_price.completion"),
        ({"max_price": {"completion": "dear"}}, "invalid_value", "provider.max_price.completion"),
        ({"max_price": {"completion": [1]}}, "invalid_type", "provider.max_price.completion"),
        ({"sort": {"by": "beauty"}}, "invalid_value", "provider.sort.by"),
        ({"sort": {"buy": "price"}}, "unknown_parameter", "provider.sort.buy"),
        ({"zdr": True}, "unsupported_parameter", "provider.zdr"),
        ({"max_price": {"image": 1}}, "unsupported_parameter", "provider.max_price.image"),
        ({"max_price": {"imago": 1}}, "unknown_parameter", "provider.max_price.imago"),
        ({"allow_fallbacks": "no"}, "invalid_type", "provider.allow_fallbacks"),
        ({"ordre": []}, "unknown_parameter", "provider.ordre"),
        ({"data_collection": "deny"}, "unsupported_parameter", "provider.data_collection"),
        ({"quantizations": ["fp8"]}, "unsupported_parameter", "provider.quantizations"),
    ],
)
def test_a_wish_of_the_wrong_shape_or_beyond_us_is_refused_by_name(asked, code, param):
    with pytest.raises(APIError) as caught:
        wishes(**asked)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, param)


def test_wishes_that_are_nested_too_deeply_are_refused():
    with pytest.raises(InvalidRequest) as caught:
        decode_wishes(b'{"quantizations":' + b"[" * 50_000 + b"]" * 50_000 + b"}")
    assert (caught.value.code, caught.value.param) == ("invalid_json", "provider")


@pytest.mark.parametrize("raw", [b"[]", b'"groq"', b"7"])
def test_wishes_that_are_no_object_are_refused(raw):
    with pytest.raises(InvalidRequest) as caught:
        decode_wishes(raw)
    assert (caught.value.code, caught.value.param) == ("invalid_type", "provider")


def test_a_provider_in_reserve_is_asked_by_its_name_only():
    offer = {OSS: ModelSettings(input=1, output=1)}
    providers_ = {
        "a": ProviderSettings(base_url="http://a", models=offer),
        "box": ProviderSettings(base_url="http://b", models=offer, local=True, reserve=True),
    }
    built = catalog_of(Settings(providers=providers_), engine=None)
    assert providers(chosen(OSS, of=built)) == ["a"]
    assert providers(chosen(f"{OSS}:box", of=built)) == ["box"]
    assert providers(chosen(f"{OSS}:local", of=built)) == ["box"]
    assert providers(chosen(OSS, Wishes(order=["box", "a"]), of=built)) == ["box", "a"]
    alone = catalog_of(Settings(providers={"box": providers_["box"]}), engine=None)
    assert providers(chosen(OSS, of=alone)) == ["box"]
