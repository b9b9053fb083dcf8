"""The choice: who is tried in which order, what leaves a deployment out, and that receipts replay."""

from __future__ import annotations

import random

import msgspec
import pytest

from trunkline.accounts.pricing import Price
from trunkline.config import ModelSettings, Quirks
from trunkline.errors import InvalidRequest, NoMatchingProvider
from trunkline.providers.parameters import support_of
from trunkline.routing import (
    Chooser,
    Deployment,
    DeploymentHealth,
    Plan,
    Sticky,
    Wishes,
    replay,
)
from trunkline.routing.policy import NO_WISHES
from trunkline.store import NO_LIMITS, Candidate, Decision, Limits
from trunkline.wire.chat import decode_request

ASK = [{"role": "user", "content": "hi"}]
TOOLS = [{"type": "function", "function": {"name": "f"}}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]


def request(**fields):
    body = {"model": "m", "messages": ASK, **fields}
    return decode_request(msgspec.json.encode(body), lenient=False)


def deployment(provider, *, price=None, context=None, **abilities):
    return Deployment(
        model="m",
        provider=provider,
        upstream_model="m",
        price=Price(input=price[0], output=price[1]) if price else None,
        context=context,
        support=support_of(Quirks(), ModelSettings(**abilities)) if abilities else None,
    )


class Table:
    """A chooser over some deployments, with a clock of its own and the draws that a test gives it."""

    def __init__(self, *deployments, draws=None, **options):
        self.now = 0.0
        self.deployments = deployments
        clock = lambda: self.now  # noqa: E731
        self.health = DeploymentHealth(clock=clock, jitter=lambda: 0.0)
        self.chooser = Chooser(
            health=self.health,
            sticky=Sticky(clock=clock),
            draw=(lambda: 1.0) if draws is None else draws,
            **options,
        )

    def plan(self, suffix=None, asked=None, limits=NO_LIMITS, *, lenient=False, **wishes):
        return self.chooser.choose(
            Plan("m", "m", suffix, self.deployments),
            asked or request(),
            wishes=Wishes(**wishes) if wishes else NO_WISHES,
            limits=limits,
            account_id="acct_1",
            lenient=lenient,
        )

    def order(self, suffix=None, asked=None, **options):
        return [one.provider for one in self.plan(suffix, asked, **options).deployments]

    def of(self, provider):
        return next(one for one in self.deployments if one.provider == provider)

    def answers(self, provider, *, speed=None, first_s=0.1):
        """A stream of 100 tokens at this speed; without one, only the first token is measured."""
        admission = self.health.admit(self.of(provider))
        assert admission is not None
        self.now += first_s
        admission.committed(stream=True)
        self.now += 100 / (speed or 100)
        admission.ended(100 if speed else None)

    def fails(self, provider, times=3, **options):
        for _ in range(times):
            self.health.insist(self.of(provider)).failed(**options)


def abc(**options):
    return Table(deployment("a"), deployment("b"), deployment("c"), **options)


# ------------------------------------------------------------------------------------------ policies


def test_unmeasured_deployments_keep_the_catalogues_order():
    assert abc().order() == abc().order("fastest") == ["a", "b", "c"]


def test_what_a_router_passes_on_is_priced_and_measured_apart_from_what_it_offers_itself():
    own = deployment("router")
    passed_on = msgspec.structs.replace(
        own, upstream_model="m:groq", price=Price(input=1, output=1)
    )
    table = Table(own, deployment("b", price=(2, 2)))
    pinned = table.chooser.choose(
        Plan("m:groq", "m", "groq", (passed_on,)),
        request(),
        wishes=NO_WISHES,
        limits=NO_LIMITS,
        account_id="acct_1",
    )
    assert pinned.decision is not None
    assert pinned.decision.candidates[0].input == 1
    for _ in range(3):
        table.health.insist(passed_on).failed()
    assert table.order("cheapest") == ["b", "router"]
    unpinned = table.plan().decision
    assert unpinned is not None
    assert unpinned.candidates[0] == Candidate(provider="router")


