"""Databases that cannot be used: what the operator reads, and that it tells no secrets."""

import asyncio
import socket
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import make_url

from trunkline.errors import ConfigError, StartError, StoreUnavailable
from trunkline.store import open_store
from trunkline.store.connection import explain


def opening(url, **settings) -> str:
    """Opens a store that must fail to open, and returns what the operator reads."""

    async def main():
        async with open_store(url, **settings):
            pass

    with pytest.raises(StartError) as caught:
        asyncio.run(main())
    return caught.value.message


def make(url):
    async def main():
        async with open_store(url):
            pass

    asyncio.run(main())


def test_a_locked_database_is_named(sqlite_url, tmp_path):
    make(sqlite_url)
    with closing(sqlite3.connect(tmp_path / "trunkline.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        message = opening(sqlite_url, busy_timeout_s=0.05)
    assert message == (
        f"the database '{tmp_path}/trunkline.db' is locked by another process; "
        "stop that one or raise [database] busy_timeout_s"
    )


def test_a_read_only_database_is_named(sqlite_url, tmp_path):
    make(sqlite_url)
    url = f"sqlite:///file:{tmp_path}/trunkline.db?mode=ro&uri=true"
    assert "is read-only; give this user the right to write it" in opening(url)


def test_a_file_that_is_no_database_is_named(sqlite_url, tmp_path):
    (tmp_path / "trunkline.db").write_text("Dear diary, " * 1000)
    assert opening(sqlite_url) == (
        f"'{tmp_path}/trunkline.db' is not a database; move it away or set another [database] url"
    )


def test_a_damaged_database_is_named(sqlite_url, tmp_path):
    make(sqlite_url)
    path = tmp_path / "trunkline.db"
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    assert "is damaged; restore it from a backup" in opening(sqlite_url)


def test_a_missing_folder_is_named(tmp_path):
    message = opening(f"sqlite:///{tmp_path}/none/trunkline.db")
    assert message.startswith(
        f"the folder '{tmp_path}/none' of the database does not exist; create it"
    )


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").touch()
    assert f"'{tmp_path}/file' is not a folder" in opening(
        f"sqlite:///{tmp_path}/file/trunkline.db"
    )


def test_a_database_that_is_a_folder_is_named(tmp_path):
    assert f"'{tmp_path}' is a folder" in opening(f"sqlite:///{tmp_path}")


def test_a_full_disk_is_named():
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("PRAGMA max_page_count = 1")
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("CREATE TABLE t (a)")
    message = explain(make_url("sqlite+aiosqlite:////var/trunkline.db"), caught.value)
    assert (
        message == "the disk that holds the database '/var/trunkline.db' is full; free some space"
    )


def test_a_postgres_that_is_not_there_is_named_without_credentials():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        message = opening(f"postgresql://alice:sekret@127.0.0.1:{port}/trunkline")
    assert message == (
        f"cannot reach Postgres at 127.0.0.1:{port} (ConnectionRefusedError); "
        "check [database] url and that the server runs"
    )


def test_a_database_that_postgres_does_not_have_is_named(postgres):
    assert "has no database 'nowhere'; create it" in opening(
        postgres.replace("DATABASE", "nowhere")
    )


def test_a_user_whom_postgres_refuses_is_not_named(postgres):
    url = postgres.replace("DATABASE", "postgres").replace("postgres:@", "alice:sekret@")
    message = opening(url)
    assert message.endswith("refuses the user or the password of [database] url")
    assert "alice" not in message
    assert "sekret" not in message


@pytest.mark.parametrize("option", ["colour=red", "sslmode=often"])
def test_an_option_that_the_driver_does_not_take_is_pointed_out(option):
    assert opening(f"postgresql://alice:sekret@127.0.0.1/trunkline?{option}") == (
        "Postgres at 127.0.0.1: [database] url has an option after '?' that the driver does not take"
    )


def test_sslmode_is_understood_as_by_other_clients(postgres_url):
    make(f"{postgres_url}&sslmode=disable")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "trunkline.db",
        "mysql://alice:sekret@host/x",
        "postgresql+psycopg://alice:sekret@h/x",
        "postgresql://alice:sekret@h:port/x",
    ],
)
def test_a_url_that_is_none_of_ours_is_refused_and_not_quoted(url):
    async def main():
        async with open_store(url):
            pass

    with pytest.raises(
        ConfigError, match=r"^\[database\] url is not understood; write 'sqlite:"
    ) as caught:
        asyncio.run(main())
    assert "sekret" not in caught.value.message


def test_a_database_that_is_locked_later_is_unavailable_to_the_caller(sqlite_url, tmp_path):
    async def main():
        async with open_store(sqlite_url, busy_timeout_s=0.05) as store:
            with closing(sqlite3.connect(tmp_path / "trunkline.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(StoreUnavailable):
                    await store.accounts.named("acme")
                assert await store.keys.by_hash("none") is None  # reading goes on
            return await store.accounts.named("acme")

    assert asyncio.run(main()).name == "acme"
