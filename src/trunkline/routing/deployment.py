"""A deployment: what routing orders and the relay tries."""

from __future__ import annotations

from typing import Literal

import msgspec

from trunkline.accounts.pricing import Price
from trunkline.providers.parameters import Support

LOCAL = "local"
"""The embedded engine's name among the providers, and the policy that keeps to one's own machines."""


Kind = Literal["chat", "embedding"]
"""What a model answers: conversations, or texts with vectors."""


class Abilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment can do; None where it is not known."""

    tools: bool | None = None
    structured: bool | None = None
    """Replies that follow a JSON schema."""
    structured_with_tools: bool | None = None
    vision: bool | None = None
    efforts: tuple[str, ...] | None = None
    """The values of `reasoning_effort` that it takes."""


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A model at a provider. ``price`` is None where the list price is unknown."""

    model: str
    """The public name that clients ask for."""
    kind: Kind = "chat"
    provider: str
    upstream_model: str
    """The provider's own id of the model."""
    price: Price | None = None
    context: int | None = None
    """Tokens of prompt and completion together."""
    max_output: int | None = None
    dimensions: int | None = None
    """Numbers in a vector of an embedding model, the most it can make."""
    local: bool = False
    """On a machine of one's own: what the `local` policy keeps to."""
    reserve: bool = False
    """Asked only if it is asked for (`:local`, its name), or if nobody else offers the model."""
    abilities: Abilities | None = None
    support: Support | None = None
    """What it lacks of what requests may ask for; None where nothing is known of it."""
    deprecated: bool = False
    """Asked only if its provider is asked for by name."""
    listed: bool = True
    """In the catalog; else a caller made up the id, and perhaps there is no such model."""
    behind: tuple[str, ...] = ()
    """To whom its provider may pass requests on, if it is a router of providers."""
    place: tuple[str, str, str] = ("", "", "")
    """What its health is known by, made of the others. A router of providers offers one model in
    several ways; ids that are not listed share one place, so that callers add none."""

    def __post_init__(self) -> None:
        place = (self.model, self.provider, self.upstream_model)
        place = place if self.listed else ("", self.provider, "")
        msgspec.structs.force_setattr(self, "place", place)
