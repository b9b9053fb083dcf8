"""Ids: prefixed, ordered by time, unguessable."""

from __future__ import annotations

import datetime
import secrets
import time

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TIME_DIGITS = 8  # milliseconds in base 62: enough until the year 8888
_RANDOM_DIGITS = 22  # 131 bits


def new_id(prefix: str) -> str:
    """Returns ``prefix_`` + 8 base62 digits of the time in ms + 22 random ones.

    Sorting ids of one prefix as text sorts them by the millisecond of their making.
    """
    return f"{prefix}_{base62(time.time_ns() // 1_000_000, _TIME_DIGITS)}{random_base62(_RANDOM_DIGITS)}"


def base62(number: int, digits: int) -> str:
    """Returns the last ``digits`` base62 digits of a number, most significant first."""
    out = []
    for _ in range(digits):
        number, digit = divmod(number, 62)
        out.append(ALPHABET[digit])
    return "".join(reversed(out))


def random_base62(digits: int) -> str:
    """Returns that many base62 digits from the system's source of randomness."""
    return base62(secrets.randbelow(62**digits), digits)


def now() -> datetime.datetime:
    """Returns the present moment, in UTC."""
    return datetime.datetime.now(datetime.UTC)  # noqa: TID251  # the one place
