"""What a key may use: which of its limits leaves a model at a provider out."""

from __future__ import annotations

from collections.abc import Collection
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
    behind: Collection[str] = (),
    listed: bool = True,
) -> str | None:
    """Returns which of a key's limits leaves a model at a provider out, None if none does.

    ``behind`` are those to whom the provider may pass the request on, if it is a router. What is not
    known may be beyond the limits, and so is left out: a price, and, unless it is ``listed`` in the
    catalog, which model an id means.

    >>> objection(Limits(providers=("local",)), model="openai/gpt-oss-20b", provider="groq")
    "not in the key's providers"
    """
    return (
        _listed("models", model, limits.models, limits.deny_models)
        or _unlisted(limits, listed)
        or _listed("providers", provider, limits.providers, limits.deny_providers)
        or _passed_on(limits, behind)
        or _priced(limits, price)
    )


def _listed(what: str, name: str, allowed: tuple[str, ...], denied: tuple[str, ...]) -> str | None:
    if allowed and not _matches(name, allowed):
        return f"not in the key's {what}"
    if denied and _matches(name, denied):
        return f"in the key's denied {what}"
    return None


def _unlisted(limits: Limits, listed: bool) -> str | None:
    if listed or not limits.deny_models:
        return None
    return "not in the catalog, and the key has denied models"


def _passed_on(limits: Limits, behind: Collection[str]) -> str | None:
    if not limits.deny_providers or not behind:
        return None
    denied = [name for name in behind if _matches(name, limits.deny_providers)]
    if not denied:
        return None
    sure = len(behind) == 1
    return f"{'passes' if sure else 'may pass'} it on to {denied[0]}, which the key denies"


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