def test_the_fastest_goes_first_and_the_unmeasured_come_after_the_measured():
    table = abc()
    table.answers("b", speed=50)
    assert table.order() == ["b", "a", "c"]
    table.answers("c", speed=80)
    assert table.order() == ["c", "b", "a"]
    table.answers("a", speed=60)
    assert table.order() == ["c", "a", "b"]


def test_among_equally_fast_ones_the_earlier_first_token_wins():
    table = abc()
    table.answers("a", speed=50, first_s=0.4)
    table.answers("b", speed=50, first_s=0.2)
    assert table.order() == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("cheapest_by", "order"), [("blend", ["p", "q", "r", "u"]), ("output", ["r", "q", "p", "u"])]
)
def test_cheapest_weighs_three_prompt_tokens_to_one_completion_token_or_the_completion_alone(
    cheapest_by, order
):
    # By hand: 3 × 1 + 10 = 13, 3 × 4 + 2 = 14, 3 × 5 + 1 = 16.
    table = Table(
        deployment("u"),
        deployment("r", price=(5, 1)),
        deployment("q", price=(4, 2)),
        deployment("p", price=(1, 10)),
        cheapest_by=cheapest_by,
    )
    table.answers("u", speed=1000)
    assert table.order("cheapest") == table.order(sort="price") == order


def test_sort_overrules_the_policy_and_order_overrules_both():
    table = abc()
    table.answers("a", speed=50, first_s=0.1)
    table.answers("b", speed=100, first_s=0.5)
    assert table.order(sort="throughput") == ["b", "a", "c"]
    assert table.order("cheapest", sort="latency") == ["a", "b", "c"]
    assert table.order(sort="throughput", order=["c"]) == ["c", "b", "a"]
    assert table.order(sort="throughput", allow_fallbacks=False) == ["b"]


def test_a_wished_order_is_recorded_without_names_that_nobody_has():
    decision = abc().plan(order=["my secret", "c", "c", "b"]).decision
    assert decision is not None
    assert (decision.order, decision.plan) == (("c", "b"), ("c", "b", "a"))


@pytest.mark.parametrize("suffix", ["preferred", "local"])
def test_speed_does_not_disturb_an_order_that_was_asked_for(suffix):
    table = abc(draws=lambda: 0.0)
    table.answers("c", speed=500)
    plan = table.plan(suffix)
    assert plan.decision is not None
    assert (plan.decision.plan, plan.decision.draw) == (("a", "b", "c"), None)


# ----------------------------------------------------------------------------------------- exploring


@pytest.mark.parametrize(
    ("draw", "order"),
    [
        (0.0, ["b", "a", "c"]),
        (0.0249, ["b", "a", "c"]),
        (0.0251, ["c", "a", "b"]),
        (0.0499, ["c", "a", "b"]),
        (0.05, ["a", "b", "c"]),
        (0.9, ["a", "b", "c"]),
    ],
)
def test_below_the_share_the_draw_says_who_is_measured(draw, order):
    table = abc(draws=lambda: draw)
    assert table.order() == order
    assert table.order("fastest") == order
    assert table.order(sort="latency") == order


def test_one_request_in_twenty_explores_and_each_of_the_others_has_its_share():
    table = abc(draws=random.Random(7).random)
    first = [table.order()[0] for _ in range(2000)]
    assert 60 < 2000 - first.count("a") < 140
    assert 25 < first.count("b") < 75


def test_nobody_explores_where_the_share_is_nothing_or_one_deployment_is_left():
    assert abc(draws=lambda: 0.0, explore=0.0).order() == ["a", "b", "c"]
    alone = Table(deployment("a"), draws=lambda: 0.0)
    assert alone.order() == ["a"]
    cooling = Table(deployment("a"), deployment("b"), draws=lambda: 0.0)
    cooling.fails("b")
    assert cooling.order() == ["a"]


def run(table, speeds, requests):
    """Sends requests one after the other; returns who answered each, at the speeds that hold."""
    asked = []
    for _ in range(requests):
        first = table.order()[0]
        table.answers(first, speed=speeds[first])
        asked.append(first)
    return asked


