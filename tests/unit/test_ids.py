"""Ids: their shape, their order, and where their digits come from."""

import os
import re
import time
from collections import Counter

from trunkline import ids


def test_an_id_is_its_prefix_and_thirty_digits():
    assert re.fullmatch(r"req_[0-9A-Za-z]{30}", ids.new_id("req"))


def test_ids_sort_by_the_millisecond_of_their_making(monkeypatch):
    moments = [0, 1, 61, 62, 62**2, 1_800_000_000_000]
    made = []
    for moment_ms in moments:
        monkeypatch.setattr(time, "time_ns", lambda ns=moment_ms * 1_000_000: ns)
        made.append(ids.new_id("req"))
    assert made == sorted(made)


def test_every_random_digit_is_as_likely_as_any_other(monkeypatch):
    monkeypatch.setattr(os, "urandom", lambda _size: bytes(range(256)))
    assert Counter(ids.random_base62(248)) == dict.fromkeys(ids.ALPHABET, 4)


def test_bytes_that_give_no_digit_are_made_up_for(monkeypatch):
    reads = iter([b"\xff" * 8, b"\x00\xf8\x01", b"\x02\x03"])
    monkeypatch.setattr(os, "urandom", lambda _size: next(reads))
    assert ids.random_base62(4) == "0123"


def test_random_digits_differ():
    assert len({ids.random_base62(22) for _ in range(100)}) == 100
