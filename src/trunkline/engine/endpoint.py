"""Where the engine is to be reached, and how processes tell each other.

One process supervises the engine; every worker asks. Both ends are the same callable,
``() -> Endpoint | None``, so a client does not know which kind of process it lives in.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from trunkline.errors import EngineUnavailable


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A running engine. A restarted one has another endpoint.

    ``context`` is in tokens per slot, prompt and reply together. ``markers`` maps harmony's markers
    to their token ids in the model's vocabulary.
    """

    address: str
    secret: str
    pid: int
    model: str
    slots: int
    context: int
    markers: dict[str, int]


Where = Callable[[], Endpoint | None]
"""Tells where the engine is now; None while it sleeps or starts. Raises EngineUnavailable if it is off."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a process gets to an engine: ``where`` it is, and ``wake`` for one that sleeps until then."""

    where: Where
    wake: Callable[[], None]


class _Handover(msgspec.Struct, frozen=True):
    """The file's content: an endpoint, or why there is none; neither while the engine starts."""

    endpoint: Endpoint | None = None
    off: str | None = None


def publish(path: Path, endpoint: Endpoint | None, *, off: str | None = None) -> None:
    """Replaces the endpoint file in one step; only its owner can read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.encode(_Handover(endpoint, off)))
    draft.replace(path)


def endpoint_file(path: Path) -> Where:
    """Returns a function that follows the endpoint file, reading it again whenever it changed."""
    version: tuple[int, int] | None = None
    handover = _Handover()

    def where() -> Endpoint | None:
        nonlocal version, handover
        try:
            status = path.stat()
            if (status.st_ino, status.st_mtime_ns) != version:
                handover = msgspec.json.decode(path.read_bytes(), type=_Handover)
                version = (status.st_ino, status.st_mtime_ns)
        except FileNotFoundError:
            return None
        if handover.off is not None:
            raise EngineUnavailable(handover.off)
        return handover.endpoint

    return where
