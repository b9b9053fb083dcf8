"""What a key may use: which of its limits leaves a model at a provider out."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache

from trunkline.accounts.pricing import Price
from trunkline.store import Limits


def objection(
    limits: Limits,
    *,
    model: str,
    provider: str,
    price: Price | None = None,
    behind: str | None = None,
) -> str | None:
    """Returns which of a key's limits leaves a model at a provider out, None if none does.

    ``behind`` is whom the provider passes the request on to, if it is a router. A price that is not
    known may be above the most that was set, and so is left out.

    >>> objection(Limits(providers=("local",)), model="openai/gpt-oss-20b", provider="groq")
    "not in the key's providers"
    """
    return (
        _listed("models", model, limits.models, limits.deny_models)
        or _listed("providers", provider, limits.providers, limits.deny_providers)
        or (behind and _listed("providers", behind, (), limits.deny_providers))
        or _priced(limits, price)
    )


def _listed(what: str, name: str, allowed: tuple[str, ...], denied: tuple[str, ...]) -> str | None:
    if allowed and not _matches(name, allowed):
        return f"not in the key's {what}"
    if denied and _matches(name, denied):
        return f"in the key's denied {what}"
    return None


@lru_cache(maxsize=4096)
def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


def _priced(limits: Limits, price: Price | None) -> str | None:
    if limits.max_input is None and limits.max_output is None:
        return None
    if price is None:
        return "without a list price, and the key has a maximum"
    if limits.max_input is not None and price.input > limits.max_input:
        return "above the key's maximum price"
    if limits.max_output is not None and price.output > limits.max_output:
        return "above the key's maximum price"
    return None
