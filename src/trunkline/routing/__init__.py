"""Which deployment answers: catalog, policies and choice, what was observed, and the relay that tries."""

from trunkline.routing.catalog import Catalog, Plan, Resolve, catalog_of, engine_deployment
from trunkline.routing.choice import Chooser, beyond, replay
from trunkline.routing.deployment import LOCAL, Abilities, Deployment, Kind
from trunkline.routing.health import Condition, DeploymentHealth
from trunkline.routing.needs import sees_images
from trunkline.routing.policy import Wishes, decode_wishes
from trunkline.routing.relay import NOT_ASKED, Answer, Relay
from trunkline.routing.sticky import Sticky

__all__ = [
    "LOCAL",
    "NOT_ASKED",
    "Abilities",
    "Answer",
    "Catalog",
    "Chooser",
    "Condition",
    "Deployment",
    "DeploymentHealth",
    "Kind",
    "Plan",
    "Relay",
    "Resolve",
    "Sticky",
    "Wishes",
    "beyond",
    "catalog_of",
    "decode_wishes",
    "engine_deployment",
    "replay",
    "sees_images",
]