@pytest.mark.parametrize("seed", range(5))
def test_fastest_leaves_a_provider_that_becomes_slow_and_returns_after_it_recovers(seed):
    table = Table(deployment("a"), deployment("b"), draws=random.Random(seed).random)
    assert run(table, {"a": 200, "b": 100}, 100)[-20:].count("a") >= 15
    slow = run(table, {"a": 10, "b": 100}, 40)
    assert slow[20:].count("b") >= 15
    again = run(table, {"a": 200, "b": 100}, 600)
    assert again[-20:].count("a") >= 15


@pytest.mark.parametrize("rival", ["measured", "unmeasured"])
def test_without_exploring_too_a_provider_that_becomes_slow_is_left(rival):
    table = Table(deployment("a"), deployment("b"), explore=0.0)
    run(table, {"a": 200}, 50)
    if rival == "measured":
        table.answers("b", speed=100)
    assert run(table, {"a": 10, "b": 100}, 20)[5:] == ["b"] * 15


def test_an_unmeasured_deployment_goes_before_one_that_slowed_and_after_the_others():
    table = abc()
    for provider, speed in [("a", 200), ("c", 150), ("a", 10), ("a", 10), ("a", 10), ("a", 10)]:
        table.answers(provider, speed=speed)
    assert table.order() == ["c", "b", "a"]


# ------------------------------------------------------------------------------------------- sticky

TALK = [*ASK, {"role": "assistant", "content": "hello"}, {"role": "user", "content": "and?"}]


def test_a_conversation_stays_on_its_provider():
    table = abc(draws=lambda: 1.0)
    table.chooser.answered(table.plan(), table.of("b"))
    table.answers("c", speed=500)
    assert table.order(asked=request(messages=TALK)) == ["b", "c", "a"]
    assert table.order() == ["c", "a", "b"]


def test_a_conversation_is_no_place_to_explore():
    table = abc(draws=lambda: 1.0)
    table.chooser.answered(table.plan(), table.of("a"))
    table.chooser._draw = lambda: 0.0
    plan = table.plan(asked=request(messages=TALK))
    assert plan.decision is not None
    assert (plan.decision.plan[0], plan.decision.draw) == ("a", None)


def test_what_begins_under_a_shared_prompt_cache_key_may_explore_and_what_goes_on_may_not():
    table = abc()
    table.chooser.answered(table.plan(asked=request(prompt_cache_key="k")), table.of("a"))
    table.chooser._draw = lambda: 0.0
    plan = table.plan(asked=request(prompt_cache_key="k"))
    assert plan.decision is not None
    assert (plan.decision.plan[0], plan.decision.sticky) == ("b", "a")
    table.chooser.answered(plan, table.of("b"))  # it was only measured, and is not kept to
    assert table.order(asked=request(prompt_cache_key="k", messages=TALK)) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("speed", "first"), [(101, "a"), (99, "b")], ids=["a third as fast", "slower still"]
)
def test_a_conversation_leaves_whoever_is_far_slower_than_another(speed, first):
    table = abc()
    table.chooser.answered(table.plan(), table.of("a"))
    table.answers("a", speed=speed)
    table.answers("b", speed=300)
    assert table.order(asked=request(messages=TALK))[0] == first


@pytest.mark.parametrize(("first_s", "first"), [(0.29, "a"), (0.31, "b")])
def test_sorted_by_latency_a_conversation_leaves_whoever_begins_far_later(first_s, first):
    table = abc()
    table.chooser.answered(table.plan(), table.of("a"))
    table.answers("a", first_s=first_s)
    table.answers("b", first_s=0.1)
    assert table.order(asked=request(messages=TALK), sort="latency")[0] == first


def test_who_was_only_explored_does_not_keep_the_conversation():
    table = abc(draws=lambda: 0.0)
    table.chooser.answered(table.plan(), table.of("b"))
    table.chooser._draw = lambda: 1.0
    assert table.order(asked=request(messages=TALK)) == ["a", "b", "c"]


