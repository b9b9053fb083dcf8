"""One request and its answer, as the edge knows them: what the log line and the metrics are made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import cast

from starlette.types import Scope

from trunkline.accounts import Caller
from trunkline.errors import InvalidAPIKey

Headers = Iterable[tuple[bytes, bytes]]
_SCOPE_KEY = "trunkline.exchange"

HANGUPS = "trunkline.hangups"
"""Where the scope may have `Hangups`: a server that calls them spares a task that listens."""

BODY = "trunkline.body"
"""Where the scope has the request's whole body, if it came together with its head."""

Hangups = set[Callable[[], None]]
"""What is called when the client hangs up."""


@dataclass(slots=True)
class Exchange:
    """Made by the edge when a request enters; filled in on the way.

    ``status`` is 0 until the answer has begun and 499 if the client hung up before. ``route`` is the
    pattern that the path matched, None if it matched none; ``answered`` is set when the last byte of
    the answer is handed over. ``listed`` says whether the model is in the catalog, ``hangups`` are the
    server's, None if it has none.
    """

    request_id: str
    method: str
    path: str
    hangups: Hangups | None = None
    route: str | None = None
    started: float = field(default_factory=time.perf_counter)
    identified: Caller | None = None
    status: int = 0
    answered: bool = False
    error_code: str | None = None
    provider: str | None = None
    model: str | None = None
    listed: bool = True
    stream: bool = False
    first_chunk_s: float | None = None
    repairs: tuple[str, ...] = ()
    emulations: tuple[str, ...] = ()

    @property
    def metered_model(self) -> str | None:
        """The model as figures name it: callers can make up ids, and figures must not grow by that."""
        return self.model if self.listed else "not listed"

    @property
    def caller(self) -> Caller:
        """Who asks. Raises InvalidAPIKey on a route that is open to everybody."""
        if self.identified is None:
            raise InvalidAPIKey(reason="missing")
        return self.identified

    def elapsed_s(self) -> float:
        return time.perf_counter() - self.started


def attach(scope: Scope, exchange: Exchange) -> None:
    """Makes the exchange known to the endpoint behind."""
    scope[_SCOPE_KEY] = exchange


def exchange_of(scope: Scope) -> Exchange:
    """Returns the exchange that the edge attached."""
    return cast(Exchange, scope[_SCOPE_KEY])
