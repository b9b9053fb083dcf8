"""Sealed reasoning: opened by whom it was made for, and by nobody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.config import derive
from trunkline.errors import InvalidRequest
from trunkline.responses.sealing import Seal

SECRET = b"an installation secret of our own"
AT = "input[3].encrypted_content"
THOUGHT = "The user wants Paris; I should say so. – ü 🙂"


def refused(sealed: str, *, by: Seal | None = None, account_id: str = "acct_1") -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        (by or Seal(SECRET)).unseal(sealed, account_id=account_id, at=AT)
    return caught.value


@given(st.text(), st.text(max_size=40))
def test_what_was_sealed_is_opened_for_the_same_account(text: str, account_id: str) -> None:
    seal, later = Seal(SECRET), Seal(SECRET)
    sealed = seal.seal(text, account_id=account_id)
    assert later.unseal(sealed, account_id=account_id, at=AT) == text


def test_a_sealed_text_tells_nothing_and_differs_each_time() -> None:
    seal = Seal(SECRET)
    sealed = {seal.seal(THOUGHT, account_id="acct_1") for _ in range(20)}
    assert len(sealed) == 20
    assert all("Paris" not in each for each in sealed)


def test_a_sealed_text_can_stand_in_a_url_and_says_its_version() -> None:
    for length in range(64):
        sealed = Seal(SECRET).seal("x" * length, account_id="acct_1")
        assert sealed.startswith("tl1.")
        assert set(sealed[4:]) <= set(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        )


def test_another_account_cannot_open_it() -> None:
    sealed = Seal(SECRET).seal(THOUGHT, account_id="acct_1")
    for other in ("acct_2", "", "acct_1 ", "acct_"):
        refused(sealed, account_id=other)


def test_another_installation_cannot_open_it() -> None:
    sealed = Seal(SECRET).seal(THOUGHT, account_id="acct_1")
    refused(sealed, by=Seal(SECRET + b"x"))


def test_the_key_serves_this_purpose_only() -> None:
    other = Seal.__new__(Seal)
    other._cipher = type(Seal(SECRET)._cipher)(derive(SECRET, "another purpose"))
    refused(other.seal(THOUGHT, account_id="acct_1"))


def test_a_text_altered_anywhere_cannot_be_opened() -> None:
    sealed = Seal(SECRET).seal("short", account_id="acct_1")
    for place in range(len(sealed)):
        for other in "Az0-":
            if sealed[place] != other:
                refused(sealed[:place] + other + sealed[place + 1 :])
    for end in range(len(sealed)):
        refused(sealed[:end])


@pytest.mark.parametrize(
    "foreign",
    [
        "",
        "tl1.",
        "tl1.AAAA",
        "tl2." + "A" * 80,
        "gAAAAABpMbY" + "A" * 200,
        "tl1." + "A" * 80 + "=",
        "tl1." + "A" * 80 + "\n",
        "tl1." + "+/" * 40,
        "tl1." + "é" * 80,
        "tl1.\ud800" + "A" * 80,
        "tl1.\x00" + "A" * 80,
    ],
)
def test_what_was_not_sealed_here_is_the_callers_mistake(foreign: str) -> None:
    error = refused(foreign)
    assert (error.status, error.code, error.param) == (400, "invalid_value", AT)
    assert error.message == (
        f"'{AT}' cannot be opened: it was altered, or was not made here for this account; "
        "send the item as it was received, or leave it out"
    )


def test_what_is_far_too_long_is_not_even_read() -> None:
    refused("tl1." + "A" * (1 << 24))
    long = "x" * (1 << 23)
    seal = Seal(SECRET)
    assert seal.unseal(seal.seal(long, account_id="a"), account_id="a", at=AT) == long
