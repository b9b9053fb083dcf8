"""Whether a value satisfies a caller's JSON schema, within bounds: schema and value are both theirs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from trunkline.engine import grammar
from trunkline.errors import InvalidRequest

_PARAM = "response_format.json_schema.schema"
_MOST_STEPS = 100_000  # keywords looked at; a few references can ask for any number of them
_MOST_PATTERNS = 200
_COMPARED = 500  # comparisons that take as long as a step
_MOST_SAID = 300  # characters of what is wrong


class SchemaCheck:
    """Checks values against a schema of draft 2020-12, whose references may not lead out of it.

    Raises InvalidRequest if the schema is none.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        import jsonschema  # takes a tenth of a second: only where something is checked

        if (size := len(json.dumps(schema))) > grammar.MAX_BYTES:
            raise _unusable(f"is too large to be checked ({size} of {grammar.MAX_BYTES} bytes)")
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise _unusable(f"is not valid: {error.message[:_MOST_SAID]}") from error
        except RecursionError as error:
            raise _unusable("is nested too deeply") from error
        self._schema = schema

    def problem(self, value: Any) -> str | None:
        """Returns what is wrong with a value, in words for the model that gave it; None if nothing is.

        Raises InvalidRequest if that cannot be told.
        """
        from referencing import Registry
        from referencing.exceptions import Unresolvable

        # An empty registry: with the default one addresses in a schema would be fetched.
        validator = _bounded_validator()(self._schema, registry=Registry())
        try:
            error = next(validator.iter_errors(value), None)
        except Unresolvable as failed:
            raise _unusable("holds a reference that leads nowhere in it") from failed
        except (RecursionError, _TooMuch) as failed:
            raise _unusable("takes too long to check") from failed
        if error is None:
            return None
        where = "".join(f"[{json.dumps(step)}]" for step in error.absolute_path)
        return f"{where or 'the document'}: {error.message[:_MOST_SAID]}"


class _TooMuch(Exception):
    """The check is not worth its time."""


def _unusable(why: str) -> InvalidRequest:
    return InvalidRequest(f"{_PARAM} {why}", param=_PARAM)


def _bounded_validator() -> Any:
    """Returns a validator that counts its steps and whose patterns cannot run away."""
    from jsonschema import Draft202012Validator, validators

    steps = patterns = 0

    def counted(keyword: Callable[..., Any]) -> Callable[..., Any]:
        def check(validator: Any, wanted: Any, instance: Any, schema: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps > _MOST_STEPS:
                raise _TooMuch
            return keyword(validator, wanted, instance, schema)

        return check

    def squared(keyword: Callable[..., Any]) -> Callable[..., Any]:
        """Counts what compares everything in an instance with everything."""
        inner = counted(keyword)

        def check(validator: Any, wanted: Any, instance: Any, schema: Any) -> Any:
            nonlocal steps
            size = len(instance) if isinstance(instance, list | dict) else 0
            steps += size * size // _COMPARED
            return inner(validator, wanted, instance, schema)

        return check

    def pattern(_validator: Any, wanted: Any, instance: Any, _schema: Any) -> Iterator[Any]:
        nonlocal patterns
        patterns += isinstance(instance, str)
        if patterns > _MOST_PATTERNS:
            raise _TooMuch
        if isinstance(instance, str) and not _matches(wanted, instance):
            yield jsonschema_error(f"{instance[:60]!r} does not match {wanted!r}")

    from jsonschema import ValidationError as jsonschema_error

    own = {name: counted(keyword) for name, keyword in Draft202012Validator.VALIDATORS.items()}
    own["pattern"] = pattern
    own["enum"] = counted(_one_of(jsonschema_error))
    own["uniqueItems"] = counted(_unique(jsonschema_error))
    for name in ("unevaluatedItems", "unevaluatedProperties"):
        own[name] = squared(own[name])
    # Python's expressions can take for ever, and these are not worth a second engine.
    own["patternProperties"] = lambda *_: ()
    own["additionalProperties"] = counted(_beyond(own["additionalProperties"]))
    return validators.extend(Draft202012Validator, own)  # type: ignore[no-untyped-call]


def _one_of(error: type[Exception]) -> Callable[..., Any]:
    """Finds a value in a list at once, where jsonschema compares it with each."""
    known: dict[int, frozenset[str]] = {}

    def check(_validator: Any, wanted: Any, instance: Any, _schema: Any) -> Iterator[Any]:
        allowed = known.get(id(wanted))
        if allowed is None:
            allowed = known[id(wanted)] = frozenset(map(_canonical, wanted))
        if _canonical(instance) not in allowed:
            yield error(f"{instance!r} is not one of {wanted!r}")

    return check


def _unique(error: type[Exception]) -> Callable[..., Any]:
    """Looks for equal items in one pass, where jsonschema compares each with each."""

    def check(_validator: Any, wanted: Any, instance: Any, _schema: Any) -> Iterator[Any]:
        if not wanted or not isinstance(instance, list):
            return
        if len(set(map(_canonical, instance))) < len(instance):
            yield error(f"{instance!r} has non-unique elements")

    return check


def _canonical(value: Any) -> str:
    """Writes a value so that equal ones are written alike: 1 and 1.0 are, true is not."""
    return json.dumps(_with_integers(value), sort_keys=True)


def _with_integers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_with_integers(one) for one in value]
    if isinstance(value, dict):
        return {name: _with_integers(one) for name, one in value.items()}
    return value


def _beyond(keyword: Callable[..., Any]) -> Callable[..., Any]:
    """Leaves names alone that a pattern may admit."""

    def check(validator: Any, wanted: Any, instance: Any, schema: Any) -> Any:
        return () if "patternProperties" in schema else keyword(validator, wanted, instance, schema)

    return check


def _matches(pattern: str, text: str) -> bool:
    """Whether a text has a match, as far as the engine of grammars can tell: in linear time."""
    wanted = grammar.json_grammar({"type": "string", "pattern": pattern}, strict=False)
    try:
        return grammar.refusal(wanted) != "" or grammar.admitted(
            wanted, json.dumps(text, ensure_ascii=False)
        )
    except ImportError:  # where there is no engine
        return True
