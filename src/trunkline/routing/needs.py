"""What a request needs of whoever answers it, as far as a deployment can be known to lack it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from trunkline.providers.parameters import FEATURES, IMAGES, features_of
from trunkline.routing.deployment import Deployment
from trunkline.wire.chat import ChatRequest
from trunkline.wire.embeddings import EmbeddingRequest

_BYTES_PER_TOKEN = 6  # more than prompts have, so that none seems longer than it is
_IN_WORDS = {"tools": "does not call tools", IMAGES: "does not see images"}


class Needs(NamedTuple):
    """``tokens`` is an estimate from below, None where there is none: images count in their own way.

    ``most`` is how long the answer may become at most, 0 where the request does not say.
    """

    features: frozenset[str] = frozenset()
    lenient: bool = False
    tokens: int | None = None
    most: int = 0
    dimensions: int | None = None

    def lacking(self, deployment: Deployment) -> str | None:
        """Returns what of the needs is certainly not served, None if nothing is."""
        support = deployment.support
        if support is None or self.features.isdisjoint(support.refused):
            return None
        for name in sorted(self.features & support.refused):
            if not (self.lenient and FEATURES[name].droppable):
                return _IN_WORDS.get(name, f"does not take '{name}'")
        return None

    def refused_by_all(self, deployments: Sequence[Deployment]) -> str | None:
        """Returns a parameter that none of the deployments takes, None if there are several reasons."""
        common = self.features
        for deployment in deployments:
            common &= deployment.support.refused if deployment.support else frozenset()
        return min(common - _IN_WORDS.keys(), default=None)

    def too_long(self, deployment: Deployment) -> str | None:
        """Returns which length is beyond the deployment, None if none is, by an estimate."""
        if self.tokens and deployment.context and self.tokens > deployment.context:
            return f"about {self.tokens} tokens or more are beyond its {deployment.context}"
        if deployment.max_output and self.most > deployment.max_output:
            return f"answers with {deployment.max_output} tokens at most, not {self.most}"
        if self.dimensions and deployment.dimensions and self.dimensions > deployment.dimensions:
            return f"has vectors of {deployment.dimensions} dimensions at most"
        return None

    def not_taken(self, deployment: Deployment) -> str | None:
        """Returns which parameter the deployment does not take as it is, None if it takes all.

        It may serve the request all the same: much can be emulated, and who is lenient does without.
        """
        support = deployment.support
        if support is None or not (avoided := self.features & support.avoided):
            return None
        name = min(avoided)
        return f"does not take '{name}'" if name in support.refused else f"would emulate '{name}'"


def sees_images(deployments: Iterable[Deployment]) -> bool:
    """Whether any of the deployments may see images: none is known not to."""
    return any(one.support is None or IMAGES not in one.support.refused for one in deployments)


def needs_of(request: ChatRequest | EmbeddingRequest, *, lenient: bool = False) -> Needs:
    """Reads off a request what it needs, without decoding its messages."""
    if isinstance(request, EmbeddingRequest):
        return _needs_of_texts(request)
    parameters = request.parameters
    features = features_of(request.fields)
    most = parameters.max_completion_tokens or parameters.max_tokens or 0
    size = len(bytes(parameters.messages)) + len(bytes(parameters.tools))
    return Needs(
        features=features,
        lenient=lenient,
        tokens=None if IMAGES in features else size // _BYTES_PER_TOKEN + most,
        most=most,
    )


def _needs_of_texts(request: EmbeddingRequest) -> Needs:
    texts = request.parameters.input
    tokens = max(map(_tokens, [texts] if isinstance(texts, str) else texts))
    if isinstance(texts, list) and isinstance(texts[0], int):
        tokens = len(texts)
    return Needs(tokens=tokens, dimensions=request.parameters.dimensions)


def _tokens(text: str | int | list[int]) -> int:
    """Returns how many tokens a text has at least: an estimate, unless it is one of tokens."""
    if isinstance(text, str):
        return len(text) // _BYTES_PER_TOKEN
    return 1 if isinstance(text, int) else len(text)
