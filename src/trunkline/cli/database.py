"""The database as the commands reach it: beside a running server, on the same configuration."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from trunkline.store import Store, open_store

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Configuration file.", show_default=False)
]
JSONOption = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]


@asynccontextmanager
async def open_configured(config: Path | None) -> AsyncIterator[Store]:
    """Opens the configured database with one connection, which is all that a command needs."""
    from trunkline import config as configuration

    home = configuration.home(os.environ)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = configuration.load(config, environ=os.environ)
    async with open_store(
        configuration.database_url(settings, home),
        pool_size=1,
        busy_timeout_s=settings.database.busy_timeout_s,
    ) as store:
        yield store


def print_json(value: Any) -> None:
    """Writes a value on stdout as JSON; times become RFC 3339."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))
