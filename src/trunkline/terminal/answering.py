"""Asking for an answer: the one request that streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import msgspec

from trunkline.errors import TrunklineError, UpstreamError
from trunkline.terminal.api import API, MAX_BYTES, refusal
from trunkline.terminal.events import Answering, Decoder, Event
from trunkline.transport import Client, Timeouts

# The server keeps the deadlines of what it asks. Ours only end a wait that has no sense any more:
# a large model may be loaded first, and read a long prompt on a CPU.
_TIMEOUTS = Timeouts(connect_s=5.0, first_chunk_s=1800.0, idle_s=1800.0, total_s=86_400.0)


async def answer(api: API, request: Mapping[str, Any]) -> AsyncGenerator[Event]:
    """Sends a chat completion request, which must ask for a stream; yields what comes.

    Leaving hangs up, and the server then stops too. Raises TrunklineError with a sentence for the
    user: the server cannot be reached, refuses, or breaks off.
    """
    body = _encoded(request)
    headers = {**api.headers, "Content-Type": "application/json"}
    url = f"{api.url}/v1/chat/completions"
    try:
        async with (
            Client() as client,
            client.send(url, headers=headers, timeouts=_TIMEOUTS, body=body) as incoming,
        ):
            if incoming.status != 200:
                raise refusal(incoming.status, await incoming.head(MAX_BYTES))
            incoming.progressed()
            yield _answering(incoming.headers)
            decoder = Decoder()
            async with aclosing(incoming.reads()) as reads:
                async for read in reads:
                    for event in decoder.feed(read):
                        yield event
                    if decoder.done:
                        break
            for event in decoder.end():
                yield event
    except UpstreamError as error:
        raise api.failure(error.public) from error


def _encoded(request: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(request)
    except UnicodeEncodeError as error:  # bytes of a command line that no encoding explains
        raise TrunklineError("what is asked is not UTF-8 text") from error


def _answering(headers: Mapping[str, str]) -> Answering:
    return Answering(
        model=headers.get("x-trunkline-model"),
        provider=headers.get("x-trunkline-provider"),
        request_id=headers.get("x-request-id"),
    )
