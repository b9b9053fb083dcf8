"""A request's body, taken apart into typed parameters and its fields as sent."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import TypeVar

import msgspec
from msgspec import Raw

from trunkline.errors import InvalidRequest
from trunkline.wire.invalid import translated

_Parameters = TypeVar("_Parameters")
_MAX_NAME = 100  # characters of an unknown parameter's name that are quoted

_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_check_syntax = msgspec.json.Decoder(Raw).decode


def decode_parameters(
    body: bytes,
    decoder: msgspec.json.Decoder[_Parameters],
    *,
    known: Collection[str],
    lenient: bool,
) -> tuple[_Parameters, dict[str, Raw], tuple[str, ...]]:
    """Returns the parameters, the fields that are known, and the names of those that were left out.

    Raises InvalidRequest that names the field: for malformed JSON, wrong types, missing fields,
    values out of range and, unless ``lenient``, for names that nobody knows. Null is as absent.
    """
    try:
        fields = _decode_fields(body)
        parameters = decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise translated(_syntax_error(body) or error, of=decoder.type) from error
    fields = {name: raw for name, raw in fields.items() if bytes(raw) != b"null"}
    unknown = fields.keys() - known
    if unknown and not lenient:
        raise unknown_parameter(
            min(unknown),
            known,
            remedy=" (the header 'x-trunkline-params: lenient' leaves unknown ones out)",
        )
    for name in unknown:
        del fields[name]
    return parameters, fields, tuple(sorted(unknown))


def _syntax_error(body: bytes) -> msgspec.DecodeError | RecursionError | None:
    """Returns what keeps a body from being JSON at all, which may stand behind a wrong type."""
    try:
        _check_syntax(body)
    except (msgspec.DecodeError, RecursionError) as error:
        return error
    return None


def unknown_parameter(name: str, known: Collection[str], *, remedy: str = "") -> InvalidRequest:
    """Returns the error for a name that nobody knows, with the closest one that somebody does."""
    shown = name[:_MAX_NAME]
    near = difflib.get_close_matches(shown, known, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return InvalidRequest(
        f"unknown parameter '{shown}'{hint}{remedy}",
        code="unknown_parameter",
        param=shown,
    )
