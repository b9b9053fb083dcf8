"""What providers offer, as ``trunkline models`` shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from trunkline.config import ModelSettings, Settings
    from trunkline.config.known import Offer
    from trunkline.config.refreshed import Refreshed

COLUMNS = ("MODEL", "PROVIDER", "INPUT", "CACHED", "OUTPUT", "CONTEXT", "LONGEST REPLY", "CAN")
SOURCED = (*COLUMNS, "AS OF", "FROM")


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """A model at a provider; ``why`` says why that is not in use.

    ``known`` is what is shipped of it, ``live`` what the provider itself said; each has its source.
    """

    model: str
    provider: str
    facts: ModelSettings
    why: str = ""
    known: Offer | None = None
    live: Refreshed | None = None

    def public(self) -> dict[str, Any]:
        """Returns it for programs: prices are decimals of USD per 1M tokens."""
        facts = self.facts
        return {
            "provider": self.provider,
            "active": not self.why,
            "why": self.why,
            "id": facts.id or self.model,
            "input_usd": _usd(facts.input),
            "cached_input_usd": _usd(facts.cached_input),
            "output_usd": _usd(facts.output),
            "context": facts.context,
            "max_output": facts.max_output,
            "tools": facts.tools,
            "structured": facts.structured,
            "structured_with_tools": facts.structured_with_tools,
            "vision": facts.vision,
            "efforts": facts.efforts,
            "deprecated": facts.deprecated,
            "source": self.known.source if self.known else None,
            "checked": self.known.checked if self.known else None,
            "unverified": self._unverified,
            "refreshed": self._refreshed(),
        }

    def row(self) -> tuple[str, ...]:
        """Returns the cells of a table of `COLUMNS`."""
        facts = self.facts
        return (
            self.model,
            self.provider,
            _usd(facts.input) or "–",
            _usd(facts.cached_input) or "–",
            _usd(facts.output) or "–",
            f"{facts.context:,}" if facts.context else "–",
            f"{facts.max_output:,}" if facts.max_output else "–",
            "; ".join([*told(facts), *(["not verified"] if self._unverified else [])]),
        )

    def sourced_row(self) -> tuple[str, ...]:
        """Returns the cells of a table of `SOURCED`."""
        as_of, source = "–", "the configuration"
        if self._live_facts():
            assert self.live is not None
            as_of, source = self.live.at.date().isoformat(), self.live.source
        elif self.known is not None:
            as_of, source = self.known.checked.isoformat(), self.known.source
        return (*self.row(), as_of, source)

    def _refreshed(self) -> dict[str, Any] | None:
        facts = self._live_facts()
        if self.live is None or not facts:
            return None
        return {"at": self.live.at, "source": self.live.source, "facts": facts}

    def _live_facts(self) -> list[str]:
        """Names the facts in force that the provider itself has said."""
        said = self.live.models.get(self.model) if self.live else None
        if said is None:
            return []
        return [
            fact
            for fact in said.__struct_fields__
            if (value := getattr(said, fact)) is not None and getattr(self.facts, fact) == value
        ]

    @property
    def _unverified(self) -> bool:
        return self.known is not None and self.known.unverified


def in_use(settings: Settings) -> list[Offered]:
    """Returns what active providers offer, models together in the order of the configuration."""
    found = [
        Offered(
            model=model,
            provider=name,
            facts=facts,
            known=_known(name, model),
            live=settings.said_by(name),
        )
        for name, provider in settings.providers.items()
        if provider.active
        for model, facts in provider.models.items()
    ]
    order = list(dict.fromkeys(offered.model for offered in found))
    return sorted(found, key=lambda offered: order.index(offered.model))


def offers_of(model: str, settings: Settings) -> list[Offered]:
    """Returns who offers a model or would if it were in use, those in use first."""
    from trunkline.config import known, lacks_key

    configured = [
        Offered(
            model=model,
            provider=name,
            facts=provider.models[model],
            why=provider.why_not(name),
            known=_known(name, model),
            live=settings.said_by(name),
        )
        for name, provider in settings.providers.items()
        if model in provider.models
    ]
    others = [
        Offered(
            model=model,
            provider=name,
            facts=offer.settings,
            why=lacks_key(name, env_keys=settings.routing.env_keys),
            known=offer,
        )
        for name, offer in known.models().get(model, {}).items()
        if name not in settings.providers
    ]
    return sorted([*configured, *others], key=lambda offered: bool(offered.why))


def by_model(offers: Iterable[Offered]) -> dict[str, list[Offered]]:
    """Groups offers by their model."""
    found: dict[str, list[Offered]] = {}
    for offered in offers:
        found.setdefault(offered.model, []).append(offered)
    return found


def told(facts: ModelSettings) -> Iterator[str]:
    """Says in a few words what is known of a deployment's abilities, and whether it is deprecated."""
    for name, able in (
        ("tools", facts.tools),
        ("JSON schema", facts.structured),
        ("both together", facts.structured_with_tools),
        ("images", facts.vision),
    ):
        if able is not None:
            yield name if able else f"no {name}" if name != "both together" else "not both"
    if facts.kind == "embedding":
        yield f"embeddings of {facts.dimensions} numbers" if facts.dimensions else "embeddings"
    if facts.efforts:
        yield f"effort {'/'.join(facts.efforts)}"
    if isinstance(facts.deprecated, date):
        yield f"deprecated {facts.deprecated}"
    elif facts.deprecated:
        yield "deprecated"


def _known(provider: str, model: str) -> Offer | None:
    from trunkline.config import known

    return known.offers(provider).get(model)


def _usd(nano: int | None) -> str | None:
    from trunkline.accounts import usd

    return None if nano is None else usd(nano)
