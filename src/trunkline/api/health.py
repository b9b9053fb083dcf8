"""``GET /health`` and ``GET /metrics``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
from starlette.types import Receive, Scope, Send

from trunkline import __version__
from trunkline.api.exchange import exchange_of
from trunkline.api.metrics import CONTENT_TYPE, Metrics
from trunkline.api.send import send_json, send_whole

EngineState = Literal["ready", "starting", "off"]


class Status(msgspec.Struct, kw_only=True):
    """What ``GET /health`` tells."""

    status: Literal["ok"] = "ok"
    version: str = __version__
    engine: EngineState


class Health:
    """Tells whether requests are taken, and how the engine is."""

    def __init__(self, engine: Callable[[], EngineState]) -> None:
        self._engine = engine

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        await send_json(
            send, exchange_of(scope), msgspec.json.encode(Status(engine=self._engine()))
        )


class MetricsPage:
    """Shows the figures in Prometheus' text format."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-type", CONTENT_TYPE)]
        await send_whole(
            send, exchange_of(scope), self._metrics.render(), status=200, headers=headers
        )