def test_a_conversation_leaves_a_provider_that_cools_down_and_stays_where_it_went():
    table = abc()
    table.chooser.answered(table.plan(), table.of("b"))
    table.fails("b")
    talk = request(messages=TALK)
    plan = table.plan(asked=talk)
    assert [one.provider for one in plan.deployments] == ["a", "c"]
    table.chooser.answered(plan, table.of("c"))
    table.now += 60
    assert table.order(asked=talk) == ["c", "a", "b"]


def test_a_prompt_cache_key_keeps_requests_together_from_the_first():
    table = abc()
    asked = request(prompt_cache_key="k")
    table.chooser.answered(table.plan(asked=asked), table.of("c"))
    assert table.order(asked=asked) == ["c", "a", "b"]
    assert table.order(asked=request(prompt_cache_key="l")) == ["a", "b", "c"]


@pytest.mark.parametrize("suffix", ["cheapest", "preferred"])
def test_a_conversation_does_not_overrule_prices_and_preferences(suffix):
    table = Table(deployment("a", price=(1, 1)), deployment("b", price=(2, 2)))
    table.chooser.answered(table.plan(), table.of("b"))
    assert table.order(suffix, asked=request(messages=TALK)) == ["a", "b"]


# --------------------------------------------------------------------------------------- cooling down


def test_who_cools_down_is_not_in_the_plan_and_is_back_afterwards():
    table = abc()
    table.fails("a")
    plan = table.plan()
    assert plan.decision is not None
    assert plan.decision.plan == ("b", "c")
    assert plan.decision.candidates[0] == Candidate(provider="a", failures=3, cooling_s=2.0)
    table.now += 2.0
    assert table.order() == ["a", "b", "c"]


def test_a_pinned_deployment_is_in_the_plan_although_it_cools_down():
    table = Table(deployment("a"))
    table.fails("a")
    assert table.order("a") == ["a"]
    assert table.order() == []


# -------------------------------------------------------------------------------------------- filters


@pytest.mark.parametrize(
    ("abilities", "fields", "why"),
    [
        ({"tools": False}, {"tools": TOOLS}, "does not call tools"),
        ({"vision": False}, {"messages": IMAGE}, "does not see images"),
    ],
)
def test_a_deployment_that_lacks_what_is_needed_is_left_out(abilities, fields, why):
    table = Table(deployment("a", **abilities), deployment("b"))
    plan = table.plan(asked=request(**fields))
    assert plan.decision is not None
    assert plan.decision.plan == ("b",)
    assert [one.removed for one in plan.decision.candidates] == [why, None]
    assert table.order() == ["a", "b"]
    assert table.order("a", asked=request(**fields)) == ["a", "b"]  # pinned: it may say so itself


@pytest.mark.parametrize(
    ("abilities", "fields", "why"),
    [
        (
            {"structured": False},
            {"response_format": SCHEMA},
            "would emulate 'response_format: json_schema'",
        ),
        (
            {"structured_with_tools": False},
            {"tools": TOOLS, "response_format": SCHEMA},
            "would emulate 'response_format with tools'",
        ),
        (
            {"efforts": ("low",)},
            {"reasoning_effort": "high"},
            "would emulate 'reasoning_effort: high'",
        ),
        (
            {"efforts": ("low",)},
            {"reasoning": {"effort": "high"}},
            "would emulate 'reasoning_effort: high'",
        ),
    ],
)
def test_a_deployment_that_would_emulate_what_is_asked_is_asked_last(abilities, fields, why):
    table = Table(deployment("a", **abilities), deployment("b"), deployment("c"), draws=lambda: 0.0)
    table.answers("a", speed=500)
    table.answers("b", speed=5)
    plan = table.plan(asked=request(**fields))
    assert plan.decision is not None
    assert plan.decision.plan == ("c", "b", "a")  # c to be measured
    assert [one.deferred for one in plan.decision.candidates] == [why, None, None]
    assert table.order(asked=request(**fields), order=["a"]) == ["b", "c", "a"]
    assert table.order(asked=request(**fields), allow_fallbacks=False) == ["c"]
    table.fails("b")
    table.fails("c")
    assert table.order(asked=request(**fields)) == ["a"]


