"""Random lives of stored responses, by two workers on one database, beside a plain model of the state."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import functools
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from trunkline import ids
from trunkline.errors import InvalidRequest, PreviousResponseNotFound
from trunkline.store import StoredItem, StoredResponse, open_store

DAY = datetime.timedelta(days=1)
MICROSECOND = datetime.timedelta(microseconds=1)
BEGIN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

_names = itertools.count()

workers = st.integers(0, 1)
foreign = st.sampled_from([False, False, False, True])  # whether another account asks
# Few ids, so that several items have the same one.
item = st.tuples(st.integers(0, 5), st.binary(max_size=40))
items = st.lists(item, max_size=4)
lifetimes = st.sampled_from([None, DAY, 4 * DAY])
orders = st.sampled_from(["asc", "desc"])


@dataclasses.dataclass
class Kept:
    """A response of the model."""

    response: StoredResponse
    inputs: list[StoredItem]
    outputs: list[StoredItem]
    number: int


class Lives(RuleBasedStateMachine):
    """Does the same to the ports and to the model, and compares what they tell."""

    known = Bundle("known")

    def __init__(self, runner: asyncio.Runner, stores: list[Any]) -> None:
        super().__init__()
        self.run = runner.run
        self.at = BEGIN
        self.stores = stores
        self.ports = [dataclasses.replace(store.responses, now=lambda: self.at) for store in stores]
        self.model: dict[str, Kept] = {}
        self.made_by: dict[str, str] = {}
        self.made = itertools.count()

    @initialize(target=known)
    def begin(self) -> str:
        named = self.stores[0].accounts.named
        self.accounts: list[str] = [self.run(named(f"account {next(_names)}")).id for _ in range(2)]
        return "resp_unknown"

    # ------------------------------------------------------------------------------- what happens

    def _account(self, id: str | None, foreign: bool) -> str:
        """Returns the account that made a response, or the other one."""
        own = self.made_by.get(id or "", self.accounts[0])
        return next(each for each in self.accounts if (each != own) is foreign)

    def _new(self, foreign: bool, previous: str | None, lifetime: Any, ins: Any, outs: Any) -> Kept:
        number = next(self.made)
        response = StoredResponse(
            id=ids.new_id("resp"),
            account_id=self._account(previous, foreign),
            previous_id=previous,
            created_at=self.at + number * MICROSECOND,
            expires_at=None if lifetime is None else self.at + lifetime,
            body=b'{"number":%d}' % number,
            log=None if len(ins) % 2 else bytes(len(outs)),
        )
        inputs, outputs = (
            [StoredItem(f"msg_{n}", body) for n, body in some] for some in (ins, outs)
        )
        return Kept(response, inputs, outputs, number)

    def _save(self, worker: int, kept: Kept) -> Any:
        self.model[kept.response.id] = kept
        self.made_by[kept.response.id] = kept.response.account_id
        return self.ports[worker].save(kept.response, kept.inputs, kept.outputs)

    @rule(
        target=known,
        worker=workers,
        foreign=foreign,
        previous=known | st.none(),
        lifetime=lifetimes,
        ins=st.lists(item, min_size=1, max_size=4),
        outs=items,
    )
    def create(
        self, worker: int, foreign: bool, previous: Any, lifetime: Any, ins: Any, outs: Any
    ) -> str:
        kept = self._new(foreign, previous, lifetime, ins, outs)
        self.run(self._save(worker, kept))
        return kept.response.id

    @rule(
        target=known,
        foreign=foreign,
        previous=known | st.none(),
        several=st.lists(items, min_size=1, max_size=4),
    )
    def branch(self, foreign: bool, previous: Any, several: Any) -> Any:
        """Creates several at the same time, by both workers."""
        kept = [self._new(foreign, previous, None, [], outs) for outs in several]

        async def all_at_once() -> None:
            await asyncio.gather(*(self._save(n % 2, each) for n, each in enumerate(kept)))

        self.run(all_at_once())
        return multiple(*(each.response.id for each in kept))

    @rule(worker=workers, foreign=foreign, id=known)
    def delete(self, worker: int, foreign: bool, id: str) -> None:
        account = self._account(id, foreign)
        there = self._alive(id, account) is not None
        assert self.run(self.ports[worker].delete(id, account)) is there
        if there:
            del self.model[id]

    @rule(days=st.integers(1, 2))
    def wait(self, days: int) -> None:
        self.at += days * DAY

    @rule(worker=workers, limit=st.integers(1, 3))
    def sweep(self, worker: int, limit: int) -> None:
        expired = [id for id, kept in self.model.items() if self._expired(kept)]
        swept = 0
        while some := self.run(self.ports[worker].sweep(self.at, limit)):
            assert some <= limit
            swept += some
        assert swept == len(expired)
        for id in expired:
            del self.model[id]

    # ----------------------------------------------------------------------------- what is told

    def _expired(self, kept: Kept) -> bool:
        expires_at = kept.response.expires_at
        return expires_at is not None and expires_at <= self.at

    def _alive(self, id: str, account: str) -> Kept | None:
        kept = self.model.get(id)
        if kept is None or self._expired(kept) or kept.response.account_id != account:
            return None
        return kept

    @rule(worker=workers, foreign=foreign, id=known)
    def show(self, worker: int, foreign: bool, id: str) -> None:
        account = self._account(id, foreign)
        kept = self._alive(id, account)
        found = self.run(self.ports[worker].get(id, account))
        assert found == (None if kept is None else (kept.response, kept.outputs))

    @rule(worker=workers, foreign=foreign, id=known)
    def follow(self, worker: int, foreign: bool, id: str) -> None:
        account = self._account(id, foreign)
        expected: list[StoredItem] = []
        link: str | None = id
        while link is not None and (kept := self._alive(link, account)) is not None:
            expected = [*kept.inputs, *kept.outputs, *expected]
            link = kept.response.previous_id
        if link is None:
            assert self.run(self.ports[worker].chain(id, account)) == expected
            return
        with pytest.raises(PreviousResponseNotFound) as caught:
            self.run(self.ports[worker].chain(id, account))
        message = caught.value.message
        assert message.startswith(f"there is no response '{link}'")
        assert (f"to which '{id}' leads back" in message) is (link != id)

    @rule(worker=workers, other=st.integers(0, 1), wanted=st.lists(st.integers(0, 7), max_size=4))
    def refer(self, worker: int, other: int, wanted: list[int]) -> None:
        account = self.accounts[other]
        newest: dict[str, StoredItem] = {}
        for id, kept in sorted(self.model.items(), key=lambda pair: pair[1].number):
            if self._alive(id, account) is not None:
                newest |= {each.id: each for each in (*kept.inputs, *kept.outputs)}
        asked = [f"msg_{n}" for n in wanted]
        found = self.run(self.ports[worker].items(asked, account))
        assert found == {id: newest[id] for id in asked if id in newest}

    @rule(worker=workers, foreign=foreign, id=known, order=orders, limit=st.integers(1, 5))
    def list_inputs(self, worker: int, foreign: bool, id: str, order: Any, limit: int) -> None:
        account = self._account(id, foreign)
        kept = self._alive(id, account)
        list_ = self.ports[worker].input_items
        page = self.run(list_(id, account, order=order, limit=limit))
        if kept is None:
            assert page is None
            return
        expected = kept.inputs if order == "asc" else kept.inputs[::-1]
        assert list(page.items) == expected[:limit]
        assert page.has_more is (len(expected) > limit)
        if page.items:
            after = page.items[-1].id
            last = max(n for n, each in enumerate(expected) if each.id == after)
            rest = self.run(list_(id, account, order=order, limit=100, after=after))
            assert list(rest.items) == expected[last + 1 :]
        with pytest.raises(InvalidRequest):
            self.run(list_(id, account, after="msg_unknown"))

    @invariant()
    def whole(self) -> None:
        """Whatever became of others, the newest response is as it was made, and leads back."""
        if self.model:
            newest = max(self.model.values(), key=lambda kept: kept.number)
            self.show(0, False, newest.response.id)
            self.follow(1, False, newest.response.id)

    def teardown(self) -> None:
        """Leaves nothing for the next run, and nothing of what was deleted."""
        self.at += 100 * DAY
        self.sweep(0, 3)
        for id in list(self.model):
            self.delete(1, False, id)
        super().teardown()


def test_two_workers_tell_what_a_plain_model_tells(url):
    with asyncio.Runner() as runner:
        opened = [open_store(url), open_store(url)]
        stores = [runner.run(each.__aenter__()) for each in opened]
        try:
            machine: Any = functools.partial(Lives, runner, stores)
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=40,
                    stateful_step_count=40,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            for each in reversed(opened):
                runner.run(each.__aexit__(None, None, None))
