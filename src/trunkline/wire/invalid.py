"""What msgspec says of a caller's JSON, in our words and our envelope."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from trunkline.errors import InvalidRequest

_AT = re.compile(
    r"^(?P<what>.*?)(?: - at (?:the key|`key`)? ?(?:in )?`\$(?P<path>[^`]*)`)?$", re.DOTALL
)
_MISSING = re.compile(r"missing required field `([^`]+)`")
_UNKNOWN = re.compile(r"unknown field `([^`]+)`")
_WRONG_TYPE = re.compile(r"Expected `([^`]+)`(?:, got `([^`]+)`|$)")
_WRONG_LENGTH = re.compile(r"Expected `(\w+)` of length (<=|>=) (\d+)")
_OUT_OF_RANGE = re.compile(r"Expected `(?:int|float)` (<=|>=|<|>) (\S+)")
_NO_MATCH = re.compile(r"Expected `str` matching regex '(.*)'$", re.DOTALL)
_NOT_A_CHOICE = re.compile(r"Invalid enum value (.*)", re.DOTALL)

_KINDS = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_MAX_QUOTED = 400
_END_OF_TEXT = r"\\Z"  # Python's own spelling, escaped by msgspec
_BOUNDS = {"<=": "at most", ">=": "at least", "<": "less than", ">": "more than"}
_UNITS = {"str": "characters", "array": "elements", "object": "entries"}


def translated(
    error: msgspec.DecodeError | RecursionError | UnicodeDecodeError,
    *,
    of: Any = None,
    at: str = "",
) -> InvalidRequest:
    """Turns a failed decoding of type ``of`` into an error that names the field and the fix.

    ``at`` is the path already walked. ``of`` lets the message list the words that a field takes.
    """
    if isinstance(error, RecursionError):
        return _not_json("the JSON is nested too deeply", at)
    if isinstance(error, UnicodeDecodeError):
        return _not_json("the body is not valid JSON: it is not UTF-8", at)
    if not isinstance(error, msgspec.ValidationError):
        return _not_json(f"the body is not valid JSON: {error}", at)
    found = _AT.match(str(error))
    what, path = (found["what"], found["path"] or "") if found else (str(error), "")
    what = what if len(what) <= _MAX_QUOTED else f"{what[:_MAX_QUOTED]}…`"  # it quotes the caller
    path = path.removesuffix("[...]")  # somewhere in a mapping; msgspec does not say where
    param = at + path if at else path.removeprefix(".")
    if missing := _MISSING.search(what):
        name = f"{param}.{missing[1]}".lstrip(".")
        return InvalidRequest(f"missing '{name}'", code="missing_required_parameter", param=name)
    if unknown := _UNKNOWN.search(what):
        name = f"{param}.{unknown[1]}".lstrip(".")
        return InvalidRequest(f"unknown parameter '{name}'", code="unknown_parameter", param=name)
    code = "invalid_type" if _WRONG_TYPE.match(what) else "invalid_value"
    rule = _rule(what, list(_words(of, path)))
    return InvalidRequest(f"{param or 'the body'}: {rule}", code=code, param=param or None)


def _not_json(message: str, at: str) -> InvalidRequest:
    return InvalidRequest(message, code="invalid_json", param=at or None)


def _rule(what: str, words: list[Any]) -> str:
    if found := _WRONG_TYPE.match(what):
        but = f", not {_kinds(found[2])}" if found[2] else ""  # a tag's type goes unnamed
        return f"must be {_kinds(found[1])}{but}"
    if found := _WRONG_LENGTH.match(what):
        if (found[2], found[3]) == (">=", "1"):
            return "must not be empty"
        return f"must have {_BOUNDS[found[2]]} {found[3]} {_UNITS[found[1]]}"
    if found := _OUT_OF_RANGE.match(what):
        return f"must be {_BOUNDS[found[1]]} {found[2].removesuffix('.0')}"
    if found := _NO_MATCH.match(what):
        return f"must match {found[1].replace(_END_OF_TEXT, '$')}"
    if (found := _NOT_A_CHOICE.match(what)) and words:
        one_of = "one of " if len(words) > 1 else ""
        return f"must be {one_of}{', '.join(map(str, words))}, not {found[1][:100]}"
    return what[0].lower() + what[1:]


def _kinds(names: str) -> str:
    """``float | null`` → ``a number``: that null is as absent goes without saying."""
    kinds = [name for name in names.split(" | ") if name != "null"] or ["null"]
    return " or ".join(_KINDS.get(kind, kind) for kind in kinds)


_STEP = re.compile(r"\.([^.\[]+)|\[\d+\]")


def _words(of: Any, path: str) -> Iterator[Any]:
    """The values of the ``Literal`` that stands at a path within a type."""
    found = list(_alternatives(of))
    for step in _STEP.finditer(path):
        inner = [_inside(one, step[1]) for one in found]
        found = [alternative for one in inner for alternative in _alternatives(one)]
    for one in found:
        if get_origin(one) is Literal:
            yield from get_args(one)


def _alternatives(of: Any) -> Iterator[Any]:
    origin = get_origin(of)
    if origin is Annotated:
        yield from _alternatives(get_args(of)[0])
    elif origin in (Union, types.UnionType):
        for one in get_args(of):
            yield from _alternatives(one)
    else:
        yield of


def _inside(of: Any, name: str | None) -> Any:
    """The type of a struct's field, or of a list's elements where there is no name."""
    if name is None:
        return get_args(of)[0] if get_origin(of) is list else None
    if not isinstance(of, type) or not issubclass(of, msgspec.Struct):
        return None
    return next((f.type for f in msgspec.structs.fields(of) if f.encode_name == name), None)
