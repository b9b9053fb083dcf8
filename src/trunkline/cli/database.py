"""The database as the commands reach it: beside a running server, on the same configuration."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from trunkline.store import Store, open_store


@asynccontextmanager
async def open_configured(config: Path | None) -> AsyncIterator[Store]:
    """Opens the configured database with one connection, which is all that a command needs."""
    from trunkline import config as configuration

    home = configuration.home(os.environ)
    configuration.make_home(home)
    settings = configuration.load(config, environ=os.environ)
    async with open_store(
        configuration.database_url(settings, home),
        pool_size=1,
        busy_timeout_s=settings.database.busy_timeout_s,
    ) as store:
        yield store
