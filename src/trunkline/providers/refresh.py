"""What a provider's list changes in the catalogue: pure decisions, and nothing absurd believed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from trunkline.config import ModelSettings, ProviderSettings, known
from trunkline.config.refreshed import Facts, Refreshed, over, source_of
from trunkline.providers.prices import Entry, Said

FACTS = Facts.__struct_fields__
PRICES = ("input", "cached_input", "output")

_NANO = 1_000_000_000
_MOST_USD = 1_000_000  # per 1M tokens, as in the configuration
_MOST_TOKENS = 1_000_000_000
_JUMP = 1000  # nobody's price or context changes so far: a unit was mistaken, by them or by us


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A fact that is new. ``configured`` is what the configuration says instead, which holds."""

    provider: str
    model: str
    fact: str
    before: int | None
    now: int
    configured: int | None = None


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A fact that was not believed, and why."""

    provider: str
    model: str
    fact: str
    said: str
    why: str


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one provider's list. ``gone`` are models that it does not name any more."""

    refreshed: Refreshed
    changes: Sequence[Change]
    refused: Sequence[Refusal]
    gone: Sequence[str]


def merged(
    name: str,
    provider: ProviderSettings,
    listed: Sequence[Entry],
    before: Refreshed | None,
    *,
    at: datetime,
) -> Merged:
    """Merges what a provider lists now with what it said before; only its known models count."""
    if before is not None and not before.of(provider.base_url):
        before = None
    by_id = {entry.id: entry for entry in listed}
    models: dict[str, Facts] = {}
    through: dict[str, dict[str, Facts]] = {}
    changes: list[Change] = []
    refused: list[Refusal] = []
    gone: list[str] = []

    def keep(of: str, model: str, said: Said, base: ModelSettings, old: Facts | None) -> Facts:
        facts, not_believed = _believed(said, over(base, old), old or Facts())
        refused.extend(
            Refusal(provider=of, model=model, fact=fact, said=text, why=why)
            for fact, text, why in not_believed
        )
        changes.extend(_changes(of, model, facts, over(base, old)))
        return facts

    for model, settings in provider.models.items():
        old = before.models.get(model) if before else None
        entry = by_id.get(settings.id or model)
        if entry is None:
            gone.append(model)
        base = _shipped(name, model)
        facts = keep(name, model, entry.said if entry else {}, base, old)
        if facts != Facts():
            models[model] = facts
        for slug, said in entry.through.items() if entry else ():
            earlier = before.through.get(slug, {}).get(model) if before else None
            behind = keep(f"{name}:{slug}", model, said, _shipped(slug, model), earlier)
            through.setdefault(slug, {})[model] = behind
    return Merged(
        refreshed=Refreshed(
            at=at, source=source_of(provider.base_url), models=models, through=through
        ),
        changes=tuple(_with_configured(name, provider, changes, before)),
        refused=refused,
        gone=gone,
    )


def _believed(
    said: Said, before: ModelSettings, old: Facts
) -> tuple[Facts, list[tuple[str, str, str]]]:
    """Returns the facts that hold now, and (fact, what was said, why not) of those not believed."""
    holds = msgspec.structs.asdict(old)
    not_believed = []
    for fact, number in said.items():
        value, why = _checked(fact, number, getattr(before, fact))
        if why:
            not_believed.append((fact, f"{number.normalize():f}", why))
        else:
            holds[fact] = value
    return Facts(**holds), not_believed


def _checked(fact: str, number: Decimal, before: int | None) -> tuple[int, str]:
    """Returns a price in nano-dollars or a count, and why it is absurd if it is."""
    price = fact in PRICES
    most = _MOST_USD if price else _MOST_TOKENS
    if not 0 <= number <= most:
        return 0, "it is negative" if number < 0 else f"it is more than {most}"
    value = round(number * _NANO) if price else int(number)
    if value == 0 and before != 0:
        return 0, "it is 0"
    if not price and value != number:
        return 0, "it is not a whole number"
    if before and (value >= before * _JUMP or before >= value * _JUMP):
        return 0, f"it is {_JUMP} times {'more' if value > before else 'less'} than before"
    return value, ""


def _changes(of: str, model: str, facts: Facts, before: ModelSettings) -> Iterator[Change]:
    for fact in FACTS:
        was, now = getattr(before, fact), getattr(facts, fact)
        if now is not None and now != was:
            yield Change(provider=of, model=model, fact=fact, before=was, now=now)


def _with_configured(
    name: str, provider: ProviderSettings, changes: Sequence[Change], before: Refreshed | None
) -> Iterator[Change]:
    """Notes where the configuration says otherwise: what it says is neither shipped nor refreshed."""
    for change in changes:
        settings = provider.models[change.model]
        old = before.models.get(change.model) if before else None
        catalogue = over(_shipped(name, change.model), old)
        here = getattr(settings, change.fact)
        if change.provider == name and here != getattr(catalogue, change.fact):
            yield msgspec.structs.replace(change, configured=here)
        else:
            yield change


def _shipped(provider: str, model: str) -> ModelSettings:
    offer = known.offers(provider).get(model)
    return offer.settings if offer else ModelSettings()
