"""The port of stored responses in SQLAlchemy Core."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from sqlalchemy import (
    BigInteger,
    Integer,
    String,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal,
    or_,
    select,
)

from trunkline import ids
from trunkline.errors import InvalidRequest, PreviousResponseNotFound
from trunkline.store.connection import Database
from trunkline.store.group_commit import GroupCommit
from trunkline.store.records import ItemPage, StoredItem, StoredResponse
from trunkline.store.tables import Moment, response_items, responses

_IDS_AT_ONCE = 500

_r, _i = responses.c, response_items.c
_now = bindparam("now", type_=Moment)
_account = bindparam("account_id", type_=String)
_most = bindparam("most", type_=BigInteger)
_alive = or_(_r.expires_at.is_(None), _r.expires_at > _now)
_own = and_(_r.id == bindparam("id"), _r.account_id == _account, _alive)


def _chain_statement() -> Any:
    """Walks from a response to the first one, within the account, and joins the items of each."""
    link = (
        select(_r.id, _r.previous_id, _r.items_bytes.label("bytes"), literal(0).label("depth"))
        .where(_own)
        .cte("link", recursive=True)
    )
    link = link.union_all(
        select(_r.id, _r.previous_id, link.c.bytes + _r.items_bytes, link.c.depth + 1)
        .join(link, _r.id == link.c.previous_id)
        .where(_r.account_id == _account, _alive, link.c.bytes <= _most)
    )
    return (
        select(link.c.previous_id, link.c.bytes, _i.id, _i.body)
        .select_from(link.outerjoin(response_items, _i.response_id == link.c.id))
        .order_by(link.c.depth.desc(), _i.side, _i.position)
    )


_chain = _chain_statement()
_response = (
    # What belongs to the response comes with the first of its items only.
    select(
        _r.id,
        _r.previous_id,
        _r.created_at,
        _r.expires_at,
        case((func.coalesce(_i.position, 0) == 0, _r.body)).label("body"),
        case((func.coalesce(_i.position, 0) == 0, _r.log)).label("log"),
        _i.id.label("item_id"),
        _i.body.label("item_body"),
    )
    .select_from(
        responses.outerjoin(
            response_items, and_(_i.response_id == _r.id, _i.side == literal("output"))
        )
    )
    .where(_own)
    .order_by(_i.position)
)
_alive_items = (
    select(
        _i.id,
        _i.body,
        func.row_number()
        .over(
            partition_by=_i.id,
            order_by=(_r.created_at.desc(), _r.id.desc(), _i.side.desc(), _i.position.desc()),
        )
        .label("age"),
    )
    .join(responses, _r.id == _i.response_id)
    .where(_i.account_id == _account, _i.id.in_(bindparam("ids", expanding=True)), _alive)
    .subquery()
)
_newest_items = select(_alive_items.c.id, _alive_items.c.body).where(_alive_items.c.age == 1)
_inputs = and_(_i.response_id == bindparam("id"), _i.side == literal("input"))
_of_after = and_(_inputs, _i.id == bindparam("after"))
# Of items with one id, which a caller may send, the last in the order is meant: a page is never read twice.
_place = select(
    select(func.max(_i.position)).where(_of_after).scalar_subquery().label("asc"),
    select(func.min(_i.position)).where(_of_after).scalar_subquery().label("desc"),
).where(select(_r.id).where(_own).exists())
_page = select(_i.id, _i.body).where(_inputs).limit(bindparam("limit", type_=Integer))
_place_after = bindparam("place", type_=Integer)
_pages = {
    "asc": _page.where(_i.position > _place_after).order_by(_i.position),
    "desc": _page.where(_i.position < _place_after).order_by(_i.position.desc()),
}
_BEFORE_ALL = {"asc": -1, "desc": 2**31 - 1}
_expired = (
    select(_r.id)
    .where(_r.expires_at <= _now)
    .order_by(_r.expires_at)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(skip_locked=True)  # on Postgres: others may sweep at the same time
)


class _ResponseRow(StoredResponse, frozen=True, kw_only=True):
    items_bytes: int


class _ItemRow(msgspec.Struct, frozen=True):
    response_id: str
    side: Literal["input", "output"]
    position: int
    id: str
    account_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class SQLResponses:
    """``max_chain_bytes`` are those of the items that one request may have to hold in memory."""

    database: Database
    commits: GroupCommit
    max_chain_bytes: int = 1 << 27
    now: Callable[[], datetime.datetime] = ids.now

    async def save(
        self,
        response: StoredResponse,
        inputs: Sequence[StoredItem],
        outputs: Sequence[StoredItem],
    ) -> None:
        items = [*_rows(response, "input", inputs), *_rows(response, "output", outputs)]
        size = sum(len(item.body) for item in items)
        row = _ResponseRow(**msgspec.structs.asdict(response), items_bytes=size)
        await self.commits.insert({responses: [row], response_items: items})

    async def get(self, id: str, account_id: str) -> tuple[StoredResponse, list[StoredItem]] | None:
        rows = await self._read(_response, id=id, account_id=account_id)
        if not rows:
            return None
        first = rows[0]
        response = StoredResponse(
            id=first.id,
            account_id=account_id,
            previous_id=first.previous_id,
            created_at=first.created_at,
            expires_at=first.expires_at,
            body=first.body,
            log=first.log,
        )
        items = [StoredItem(row.item_id, row.item_body) for row in rows if row.item_id is not None]
        return response, items

    async def chain(self, id: str, account_id: str) -> list[StoredItem]:
        most = self.max_chain_bytes
        rows = await self._read(_chain, id=id, account_id=account_id, most=most)
        if not rows:
            raise PreviousResponseNotFound(id, behind=id)
        previous_id, size, *_ = rows[0]  # of the oldest that was found
        if size > most:
            raise InvalidRequest(
                f"the responses before this one hold more than {most:,} bytes of items; "
                "begin anew with what is still needed as input",
                param="previous_response_id",
            )
        if previous_id is not None:
            raise PreviousResponseNotFound(previous_id, behind=id)
        return [StoredItem(item_id, body) for _, _, item_id, body in rows if item_id is not None]

    async def items(self, ids: Sequence[str], account_id: str) -> Mapping[str, StoredItem]:
        wanted = list(dict.fromkeys(each for each in ids if each.isprintable()))
        found: dict[str, StoredItem] = {}
        for start in range(0, len(wanted), _IDS_AT_ONCE):
            some = wanted[start : start + _IDS_AT_ONCE]
            for row in await self._read(_newest_items, account_id=account_id, ids=some):
                found[row.id] = StoredItem(row.id, row.body)
        return found

    async def input_items(
        self,
        id: str,
        account_id: str,
        *,
        after: str | None = None,
        limit: int = 20,
        order: Literal["asc", "desc"] = "desc",
    ) -> ItemPage | None:
        named = after is not None and after.isprintable()
        rows = await self._read(_place, id=id, account_id=account_id, after=after if named else "")
        if not rows:
            return None
        place = _BEFORE_ALL[order] if after is None else rows[0]._mapping[order]
        if place is None:
            raise InvalidRequest("'after' names no input item of this response", param="after")
        found = await self._read(
            _pages[order], id=id, account_id=account_id, place=place, limit=limit + 1
        )
        items = tuple(StoredItem(row.id, row.body) for row in found[:limit])
        return ItemPage(items, has_more=len(found) > limit)

    async def delete(self, id: str, account_id: str) -> bool:
        if not id.isprintable():
            return False
        asked = {"id": id, "account_id": account_id, "now": self.now()}
        async with self.database.writing() as connection:
            done = await connection.execute(delete(responses).where(_own), asked)
        return done.rowcount == 1

    async def sweep(self, now: datetime.datetime, limit: int) -> int:
        statement = delete(responses).where(_r.id.in_(_expired))
        async with self.database.writing() as connection:
            done = await connection.execute(statement, {"now": now, "limit": limit})
        return done.rowcount

    async def _read(self, statement: Any, **asked: Any) -> Sequence[Any]:
        """Returns the rows; none for an id that not every database can be asked for."""
        if not asked.get("id", "").isprintable():
            return ()
        async with self.database.reading() as connection:
            return (await connection.execute(statement, {**asked, "now": self.now()})).all()


def _rows(
    response: StoredResponse, side: Literal["input", "output"], items: Sequence[StoredItem]
) -> Iterator[_ItemRow]:
    for position, item in enumerate(items):
        yield _ItemRow(response.id, side, position, item.id, response.account_id, item.body)
