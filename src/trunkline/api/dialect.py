"""In which of the two published formats of the Responses API a caller wants to be answered."""

from __future__ import annotations

from typing import get_args

from starlette.types import Scope

from trunkline.errors import InvalidRequest
from trunkline.wire.responses import Dialect

HEADER = "x-responses-dialect"


def dialect_of(scope: Scope, default: Dialect) -> Dialect:
    """Returns the dialect that the request's header names. Raises InvalidRequest."""
    for name, value in scope["headers"]:
        if name == HEADER.encode():
            return _named(value.decode("latin-1").lower())
    return default


def _named(text: str) -> Dialect:
    known: tuple[Dialect, ...] = get_args(Dialect)
    for dialect in known:
        if text == dialect:
            return dialect
    names = " or ".join(f"'{one}'" for one in known)
    raise InvalidRequest(f"the header {HEADER} must be {names}", param=HEADER)
