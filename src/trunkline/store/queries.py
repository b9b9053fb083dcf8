"""The ports in SQLAlchemy Core: every statement that a running router sends."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import bindparam, exists, insert, select, update

from trunkline import ids
from trunkline.store.connection import Database
from trunkline.store.records import Account, Key, Limits, Request
from trunkline.store.tables import accounts, keys, requests
from trunkline.store.writer import Writer

_account_named = select(accounts).where(accounts.c.name == bindparam("name"))
_any_key = select(exists(select(keys.c.id)))
_key_by_hash = select(keys).where(keys.c.hash == bindparam("hash"))
_request = select(requests).where(
    requests.c.id == bindparam("id"), requests.c.account_id == bindparam("account_id")
)


@dataclass(frozen=True, slots=True)
class SQLAccounts:
    database: Database

    async def named(self, name: str) -> Account:
        async with self.database.writing() as connection:
            made = Account(id=ids.new_id("acct"), name=name, created_at=ids.now())
            await connection.execute(
                self.database.insert_new(accounts), msgspec.structs.asdict(made)
            )
            row = (await connection.execute(_account_named, {"name": name})).one()
        return Account(**row._mapping)

    async def all_accounts(self) -> Sequence[Account]:
        async with self.database.reading() as connection:
            rows = await connection.execute(select(accounts).order_by(accounts.c.id))
        return [Account(**row._mapping) for row in rows]


@dataclass(frozen=True, slots=True)
class SQLKeys:
    database: Database

    async def add(self, key: Key) -> bool:
        async with self.database.writing() as connection:
            done = await connection.execute(
                self.database.insert_new(keys), msgspec.structs.asdict(key)
            )
        return done.rowcount == 1

    async def add_first(self, key: Key) -> bool:
        async with self.database.exclusively() as connection:
            if await connection.scalar(_any_key):
                return False
            await connection.execute(insert(keys), msgspec.structs.asdict(key))
        return True

    async def exist(self) -> bool:
        async with self.database.reading() as connection:
            return bool(await connection.scalar(_any_key))

    async def by_hash(self, hash: str) -> Key | None:
        async with self.database.reading() as connection:
            row = (await connection.execute(_key_by_hash, {"hash": hash})).one_or_none()
        return None if row is None else Key(**row._mapping)

    async def of_account(self, account_id: str) -> Sequence[Key]:
        statement = select(keys).where(keys.c.account_id == account_id).order_by(keys.c.id)
        async with self.database.reading() as connection:
            rows = await connection.execute(statement)
        return [Key(**row._mapping) for row in rows]

    async def of_all_accounts(self) -> Sequence[Key]:
        async with self.database.reading() as connection:
            rows = await connection.execute(select(keys).order_by(keys.c.id))
        return [Key(**row._mapping) for row in rows]

    async def revoke(self, id: str, account_id: str, at: datetime.datetime) -> bool:
        statement = (
            update(keys)
            .where(keys.c.id == id, keys.c.account_id == account_id, keys.c.revoked_at.is_(None))
            .values(revoked_at=at)
        )
        async with self.database.writing() as connection:
            done = await connection.execute(statement)
        return done.rowcount == 1

    async def limit(self, id: str, account_id: str, limits: Limits) -> bool:
        statement = (
            update(keys)
            .where(keys.c.id == id, keys.c.account_id == account_id)
            .values(limits=limits)
        )
        async with self.database.writing() as connection:
            done = await connection.execute(statement)
        return done.rowcount == 1


@dataclass(frozen=True, slots=True)
class SQLRequests:
    database: Database
    writer: Writer

    def add(self, request: Request) -> None:
        self.writer.add(request)

    async def get(self, id: str, account_id: str) -> Request | None:
        async with self.database.reading() as connection:
            found = await connection.execute(_request, {"id": id, "account_id": account_id})
        row = found.one_or_none()
        return None if row is None else Request(**row._mapping)

    async def of_any_account(self, id: str) -> Request | None:
        async with self.database.reading() as connection:
            found = await connection.execute(select(requests).where(requests.c.id == id))
        row = found.one_or_none()
        return None if row is None else Request(**row._mapping)