def test_where_all_would_emulate_it_they_stand_as_always():
    table = Table(*(deployment(name, structured=False) for name in "abc"), draws=lambda: 0.0)
    table.answers("b", speed=50)
    assert table.order(asked=request(response_format=SCHEMA)) == ["a", "b", "c"]


def test_nobody_is_measured_by_a_request_that_only_one_takes_as_it_is():
    table = Table(deployment("a", structured=False), deployment("b"), draws=lambda: 0.0)
    decision = table.plan(asked=request(response_format=SCHEMA)).decision
    assert decision is not None
    assert (decision.plan, decision.draw) == (("b", "a"), None)


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": []},
        {"tools": TOOLS, "tool_choice": "none"},
        {"response_format": {"type": "text"}},
        {"messages": [{"role": "user", "content": 'what is an "image_url"?'}]},
    ],
)
def test_what_needs_nothing_leaves_nobody_out(fields):
    able = {"tools": False, "structured": False, "structured_with_tools": False, "vision": False}
    assert Table(deployment("a", **able)).order(asked=request(**fields)) == ["a"]


def test_if_nobody_can_serve_it_what_removed_each_is_said():
    table = Table(deployment("a", tools=False), deployment("b", vision=False))
    asked = request(messages=IMAGE, tools=TOOLS)
    with pytest.raises(NoMatchingProvider) as caught:
        table.plan(asked=asked)
    assert (caught.value.code, caught.value.param) == ("no_matching_provider", "model")
    assert caught.value.message == (
        "the filters leave nobody to ask for 'm': a (does not call tools), b (does not see images)"
    )


def test_whoever_requires_its_parameters_is_answered_by_nobody_who_would_emulate_one():
    table = Table(deployment("a", structured=False), deployment("b"))
    asked = request(response_format=SCHEMA)
    assert table.order(asked=asked, require_parameters=True) == ["b"]
    alone = Table(deployment("a", structured=False))
    assert alone.order(asked=asked) == ["a"]
    assert alone.order(asked=request(), require_parameters=True) == ["a"]
    for suffix in (None, "a"):
        with pytest.raises(InvalidRequest, match="would emulate 'response_format") as caught:
            alone.order(suffix, asked=asked, require_parameters=True)
        assert (caught.value.code, caught.value.param) == ("no_matching_provider", "provider")


def test_whoever_is_alone_is_asked_and_says_by_itself_what_it_lacks():
    assert Table(deployment("a", vision=False)).order(asked=request(messages=IMAGE)) == ["a"]


def test_a_parameter_that_nobody_takes_is_refused_by_name():
    quirks = Quirks(unsupported=("logit_bias", "seed"))
    lacking = [
        msgspec.structs.replace(deployment(name), support=support_of(quirks)) for name in "ab"
    ]
    asked = request(logit_bias={"1": 1}, seed=1)
    with pytest.raises(InvalidRequest, match="nobody who offers the model takes") as caught:
        Table(*lacking).plan(asked=asked)
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "logit_bias")
    assert Table(*lacking, deployment("c")).order(asked=asked) == ["c"]
    assert Table(*lacking).order(asked=asked, lenient=True) == ["a", "b"]
    assert Table(*lacking, deployment("c")).order(asked=asked, lenient=True) == ["c", "a", "b"]


