"""What a request costs. Money is an integer of nano-dollars (10⁻⁹ USD); no float comes near it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

_TOKENS = 1_000_000  # that a price is for
_NANO_DIGITS = 9


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """Nano-dollars per 1M tokens. Where ``cached_input`` is None, cached tokens cost as others do."""

    input: int
    output: int
    cached_input: int | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one request. ``cached_tokens`` are part of ``prompt_tokens``."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


def cost(usage: Usage, price: Price) -> int:
    """Returns nano-dollars, rounded once, up.

    An upstream's usage is not trusted to make sense: negative counts cost nothing, and no more than
    the prompt can have been cached.

    >>> cost(Usage(prompt_tokens=1000, completion_tokens=1), Price(input=1_000, output=1_000_000))
    2
    """
    return total_cost([(usage, price)])


def total_cost(bills: Iterable[tuple[Usage, Price]]) -> int:
    """Returns what several model calls cost together, rounded once, up."""
    return -(-sum(_exact(usage, price) for usage, price in bills) // _TOKENS)


def _exact(usage: Usage, price: Price) -> int:
    """In millionths of a nano-dollar."""
    prompt = max(usage.prompt_tokens, 0)
    cached = min(max(usage.cached_tokens, 0), prompt)
    completion = max(usage.completion_tokens, 0)
    cached_price = price.input if price.cached_input is None else price.cached_input
    return (prompt - cached) * price.input + cached * cached_price + completion * price.output


def usd(nano: int) -> str:
    """Returns an amount in dollars as a plain decimal: no exponent, no zeros at the end.

    >>> usd(123_000), usd(2_500_000_000), usd(0)
    ('0.000123', '2.5', '0')
    """
    digits = str(abs(nano)).rjust(_NANO_DIGITS + 1, "0")
    amount = f"{digits[:-_NANO_DIGITS]}.{digits[-_NANO_DIGITS:]}".rstrip("0").rstrip(".")
    return f"-{amount}" if nano < 0 else amount
