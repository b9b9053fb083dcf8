"""What a request needs of whoever answers it, as far as a deployment can be known to lack it."""

from __future__ import annotations

from typing import NamedTuple

from trunkline.routing.deployment import Deployment
from trunkline.wire.chat import ChatRequest
from trunkline.wire.embeddings import EmbeddingRequest

_BYTES_PER_TOKEN = 6  # more than prompts have, so that none seems longer than it is
_NO_TOOLS = (b"", b"[]")


class Needs(NamedTuple):
    """``tokens`` is an estimate from below, None where there is none: images count in their own way.

    ``most`` is how long the answer may become at most, 0 where the request does not say.
    """

    tools: bool = False
    structured: bool = False
    vision: bool = False
    effort: str | None = None
    tokens: int | None = None
    most: int = 0
    dimensions: int | None = None

    def lacking(self, deployment: Deployment) -> str | None:
        """Returns what of the needs is certainly not served, None if nothing is."""
        abilities = deployment.abilities
        if abilities is None:
            return None
        if self.tools and abilities.tools is False:
            return "does not call tools"
        if self.structured and abilities.structured is False:
            return "does not follow a JSON schema"
        if self.tools and self.structured and abilities.structured_with_tools is False:
            return "does not follow a JSON schema beside tools"
        if self.vision and abilities.vision is False:
            return "does not see images"
        return None

    def unsuited(self, deployment: Deployment) -> str | None:
        """Returns why another deployment would suit better, None if there is nothing.

        It may serve the request all the same: lengths are estimated, and efforts have neighbours.
        """
        if self.tokens and deployment.context and self.tokens > deployment.context:
            return f"about {self.tokens} tokens or more are beyond its {deployment.context}"
        if deployment.max_output and self.most > deployment.max_output:
            return f"answers with {deployment.max_output} tokens at most, not {self.most}"
        if self.dimensions and deployment.dimensions and self.dimensions > deployment.dimensions:
            return f"has vectors of {deployment.dimensions} dimensions at most"
        efforts = deployment.abilities.efforts if deployment.abilities else None
        if self.effort and efforts is not None and self.effort not in efforts:
            return f"does not take the effort '{self.effort}'"
        return None


def needs_of(request: ChatRequest | EmbeddingRequest) -> Needs:
    """Reads off a request what it needs, without decoding its messages."""
    if isinstance(request, EmbeddingRequest):
        return _needs_of_texts(request)
    parameters = request.parameters
    messages, tools = bytes(parameters.messages), bytes(parameters.tools)
    reasoning = parameters.reasoning
    vision = b'"image_url"' in messages
    most = parameters.max_completion_tokens or parameters.max_tokens or 0
    return Needs(
        tools=tools not in _NO_TOOLS and bytes(parameters.tool_choice) != b'"none"',
        structured=b'"json_schema"' in bytes(parameters.response_format),
        vision=vision,
        effort=parameters.reasoning_effort or (reasoning.effort if reasoning else None),
        tokens=None if vision else (len(messages) + len(tools)) // _BYTES_PER_TOKEN + most,
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
