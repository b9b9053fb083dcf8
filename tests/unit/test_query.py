"""Queries as clients write them, and what each mistake in one is answered with."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlencode

import pytest
from msgspec import Meta, Struct

from trunkline.api.query import decode_query
from trunkline.errors import InvalidRequest


class Query(Struct, kw_only=True):
    include: list[Literal["logprobs", "images"]] = []
    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    stream: bool = False


def decoded(query: str) -> Query:
    return decode_query({"query_string": query.encode()}, Query)


def refused(query: str) -> tuple[str, str | None, str]:
    with pytest.raises(InvalidRequest) as caught:
        decoded(query)
    return caught.value.code, caught.value.param, caught.value.message


def test_nothing_is_asked_by_an_empty_query() -> None:
    assert decoded("") == Query()


def test_each_value_gets_its_type() -> None:
    asked = decoded("limit=7&after=msg_%C3%BC%20x&stream=true")
    assert asked == Query(limit=7, after="msg_ü x", stream=True)
    assert decoded("after=12&stream=False").after == "12"


@pytest.mark.parametrize("name", ["include", "include[]", "include[0]", "include%5B%5D"])
def test_lists_are_read_in_each_of_the_ways_that_clients_write_them(name: str) -> None:
    assert decoded(f"{name}=logprobs") == Query(include=["logprobs"])
    assert decoded(f"{name}=logprobs&{name}=images") == Query(include=["logprobs", "images"])


@pytest.mark.parametrize(
    ("query", "code", "param", "message"),
    [
        ("limt=5", "unknown_parameter", "limt", "unknown parameter 'limt'; did you mean 'limit'?"),
        ("x=", "unknown_parameter", "x", "unknown parameter 'x'"),
        ("limit[]=5", "unknown_parameter", "limit[]", "unknown parameter 'limit[]'; did you mean 'limit'?"),
        ("include[a]=images", "unknown_parameter", "include[a]", "unknown parameter 'include[a]'; did you mean 'include'?"),
        ("limit=0", "invalid_value", "limit", "limit: must be at least 1"),
        ("limit=101", "invalid_value", "limit", "limit: must be at most 100"),
        ("limit=many", "invalid_type", "limit", "limit: must be an integer, not a string"),
        ("limit=", "invalid_type", "limit", "limit: must be an integer, not a string"),
        ("limit=1&limit=2", "invalid_value", "limit", "'limit' is given more than once"),
        ("stream=maybe", "invalid_type", "stream", "stream: must be true or false, not a string"),
        ("include=images&include=all", "invalid_value", "include[1]", "include[1]: must be one of logprobs, images, not 'all'"),
        ("after=%FF", "invalid_value", None, "the query is not valid: it must be UTF-8 of at most 100 fields"),
        ("&".join(["include=images"] * 101), "invalid_value", None, "the query is not valid: it must be UTF-8 of at most 100 fields"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(query: str, code: str, param: str | None, message: str) -> None:
    assert refused(query) == (code, param, message)


def test_a_long_name_is_quoted_in_part() -> None:
    code, param, message = refused(urlencode({"x" * 5000: "1"}))
    assert code == "unknown_parameter"
    assert param == "x" * 100
    assert len(message) < 200
