"""Which provider answered a conversation last: it may still hold the prompt in its cache."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from trunkline.wire.chat import ChatRequest
from trunkline.wire.embeddings import EmbeddingRequest

_PIECE = 2048  # bytes at either end of the first messages that tell conversations apart
_ASSISTANT = b'"assistant"'
_BETWEEN = b" \t\r\n,]"


class Conversation:
    """What tells a conversation from others.

    ``begun`` says that it holds an answer, ``continued`` that others with its key came before it.
    """

    __slots__ = ("begun", "continued", "key")

    def __init__(self, key: Hashable, *, begun: bool, continued: bool) -> None:
        self.key = key
        self.begun = begun
        self.continued = continued


class Sticky:
    """Remembers the providers of the latest conversations, each for a while. Every worker has its own."""

    def __init__(
        self,
        *,
        most: int = 10_000,
        keep_s: float = 600.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._most = most
        self._keep_s = keep_s
        self._clock = clock
        self._providers: OrderedDict[Hashable, tuple[str, float]] = OrderedDict()

    def provider(self, conversation: Conversation) -> str | None:
        """Returns who answered the conversation last, None if that is unknown or long ago."""
        if not conversation.continued:
            return None
        provider, at = self._providers.get(conversation.key, (None, 0.0))
        return provider if self._clock() - at <= self._keep_s else None

    def answered(self, conversation: Conversation, provider: str) -> None:
        """Takes note of who answers the conversation now."""
        self._providers[conversation.key] = (provider, self._clock())
        self._providers.move_to_end(conversation.key)
        if len(self._providers) > self._most:
            self._providers.popitem(last=False)


def conversation_of(
    request: ChatRequest | EmbeddingRequest, *, account_id: str, model: str
) -> Conversation | None:
    """Returns the request's conversation, None for embeddings: its ``prompt_cache_key``, or its messages before the first answer.

    These are found by a search for the first assistant message. Should that go wrong, as a client
    wrote the same messages in another way, all that is lost is a preference.
    """
    if isinstance(request, EmbeddingRequest):
        return None
    messages = bytes(request.parameters.messages)
    answered = messages.find(_ASSISTANT)
    key = request.parameters.prompt_cache_key
    if key is not None:
        # The hash alone: a key may be as long as a body, and many are kept.
        name = (account_id, model, "key", hash(key))
        return Conversation(name, begun=answered >= 0, continued=True)
    end = len(messages) if answered < 0 else messages.rfind(b"{", 0, answered)
    while end and messages[end - 1] in _BETWEEN:
        end -= 1
    pieces = messages[: min(end, _PIECE)], messages[max(0, end - _PIECE) : end]
    begun = answered >= 0
    return Conversation((account_id, model, hash((end, pieces))), begun=begun, continued=begun)
