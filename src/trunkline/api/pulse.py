"""A sign of life in a stream whose first event takes long, so that nobody between hangs up."""

from __future__ import annotations

import asyncio

from starlette.types import Send

from trunkline.api.exchange import Exchange
from trunkline.api.send import begin_stream

_COMMENT = {"type": "http.response.body", "body": b": waiting\n\n", "more_body": True}


class Pulse:
    """Begins a stream with comments while there is nothing else to send.

    Once it has ``begun``, the status and the headers are gone: a failure has to be an event.
    """

    def __init__(self, send: Send, exchange: Exchange, *, every_s: float) -> None:
        self.begun = False
        self._send = send
        self._exchange = exchange
        self._every_s = every_s

    async def beat(self) -> None:
        """Sends a comment every so often, until it is cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            if not self.begun:
                self.begun = True
                await begin_stream(self._send, self._exchange)
            await self._send(_COMMENT)
