"""The schema: from nothing, from every earlier revision, and by several starters at once."""

import asyncio
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from trunkline.errors import StartError
from trunkline.store import NO_LIMITS, open_store
from trunkline.store.connection import connect
from trunkline.store.schema import alembic_config, migrate
from trunkline.store.tables import SCHEMA_VERSION, metadata

SCRIPTS = ScriptDirectory.from_config(alembic_config())
REVISIONS = [script.revision for script in SCRIPTS.walk_revisions()]

OPEN = """
import asyncio, sys
from trunkline.store import open_store

async def main():
    async with open_store(sys.argv[1]) as store:
        await store.accounts.named("acme")

asyncio.run(main())
print("alembic" in sys.modules)
"""


def in_database(url, function, *arguments):
    """Runs ``function(connection, *arguments)`` in a transaction of its own."""

    async def main():
        database = connect(url, pool_size=1, busy_timeout_s=5)
        try:
            async with database.engine.begin() as connection:
                return await connection.run_sync(function, *arguments)
        finally:
            await database.aclose()

    return asyncio.run(main())


def opened(url):
    async def main():
        async with open_store(url) as store:
            return await store.accounts.named("acme")

    return asyncio.run(main())


def differences(connection):
    """Returns how the tables that this release expects differ from those that are there."""
    return compare_metadata(MigrationContext.configure(connection), metadata)


def names(connection):
    """Returns the names of all constraints and indexes, which a later migration will need."""
    inspector = inspect(connection)
    found = set()
    for table in metadata.tables:
        found.add(inspector.get_pk_constraint(table)["name"])
        found.update(key["name"] for key in inspector.get_foreign_keys(table))
        found.update(unique["name"] for unique in inspector.get_unique_constraints(table))
        found.update(index["name"] for index in inspector.get_indexes(table))
    return found


def expected_names():
    tables = metadata.tables.values()
    constraints = {str(each.name) for table in tables for each in table.constraints}
    return constraints | {str(each.name) for table in tables for each in table.indexes}


def test_the_newest_migration_is_the_schema_of_this_release():
    assert SCRIPTS.get_heads() == [SCHEMA_VERSION]


def test_revisions_are_numbered_so_that_their_order_can_be_seen():
    assert sorted(REVISIONS, reverse=True) == REVISIONS
    assert all(len(revision) == 4 and revision.isdecimal() for revision in REVISIONS)


def test_an_empty_database_gets_the_tables_of_this_release(url):
    opened(url)
    assert in_database(url, differences) == []
    assert in_database(url, names) >= expected_names()


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_earlier_schema_is_brought_to_this_release(url, revision):
    in_database(url, migrate, revision)
    opened(url)
    assert in_database(url, differences) == []


def test_a_receipt_from_before_decisions_were_kept_can_still_be_read(url):
    def with_a_receipt(connection):
        migrate(connection, "0001")
        connection.execute(text("INSERT INTO accounts VALUES ('acct_1', 'acme', 0)"))
        connection.execute(
            text("INSERT INTO keys VALUES ('key_1', 'acct_1', 'k', 'h', 'tl_', 0, NULL, NULL)")
        )
        connection.execute(
            text(
                "INSERT INTO requests VALUES ('req_1', 'acct_1', 'key_1', 0, 'chat', 'm', NULL, NULL,"
                " '[]', :no, 200, NULL, 1, 0, 1, 0, NULL, :no, NULL, 5)"
            ),
            {"no": False},
        )

    async def read():
        async with open_store(url) as store:
            return await store.requests.get("req_1", "acct_1")

    in_database(url, with_a_receipt)
    found = asyncio.run(read())
    assert found is not None
    assert (found.decision, found.attempts, found.duration_ms) == (None, (), 5)


def test_a_key_from_before_there_were_limits_has_none(url):
    def with_a_key(connection):
        migrate(connection, "0002")
        connection.execute(text("INSERT INTO accounts VALUES ('acct_1', 'acme', 0)"))
        connection.execute(
            text("INSERT INTO keys VALUES ('key_1', 'acct_1', 'k', 'h', 'tl_', 0, NULL, NULL)")
        )

    async def read():
        async with open_store(url) as store:
            return await store.keys.by_hash("h")

    in_database(url, with_a_key)
    found = asyncio.run(read())
    assert found is not None
    assert (found.id, found.limits) == ("key_1", NO_LIMITS)


def test_a_migration_that_fails_leaves_the_database_as_it_was(url):
    def broken(connection):
        migrate(connection, "head")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_database(url, broken)
    assert in_database(url, lambda connection: inspect(connection).get_table_names()) == []


def test_many_first_starts_in_one_process_agree(url):
    async def start():
        async with open_store(url) as store:
            return await store.accounts.named("acme")

    async def main():
        return await asyncio.gather(*(start() for _ in range(6)))

    assert len({account.id for account in asyncio.run(main())}) == 1


def test_first_starts_in_several_processes_agree_and_later_ones_need_no_alembic(url):
    command = [sys.executable, "-c", OPEN, url]
    starts = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)
    ]
    outcomes = [(start.communicate(timeout=60), start.returncode) for start in starts]
    assert [(errors.decode(), code) for (_, errors), code in outcomes] == [("", 0)] * 3
    later = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert later.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("version", "message"),
    [("9999", "schema 9999, newer than"), ("1f2e3d4c5b6a", "belongs to another program")],
)
def test_a_schema_that_is_not_ours_stops_the_start(url, version, message):
    opened(url)
    in_database(
        url,
        lambda c: c.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": version}),
    )
    with pytest.raises(StartError, match=message):
        opened(url)


def test_sqlite_runs_as_it_is_meant_to(sqlite_url):
    opened(sqlite_url)

    def pragmas(connection):
        wanted = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "application_id")
        return [connection.execute(text(f"PRAGMA {name}")).scalar() for name in wanted]

    assert in_database(sqlite_url, pragmas) == ["wal", 1, 1, 5000, int.from_bytes(b"TRKL")]