# Each of these is the first filter that leaves its candidate out.
def test_every_filter_that_left_nobody_is_named_and_recorded():
    table = Table(
        deployment("denied", price=(1, 1)),
        deployment("dear", price=(9, 1)),
        deployment("unpriced"),
        deployment("ignored", price=(1, 1)),
        deployment("unable", price=(1, 1), tools=False),
    )
    limits = Limits(deny_providers=("denied",), max_input=5)
    with pytest.raises(NoMatchingProvider) as caught:
        table.plan(asked=request(tools=TOOLS), limits=limits, ignore=["ignored", "denied"])
    removed = {
        "denied": "in the key's denied providers",
        "dear": "above the key's maximum price",
        "unpriced": "without a list price, and the key has a maximum",
        "ignored": "in provider.ignore",
        "unable": "does not call tools",
    }
    each = ", ".join(f"{provider} ({why})" for provider, why in removed.items())
    assert caught.value.message == f"the filters leave nobody to ask for 'm': {each}"
    assert caught.value.param == "provider"
    decision = caught.value.decision
    assert {one.provider: one.removed for one in decision.candidates} == removed
    assert (decision.plan, replay(decision)) == ((), ())


@pytest.mark.parametrize(
    ("limits", "order"),
    [
        (Limits(), ["a", "b", "c"]),
        (Limits(models=("m",)), ["a", "b", "c"]),
        (Limits(models=("o/*", "m*")), ["a", "b", "c"]),
        (Limits(models=("o/*",)), []),
        (Limits(models=("*",), deny_models=("m",)), []),
        (Limits(providers=("c", "b")), ["b", "c"]),
        (Limits(deny_providers=("b",)), ["a", "c"]),
        (Limits(providers=("a", "b"), deny_providers=("b",)), ["a"]),
        (Limits(max_input=2), ["a", "b"]),
        (Limits(max_output=2), ["b", "c"]),
        (Limits(max_input=2, max_output=2), ["b"]),
    ],
)
@pytest.mark.parametrize("suffix", [None, "cheapest", "preferred"])
def test_a_keys_limits_leave_out_models_providers_and_prices(suffix, limits, order):
    prices = {"a": (1, 3), "b": (2, 2), "c": (3, 1)}
    table = Table(*(deployment(name, price=price) for name, price in prices.items()))
    if order:
        ordered = sorted(order, key=lambda n: 3 * prices[n][0] + prices[n][1])
        assert table.order(suffix, limits=limits) == (ordered if suffix == "cheapest" else order)
        return
    with pytest.raises(NoMatchingProvider):
        table.plan(suffix, limits=limits)


def test_a_keys_limits_hold_for_a_pinned_provider_and_for_one_behind_a_router():
    table = Table(msgspec.structs.replace(deployment("router"), behind=("behind",)))
    assert table.order("router", limits=Limits(providers=("router",))) == ["router"]
    assert table.order("behind", limits=Limits(providers=("router",))) == ["router"]
    for suffix, limits, why in [
        ("router", Limits(providers=("other",)), "not in the key's providers"),
        (
            "behind",
            Limits(deny_providers=("beh*",)),
            "passes it on to behind, which the key denies",
        ),
        ("behind", Limits(providers=("behind",)), "not in the key's providers"),
    ]:
        with pytest.raises(NoMatchingProvider, match=why):
            table.plan(suffix, limits=limits)


def test_a_router_that_may_choose_whom_the_key_denies_is_left_out():
    router = msgspec.structs.replace(deployment("router"), behind=("a", "b"))
    table = Table(router, deployment("c"))
    assert table.order(limits=Limits(deny_providers=("b",))) == ["c"]
    assert table.order(limits=Limits(deny_providers=("d",))) == ["router", "c"]
    with pytest.raises(NoMatchingProvider, match="may pass it on to b, which the key denies"):
        table.plan(limits=Limits(deny_providers=("b", "c")))


def test_an_id_that_callers_make_up_may_be_a_denied_model():
    table = Table(msgspec.structs.replace(deployment("a"), listed=False))
    assert table.order("a", limits=Limits(models=("m",))) == ["a"]
    with pytest.raises(
        NoMatchingProvider, match="not in the catalog, and the key has denied models"
    ):
        table.plan("a", limits=Limits(deny_models=("other",)))


