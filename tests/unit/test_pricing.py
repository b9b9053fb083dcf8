"""Prices: exact to the nano-dollar, rounded once."""

import doctest
from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.accounts import Price, Usage, cost, pricing, usd

amounts = st.integers(0, 10**15)
tokens = st.integers(0, 10**9)
prices = st.builds(Price, input=amounts, output=amounts, cached_input=st.none() | amounts)
usages = st.builds(Usage, prompt_tokens=tokens, completion_tokens=tokens, cached_tokens=tokens)


@pytest.mark.parametrize(
    ("usage", "price", "nano"),
    [
        # 0.10 USD and 0.50 USD per 1M
        ((1_000_000, 0, 0), (100_000_000, 500_000_000, None), 100_000_000),
        ((1_234, 567, 0), (100_000_000, 500_000_000, None), 406_900),
        ((1_000, 0, 400), (100_000_000, 0, 25_000_000), 70_000),
        ((1_000, 0, 400), (100_000_000, 0, None), 100_000),
        ((1, 0, 0), (1, 1, None), 1),
        ((0, 0, 0), (10**12, 10**12, None), 0),
        ((10, 10, 0), (0, 0, None), 0),
        # an upstream's nonsense
        ((10, 0, 50), (1_000_000, 0, 0), 0),
        ((-5, -7, -9), (1_000_000, 1_000_000, None), 0),
    ],
)
def test_a_request_costs_its_tokens(usage, price, nano):
    prompt, completion, cached = usage
    used = Usage(prompt_tokens=prompt, completion_tokens=completion, cached_tokens=cached)
    assert cost(used, Price(input=price[0], output=price[1], cached_input=price[2])) == nano


@given(usages, prices)
def test_the_cost_is_the_exact_sum_rounded_up_once(usage, price):
    cached = min(usage.cached_tokens, usage.prompt_tokens)
    cached_price = price.input if price.cached_input is None else price.cached_input
    exact = (
        Fraction(price.input, 10**6) * (usage.prompt_tokens - cached)
        + Fraction(cached_price, 10**6) * cached
        + Fraction(price.output, 10**6) * usage.completion_tokens
    )
    assert cost(usage, price) == ceil(exact)


@given(usages, prices, st.integers(0, 1000))
def test_more_tokens_never_cost_less(usage, price, more):
    longer = Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens + more,
        cached_tokens=usage.cached_tokens,
    )
    assert cost(longer, price) >= cost(usage, price)


@given(st.integers(-(10**24), 10**24))
def test_dollars_are_written_exactly_and_plainly(nano):
    text = usd(nano)
    assert Decimal(text) * 10**9 == nano
    assert set(text) <= set("-0123456789.")
    assert not text.endswith(".")
    assert "." not in text or not text.endswith("0")


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "0"),
        (1, "0.000000001"),
        (10**9, "1"),
        (1_500_000_000, "1.5"),
        (-1, "-0.000000001"),
        (10**10, "10"),
    ],
)
def test_dollars_read_as_people_write_them(nano, text):
    assert usd(nano) == text


def test_the_examples_in_the_documentation_hold():
    assert doctest.testmod(pricing) == doctest.TestResults(failed=0, attempted=2)
