"""The seam where a provider plugs in: what it is asked, and what it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, NamedTuple, Protocol

import msgspec

from trunkline.errors import UpstreamError
from trunkline.providers.parameters import Support

ReasoningFields = Literal["both", "reasoning", "reasoning_content"]
"""Under which names a reply carries the model's reasoning."""


class Call(msgspec.Struct, frozen=True):
    """One chat completion to be made, in the chat wire format.

    ``model`` is the provider's own id of the model. ``body`` holds the request's top-level fields
    undecoded; ``model`` and ``stream`` in it are the caller's and are overruled by the attributes.
    ``within_s`` is the time that is left to the request as a whole. ``support`` is what is known of
    the deployment, None if nothing beyond its provider; a ``lenient`` caller wants what it does not
    take left out.
    """

    model: str
    body: Mapping[str, msgspec.Raw]
    stream: bool
    request_id: str
    within_s: float | None = None
    support: Support | None = None
    lenient: bool = False


class Reply(msgspec.Struct, frozen=True):
    """What a provider answers, once it has committed.

    ``chunks`` yields lists of JSON documents, those of one network read together: chat completion
    chunks (without SSE framing and without ``[DONE]``) for a stream, else one chat completion.
    It raises UpstreamError if the reply breaks off. For a stream the last chunk with ``usage`` is
    always asked of the upstream; whether the caller gets it is the edge's affair. ``repairs`` names
    what was put right in it, all of it once ``chunks`` has ended; ``emulations`` what was done in
    another way than the request asked, ``ignored`` the parameters that were left out.
    """

    chunks: AsyncIterator[Sequence[bytes]]
    repairs: Collection[str] = ()
    emulations: Collection[str] = ()
    ignored: Collection[str] = ()


class Whole(NamedTuple):
    """A reply that came in one piece: one chat completion, or the chunks of a stream."""

    chunks: Sequence[bytes]
    repairs: Collection[str] = ()


class Provider(Protocol):
    """Someone who can answer a chat call."""

    def open(self, call: Call, /) -> AbstractAsyncContextManager[Reply]:
        """Enters once the first chunk is here; until then fails with UpstreamError. Leaving hangs up."""
        ...


class Outgoing(msgspec.Struct, frozen=True):
    """An HTTP request to an upstream, relative to the provider's base URL.

    ``emulations`` and ``ignored`` as in `Reply`.
    """

    path: str
    body: bytes
    headers: Mapping[str, str]
    emulations: Collection[str] = ()
    ignored: Collection[str] = ()


class Decoder(Protocol):
    """Turns one stream of a dialect into chat chunks. It keeps that stream's state."""

    done: bool
    """The stream is over by the dialect's own account: nothing more need be read."""

    repairs: Collection[str]
    """What was put right so far, by name."""

    def decode(self, payloads: Sequence[bytes], /) -> Sequence[bytes]:
        """Turns the SSE payloads of one read into chat chunks.

        Returns none until the stream *commits*: the first chunk with content, reasoning, a tool call
        or a finish reason brings along what was withheld before it. A failure that the upstream
        reports sets ``done``; `flush` raises it, after the chunks before it were delivered.
        """
        ...

    def flush(self) -> Sequence[bytes]:
        """Returns what the end of the stream completes; called again, nothing.

        Raises UpstreamError if the stream reported a failure, was cut off or never committed.
        """
        ...


class Adapter(Protocol):
    """Pure translation between the chat wire format and one upstream dialect. No I/O."""

    def request(self, call: Call, /) -> Outgoing:
        """Returns what to send; raises InvalidRequest for what the provider does not take."""
        ...

    def reply(self, call: Call, body: bytes, /) -> Whole:
        """Turns a whole answer into one chat completion; raises UpstreamError if it is none."""
        ...

    def decoder(self, call: Call, /) -> Decoder: ...

    def recovered(self, call: Call, status: int, body: bytes, /) -> Whole | None:
        """Returns the reply that an answer with an error status holds all the same, if it holds one."""
        ...

    def error(self, status: int, headers: Mapping[str, str], body: bytes, /) -> UpstreamError:
        """Turns an answer that is not what was asked for into the failure that routing understands."""
        ...
