"""The query of a request, ``?limit=20&include[]=…``, as typed parameters."""

from __future__ import annotations

import re
from typing import Any, TypeVar, get_origin
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Scope

from trunkline.errors import InvalidRequest
from trunkline.wire.invalid import translated
from trunkline.wire.parameters import unknown_parameter

_Parameters = TypeVar("_Parameters", bound=msgspec.Struct)

_MOST = 100  # fields
_INDEX = re.compile(r"\[\d*\]$")  # how clients write lists: include, include[] and include[0]


def decode_query(scope: Scope, of: type[_Parameters]) -> _Parameters:
    """Returns the parameters; a list may be given in each of the ways that clients write one.

    Raises InvalidRequest that names the parameter, also for one that nobody knows.
    """
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(of)}
    values: dict[str, Any] = {}
    for written, value in _pairs(scope):
        name = _INDEX.sub("", written)
        if name not in fields or (name != written and get_origin(fields[name]) is not list):
            raise unknown_parameter(written, fields)
        if get_origin(fields[name]) is list:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise InvalidRequest(f"'{name}' is given more than once", param=name)
        else:
            values[name] = value
    try:
        return msgspec.convert(values, of, strict=False)
    except msgspec.ValidationError as error:
        raise translated(error, of=of) from error


def _pairs(scope: Scope) -> list[tuple[str, str]]:
    text = bytes(scope["query_string"]).decode("latin-1")
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST, errors="strict")
    except ValueError as error:  # also UnicodeDecodeError
        raise InvalidRequest(
            f"the query is not valid: it must be UTF-8 of at most {_MOST} fields"
        ) from error
