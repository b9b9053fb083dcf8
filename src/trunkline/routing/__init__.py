"""Which deployment answers: the catalog, the policies that order it, and the relay that tries it."""

from trunkline.routing.catalog import Catalog, Plan, catalog_of, engine_deployment
from trunkline.routing.deployment import LOCAL, Abilities, Deployment
from trunkline.routing.policy import Wishes, decode_wishes
from trunkline.routing.relay import Answer, Relay

__all__ = [
    "LOCAL",
    "Abilities",
    "Answer",
    "Catalog",
    "Deployment",
    "Plan",
    "Relay",
    "Wishes",
    "catalog_of",
    "decode_wishes",
    "engine_deployment",
]
