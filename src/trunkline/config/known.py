"""The providers that are known from the start, and the models that they offer.

The facts are data, in providers.toml and models.toml; see there. Which of these providers are in use
is not decided here: see load.py.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from trunkline.config import values
from trunkline.config.settings import ModelSettings, ProviderSettings, Quirks

# Beside the dialects; found by its path, since what stands below them does not import them.
FOLDER = Path(__file__).parents[1] / "providers"

_PRICES = ("input", "cached_input", "output")
_PART = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:_-]*[A-Za-z0-9])?")


class KnownProvider(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A provider that needs only its key, and those ``parts`` of its address that differ by customer.

    ``key_env`` and each of ``parts`` are environment variables, of which the first that is set counts.
    A key that does not begin with ``key_prefix`` is somebody else's. ``routes`` are the providers that
    a router of providers can be asked to pass a request to. ``takes`` are those of the ``common``
    parameters of providers.toml that this one takes all the same.
    """

    title: str
    base_url: str
    key_env: tuple[str, ...]
    key_prefix: str = ""
    parts: dict[str, tuple[str, ...]] = {}
    routes: tuple[str, ...] = ()
    dialect: Literal["openai"] = "openai"
    quirks: Quirks = Quirks()
    takes: tuple[str, ...] = ()
    source: str
    checked: date

    def address(self, environ: Mapping[str, str]) -> str:
        """Returns its base URL; empty if a part of it is not in the environment."""
        found = {part: _first(variables, environ) for part, variables in self.parts.items()}
        return self.base_url.format(**found) if all(found.values()) else ""

    def settings(self, name: str, environ: Mapping[str, str]) -> ProviderSettings:
        """Returns what a configuration would say of it, without a key."""
        return ProviderSettings(
            base_url=self.address(environ),
            dialect=self.dialect,
            quirks=self.quirks,
            models={model: offer.settings for model, offer in offers(name).items()},
        )

    def wants_key(self) -> str:
        """Names the variable of its key, as in "GROQ_API_KEY"."""
        return self.key_env[0] + (f" ({self.key_prefix}…)" if self.key_prefix else "")

    def wants_address(self, environ: Mapping[str, str]) -> str:
        """Names the variables that its address lacks, as in "AWS_REGION"."""
        return " and ".join(v[0] for v in self.parts.values() if not _first(v, environ))


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A model at a known provider, and where that is known from."""

    settings: ModelSettings
    source: str
    checked: date
    unverified: bool = False


@cache
def providers() -> Mapping[str, KnownProvider]:
    """Returns the known providers by name, in the order in which they are tried."""
    document = _read("providers.toml")
    lacking = document.pop("common")["unsupported"]
    return {
        name: _lacking(lacking, one)
        for name, one in msgspec.convert(document, dict[str, KnownProvider]).items()
    }


def common() -> tuple[str, ...]:
    """Returns the parameters that known providers do not take, unless one ``takes`` it."""
    return tuple(_read("providers.toml")["common"]["unsupported"])


def _lacking(parameters: Sequence[str], one: KnownProvider) -> KnownProvider:
    also = [name for name in parameters if name not in one.takes]
    unsupported = tuple(dict.fromkeys([*one.quirks.unsupported, *also]))
    quirks = msgspec.structs.replace(one.quirks, unsupported=unsupported)
    return msgspec.structs.replace(one, quirks=quirks)


@cache
def models() -> Mapping[str, Mapping[str, Offer]]:
    """Returns who offers what: public model, then provider."""
    document = _read("models.toml")
    sources = document["sources"]
    return {
        model: {
            provider: _offer(_without(entry, "offers") | offer, sources)
            for provider, offer in entry["offers"].items()
        }
        for model, entry in document["models"].items()
    }


@cache
def offers(provider: str) -> Mapping[str, Offer]:
    """Returns what a provider offers, by public model."""
    return {model: found[provider] for model, found in models().items() if provider in found}


@cache
def kinds() -> Mapping[str, Literal["chat", "embedding"]]:
    """Returns what each known model answers."""
    return {
        model: next(offer.settings.kind or "chat" for offer in found.values())
        for model, found in models().items()
    }


@cache
def routes() -> Mapping[str, str]:
    """Returns, for each provider that a router of providers can pass requests to, that router."""
    return {slug: name for name, provider in providers().items() for slug in provider.routes}


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / name).read_text(encoding="utf-8"), parse_float=Decimal)


def _offer(table: dict[str, Any], sources: Mapping[str, Any]) -> Offer:
    facts = {
        key: values.nano_dollars(value) if key in _PRICES else value
        for key, value in _without(table, "source", "unverified").items()
    }
    source = sources[table["source"]]
    return Offer(
        settings=msgspec.convert(facts, ModelSettings),
        source=source["text"],
        checked=source["checked"],
        unverified=table.get("unverified", False),
    )


def _without(table: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in names}


def _first(variables: tuple[str, ...], environ: Mapping[str, str]) -> str:
    """Returns what the first variable that is set says, its host if it is a URL; empty if unusable."""
    text = next((text for v in variables if (text := environ.get(v, "").strip())), "")
    try:
        part = urlsplit(text).netloc if "://" in text else text.rstrip("/")
    except ValueError:
        return ""
    return part if _PART.fullmatch(part) else ""