def test_required_parameters_leave_out_whoever_would_only_come_near_them():
    table = Table(deployment("a", efforts=("low",)), deployment("b", context=10))
    hard = request(reasoning_effort="high", max_tokens=20)
    assert table.order(asked=hard) == ["a"]
    with pytest.raises(
        NoMatchingProvider, match=r"a \(would emulate 'reasoning_effort: high'\), b \("
    ):
        table.plan(asked=hard, require_parameters=True)
    with pytest.raises(NoMatchingProvider):
        table.plan("a", asked=hard, require_parameters=True)
    assert table.order(asked=request(reasoning_effort="low"), require_parameters=True) == ["a", "b"]


def test_a_long_answer_goes_to_whoever_gives_one():
    short = msgspec.structs.replace(deployment("a", context=1000), max_output=100)
    table = Table(short, deployment("b"))
    assert table.order(asked=request(max_tokens=101)) == ["b"]
    assert table.order(asked=request(max_tokens=100)) == ["a", "b"]
    assert Table(short).order(asked=request(max_completion_tokens=101)) == ["a"]


def test_a_long_prompt_goes_to_a_large_context_and_if_there_is_none_to_whoever_says_so():
    long = request(messages=[{"role": "user", "content": "x" * 60_000}])
    small, large = deployment("a", context=8192), deployment("b", context=131_072)
    assert Table(small, large).order(asked=long) == ["b"]
    assert Table(small, large).order() == ["a", "b"]
    assert Table(small).order(asked=long) == ["a"]
    most = request(max_tokens=100_000)
    assert Table(small, large).order(asked=most) == ["b"]


# -------------------------------------------------------------------------------------------- replay


def random_table(dice):
    names = dice.sample("abcdefgh", dice.randint(1, 8))
    offers = [
        deployment(
            name,
            price=(dice.randint(0, 9), dice.randint(0, 9)) if dice.random() < 0.7 else None,
            context=dice.choice([None, 10, 100_000]),
            tools=dice.choice([None, True, False]),
        )
        for name in names
    ]
    table = Table(
        *offers,
        draws=dice.random,
        explore=dice.choice([0.0, 0.05, 0.5, 1.0]),
        cheapest_by=dice.choice(["blend", "output"]),
    )
    for name in names:
        for _ in range(dice.randint(0, 3)):
            table.answers(name, speed=dice.choice([None, *range(1, 500)]), first_s=dice.random())
        if dice.random() < 0.3:
            table.fails(name, dice.randint(1, 5), retry_after_s=dice.choice([None, 7.0]))
    return table, names


@pytest.mark.parametrize("seed", range(120))
def test_a_receipt_replays_to_the_same_choice(seed):
    dice = random.Random(seed)
    table, names = random_table(dice)
    talk = request(messages=TALK, **({"tools": TOOLS} if dice.random() < 0.2 else {}))
    if dice.random() < 0.5:
        table.chooser.answered(table.plan(), table.of(dice.choice(names)))
    suffix = dice.choice([None, "fastest", "cheapest", "preferred", "local", names[0]])
    wishes = {
        "order": dice.choice([None, dice.sample(names, dice.randint(1, len(names)))]),
        "sort": dice.choice([None, "price", "throughput", "latency"]),
        "allow_fallbacks": dice.choice([None, False]),
        "ignore": dice.choice([None, names[1:2]]),
    }
    try:
        plan = table.plan(suffix, talk, **wishes)
    except NoMatchingProvider as refused:
        stored = msgspec.json.decode(msgspec.json.encode(refused.decision), type=Decision)
        assert all(one.removed for one in stored.candidates)
        assert replay(stored) == stored.plan == ()
        return
    stored = msgspec.json.decode(msgspec.json.encode(plan.decision), type=Decision)
    assert stored == plan.decision
    assert replay(stored) == stored.plan == tuple(one.provider for one in plan.deployments)


def test_a_changed_input_changes_the_replayed_choice():
    table = abc(draws=lambda: 0.0)
    decision = table.plan().decision
    assert decision is not None
    assert replay(decision) == ("b", "a", "c")
    assert replay(msgspec.structs.replace(decision, draw=0.9)) == ("a", "b", "c")
    assert replay(msgspec.structs.replace(decision, draw=None, sticky="c")) == ("c", "a", "b")
