"""The gate: how many requests a key may begin, and have running, over all workers of one server."""

from __future__ import annotations

import hashlib
import math
import mmap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from struct import Struct
from typing import IO, Self

from trunkline.accounts.keyring import Caller
from trunkline.errors import RateLimited
from trunkline.store import Rate

_PLACES = 16_384  # keys that are limited and busy at the same time
_PROBES = 32  # places that are looked at for a key
_BUSY_S = 1.0  # what a caller is told to wait for another request's end, which nobody knows


class Gate:
    """Counts the requests of keys that are limited; nobody else comes here.

    A rate is a bucket that holds as many requests as it names and fills evenly: a quiet key may begin
    them all at once. With ``file``, made by `shared_file`, ``workers`` processes count together, this
    one as number ``worker``: what an earlier process of that number had running has ended with it.
    """

    def __init__(
        self,
        *,
        workers: int = 1,
        worker: int = 0,
        file: Path | None = None,
        clock: Callable[[], float] = time.monotonic,  # one clock for all processes of a machine
    ) -> None:
        self._worker = worker
        self._clock = clock
        self._place = _place(workers)
        self._places: dict[str, int] = {}
        self._file: IO[bytes] | None = None
        self._table: bytearray | mmap.mmap = bytearray()
        self._stack = ExitStack()
        if file is None:
            self._table = bytearray(self._place.size * _PLACES)
            return
        self._file = self._stack.enter_context(file.open("r+b"))
        self._table = self._stack.enter_context(mmap.mmap(self._file.fileno(), 0))
        self._forget_predecessor()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def entered(self, caller: Caller) -> Iterator[None]:
        """Counts a request in, and out again when it ends. Raises RateLimited if it must wait."""
        self._enter(caller)
        try:
            yield
        finally:
            with self._locked():
                self._count(self._places[caller.key_id], -1)

    def _enter(self, caller: Caller) -> None:
        limits = caller.limits
        with self._locked():
            place = self._find(caller.key_id)
            key, due, *running = self._place.unpack_from(self._table, place)
            if limits.concurrency is not None and sum(running) >= limits.concurrency:
                raise RateLimited(
                    f"this key may have {limits.concurrency} requests running, and has; "
                    "wait for one to end",
                    code="concurrency_limit_exceeded",
                    retry_after_s=_BUSY_S,
                )
            wait_s = 0.0
            if limits.rate is not None:
                due, wait_s = _taken(limits.rate, due, self._clock())
            running[self._worker] += not wait_s
            self._place.pack_into(self._table, place, key, due, *running)
        if limits.rate is not None and wait_s:
            raise RateLimited(
                f"this key may begin {limits.rate.requests} requests in {limits.rate.seconds} s; "
                f"try again in {math.ceil(wait_s)} s",
                retry_after_s=wait_s,
            )

    def _count(self, place: int, step: int) -> None:
        key, due, *running = self._place.unpack_from(self._table, place)
        running[self._worker] += step
        self._place.pack_into(self._table, place, key, due, *running)

    def _find(self, key_id: str) -> int:
        """Returns the offset of a key's place, a new one if it has none."""
        name = hashlib.sha256(key_id.encode()).digest()[:16]
        known = self._places.get(key_id)
        if known is not None and self._table[known : known + len(name)] == name:
            return known
        place = self._search(name)
        key, *rest = self._place.unpack_from(self._table, place)
        if key != name:
            self._place.pack_into(self._table, place, name, *rest)
        self._places[key_id] = place
        return place

    def _search(self, name: bytes) -> int:
        start, now = int.from_bytes(name[:4]), self._clock()
        free = None
        for probe in range(_PROBES):
            place = (start + probe) % _PLACES * self._place.size
            key, due, *running = self._place.unpack_from(self._table, place)
            if key == name:
                return place
            if free is None and due <= now and not any(running):
                free = place  # nothing would be lost: its key begins as one that was quiet
        if free is None:
            raise RateLimited("too many keys are busy; try again shortly", retry_after_s=_BUSY_S)
        return free

    def _forget_predecessor(self) -> None:
        with self._locked():
            for place in range(0, len(self._table), self._place.size):
                key, due, *running = self._place.unpack_from(self._table, place)
                if running[self._worker]:
                    running[self._worker] = 0
                    self._place.pack_into(self._table, place, key, due, *running)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keeps other processes out; it is held for microseconds, and ends with its process."""
        if self._file is None:
            yield
            return
        import fcntl  # there are workers only where there is this

        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)


def shared_file(path: Path, *, workers: int) -> Path:
    """Makes the file by which so many workers count together."""
    path.touch(mode=0o600)
    with path.open("r+b") as file:
        file.truncate(_place(workers).size * _PLACES)
    return path


def _place(workers: int) -> Struct:
    """A key's place: whose it is, when its bucket is full again, and what each worker has running."""
    return Struct(f"=16sd{workers}i")


def _taken(rate: Rate, due: float, now: float) -> tuple[float, float]:
    """Takes a request out of a bucket, or says for how many seconds there is none in it.

    ``due`` is when the bucket will be full again; the new one is returned with the wait.
    """
    interval_s = rate.seconds / rate.requests
    due = max(due, now)
    due = min(due, now + rate.seconds)  # it may be of another rate, which has changed
    wait_s = due + interval_s - rate.seconds - now
    # What is exactly full may be a little more, as a sum of floats.
    return (due + interval_s, 0.0) if wait_s <= interval_s / 2 else (due, wait_s)
