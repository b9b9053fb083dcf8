"""``POST /v1/responses`` in front of a provider that speaks chat, beside nginx: what an answer costs."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tests.bench import processes, servers
from tests.bench.load import KEY, Loader, Sample, Server
from tests.bench.programs import Programs
from tests.bench.provider import CHUNKS, DELAY_MS, STREAMS
from trunkline import ids
from trunkline.responses.state import State
from trunkline.store import StoredItem, StoredResponse, open_store

OPEN_STREAMS = 200
CHAIN_ITEMS = 500
ITEM_BYTES = 1024
_ITEMS_A_RESPONSE = 10
_CHAT_JSON = servers.chat_body(servers.UPSTREAM_MODEL, stream=False)
_CHAT_STREAM = servers.chat_body(servers.UPSTREAM_MODEL, stream=True)


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of CPU: of a stored JSON response, and of an event of a stored stream.

    Of nginx those of the chat completion under it.
    """

    server: str
    json_us: float
    burst_event_us: float
    paced_event_us: float


@dataclass(frozen=True, slots=True)
class Measured:
    """``stream_kb`` is the memory of an open stream, ``chain_ms`` the time to read a conversation."""

    costs: list[Cost]
    stream_kb: float
    chain_ms: float


def measure(
    programs: Programs,
    folder: Path,
    *,
    seconds: float,
    rounds: int,
    tell: Callable[[str], None],
) -> Measured:
    """Measures nginx, if it is there, and the router, each in turns."""
    loader = Loader(programs.loadgen, folder=folder)
    with ExitStack() as stack:
        enter = stack.enter_context
        fast = enter(servers.upstream(programs.upstream, chunks=CHUNKS, delay_ms=0))
        slow = enter(servers.upstream(programs.upstream, chunks=CHUNKS, delay_ms=DELAY_MS))
        pairs = []
        if programs.nginx is not None:
            nginx = [
                enter(servers.nginx(programs.nginx, one, folder=folder)) for one in (fast, slow)
            ]
            pairs.append((nginx[0], nginx[1], _CHAT_JSON, _CHAT_STREAM))
        bursts, paced = (_responses(enter(servers.router(one))) for one in (fast, slow))
        pairs.append((bursts, paced, _body(stream=False), _body(stream=True)))
        samples = [(Sample(), Sample(), Sample()) for _ in pairs]
        for number in range(rounds):
            for (one, other, json, stream), sample in zip(pairs, samples, strict=True):
                tell(f"CPU of responses through {one.name}, round {number + 1} of {rounds}")
                if not number:
                    loader.load(one, stream, streams=4, seconds=0.5)
                    loader.load(one, json, streams=4, seconds=0.5)
                loader.sample(sample[0], one, json, streams=STREAMS, seconds=seconds)
                loader.sample(sample[1], one, stream, streams=STREAMS, seconds=seconds)
                loader.sample(sample[2], other, stream, streams=STREAMS, seconds=0.1)
        costs = [
            Cost(one.name, whole.us_per_request, burst.us_per_event, pace.us_per_event)
            for (one, *_), (whole, burst, pace) in zip(pairs, samples, strict=True)
        ]
        tell(f"memory of {OPEN_STREAMS} open streams")
        stream_kb = _stream_kb(loader, paced)
    tell(f"a conversation of {CHAIN_ITEMS} items")
    return Measured(costs, stream_kb, asyncio.run(_chain_ms(folder)))


def _responses(router: Server) -> Server:
    return dataclasses.replace(router, path="/v1/responses")


def _body(*, stream: bool) -> bytes:
    fields = {
        "model": servers.UPSTREAM_MODEL,
        "instructions": "You are a helpful assistant.",
        "input": "Tell me a fun fact about the Eiffel Tower.",
        "stream": stream,
    }
    return msgspec.json.encode(fields)


def _stream_kb(loader: Loader, router: Server) -> float:
    """Returns KB of memory for each of many streams that are open, beyond what was there before.

    A first crowd warms up what stays: buffers, connections, the allocator's pools.
    """
    body = _body(stream=True)
    loader.load(router, body, streams=OPEN_STREAMS, seconds=0.1)
    before_mb = processes.tree_pss_mb(router.pid)
    crowd = threading.Thread(
        target=loader.load, args=(router, body), kwargs={"streams": OPEN_STREAMS, "seconds": 0.1}
    )
    crowd.start()
    most_mb = before_mb
    while crowd.is_alive():
        most_mb = max(most_mb, processes.tree_pss_mb(router.pid))
        time.sleep(0.1)
    crowd.join()
    return (most_mb - before_mb) * 1000 / OPEN_STREAMS


async def _chain_ms(folder: Path) -> float:
    """Returns the least time that reading a conversation out of a file took, decoded for the next turn."""
    async with open_store(f"sqlite:///{folder}/chain.db", pool_size=1, busy_timeout_s=5.0) as store:
        account = await store.accounts.named(KEY)
        previous: str | None = None
        for _ in range(CHAIN_ITEMS // _ITEMS_A_RESPONSE):
            response = StoredResponse(
                id=ids.new_id("resp"),
                account_id=account.id,
                previous_id=previous,
                created_at=ids.now(),
                body=b"{}",
            )
            await store.responses.save(response, [_item() for _ in range(_ITEMS_A_RESPONSE)], [])
            previous = response.id
        state = State(store.responses, keep_for=None)
        times = []
        for _ in range(20):
            began = time.perf_counter()
            found = await state.conversation([], previous_id=previous, account_id=account.id)
            times.append(time.perf_counter() - began)
            assert len(found.items) == CHAIN_ITEMS
        return min(times) * 1000


def _item() -> StoredItem:
    identifier = ids.new_id("msg")
    part = {"type": "input_text", "text": "x" * (ITEM_BYTES - 120)}
    item = {"type": "message", "id": identifier, "role": "user", "content": [part]}
    return StoredItem(identifier, msgspec.json.encode(item))
