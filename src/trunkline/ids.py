"""Ids: prefixed, ordered by time, unguessable."""

from __future__ import annotations

import datetime
import functools
import os
import time

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TIME_DIGITS = 8  # milliseconds in base 62: enough until the year 8888
_RANDOM_DIGITS = 22  # 131 bits
_DRAWN = 20 * _RANDOM_DIGITS

# A byte below 248 = 4 · 62 gives each digit in four ways; the others would favour some digits.
_DIGITS = (ALPHABET * 5)[:256].encode()
_UNFAIR = bytes(range(248, 256))


def new_id(prefix: str) -> str:
    """Returns ``prefix_`` + 8 base62 digits of the time in ms + 22 random ones.

    Sorting ids of one prefix as text sorts them by the millisecond of their making.
    """
    return f"{prefix}_{_moment(time.time_ns() // 1_000_000)}{_spare.take(_RANDOM_DIGITS)}"


@functools.lru_cache(maxsize=4)
def _moment(ms: int) -> str:
    """Under load several ids are made within one millisecond."""
    return base62(ms, _TIME_DIGITS)


def base62(number: int, digits: int) -> str:
    """Returns the last ``digits`` base62 digits of a number, most significant first."""
    out = []
    for _ in range(digits):
        number, digit = divmod(number, 62)
        out.append(ALPHABET[digit])
    return "".join(reversed(out))


def random_base62(digits: int) -> str:
    """Returns that many base62 digits from the system's source of randomness."""
    found = b""
    while len(found) < digits:
        found += os.urandom(2 * digits).translate(_DIGITS, _UNFAIR)
    return found[:digits].decode()


class _Spare:
    """Random digits that were drawn many at a time: each draw is a call into the kernel."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Leaves none: a forked process that had the same would make the same ids."""
        self._digits = ""

    def take(self, count: int) -> str:
        if len(self._digits) < count:
            self._digits = random_base62(_DRAWN)
        taken, self._digits = self._digits[:count], self._digits[count:]
        return taken


_spare = _Spare()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_spare.forget)


def now() -> datetime.datetime:
    """Returns the present moment, in UTC."""
    return datetime.datetime.now(datetime.UTC)  # noqa: TID251  # the one place
