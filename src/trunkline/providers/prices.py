"""What providers' lists of models say of prices and contexts. Pure: bytes in, facts out.

There is no standard for it. Each field below was seen at a provider; its name tells the unit:
``pricing.input`` is USD per 1M tokens (Hugging Face asks that of its partners; Together), ``pricing.prompt`` is USD
per token (OpenRouter, SambaNova, Baseten), DeepInfra keeps both in ``metadata``, and Novita counts in
ten-thousandths of a dollar.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

Said = Mapping[str, Decimal]
"""Facts by the names of `trunkline.config.refreshed.Facts`: prices in USD per 1M tokens, or tokens."""

_PER_TOKEN = Decimal(1_000_000)
_NOVITA = Decimal("0.0001")
_AS_IT_IS = Decimal(1)
_MOST_DIGITS = (
    30  # before or behind the point: what has more is no price, and costs memory to write out
)

_FIELDS: Mapping[str, tuple[tuple[str, Decimal], ...]] = {
    "input": (
        ("pricing.input", _AS_IT_IS),
        ("metadata.pricing.input_tokens", _AS_IT_IS),
        ("pricing.prompt", _PER_TOKEN),
        ("input_token_price_per_m", _NOVITA),
    ),
    "cached_input": (
        ("pricing.cached_input", _AS_IT_IS),
        ("metadata.pricing.cache_read_tokens", _AS_IT_IS),
        ("pricing.input_cache_read", _PER_TOKEN),
    ),
    "output": (
        ("pricing.output", _AS_IT_IS),
        ("metadata.pricing.output_tokens", _AS_IT_IS),
        ("pricing.completion", _PER_TOKEN),
        ("output_token_price_per_m", _NOVITA),
    ),
    "context": tuple(
        (name, _AS_IT_IS)
        for name in (
            "context_length",
            "context_window",  # Groq
            "context_size",  # Novita
            "max_model_len",  # vLLM, SGLang
            "metadata.context_length",  # DeepInfra
        )
    ),
    "max_output": tuple(
        (name, _AS_IT_IS)
        for name in (
            "max_completion_tokens",
            "max_output_tokens",
            "top_provider.max_completion_tokens",  # OpenRouter
            "metadata.max_tokens",  # DeepInfra
        )
    ),
}

_decode = msgspec.json.Decoder(float_hook=Decimal).decode


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A model in a provider's list; ``through`` is what a router says of each provider behind it."""

    id: str
    said: Said
    through: Mapping[str, Said]


def entries(body: bytes) -> tuple[Entry, ...]:
    """Reads OpenAI's list, or the bare list that some providers answer with.

    Raises ValueError if it is neither.
    """
    try:
        document: Any = _decode(body)
        listed = document["data"] if isinstance(document, dict) else document
        return tuple(_entry(one) for one in listed)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError) as error:
        raise ValueError("answered with something that is not a list of models") from error


def _entry(one: Any) -> Entry:
    behind = one.get("providers") if isinstance(one, dict) else None
    return Entry(
        id=str(one["id"]),
        said=_said(one),
        through={
            str(provider["provider"]): said
            for provider in (behind if isinstance(behind, list) else ())
            if isinstance(provider, dict) and "provider" in provider and (said := _said(provider))
        },
    )


def _said(one: Any) -> Said:
    said = {}
    for fact, fields in _FIELDS.items():
        found = ((_at(one, path), unit) for path, unit in fields)
        number, unit = next(((n, u) for n, u in found if n is not None), (None, _AS_IT_IS))
        if number is not None:
            said[fact] = number * unit
    return said


def _at(one: Any, path: str) -> Decimal | None:
    """Returns the number at a dotted path; None if there is none."""
    for name in path.split("."):
        one = one.get(name) if isinstance(one, dict) else None
    if isinstance(one, bool) or not isinstance(one, int | str | Decimal):
        return None
    try:
        number = Decimal(one)
    except InvalidOperation:
        return None
    sane = number.is_finite() and abs(number.adjusted()) <= _MOST_DIGITS
    return number if sane or not number else None
