"""The arguments of a tool call: watched while they grow, mended where there is one way to, and checked.

Nothing is guessed: what could mean two things, or does not fit the tool's schema, stays broken.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_MAX_WORD = 64
_MAX_WRAPPINGS = 3  # documents in strings, in lists, in envelopes
_SPACE = " \t\n\r"
_ENVELOPES = ({"name", "arguments"}, {"name", "parameters"})

_PLAIN = re.compile(r'[^"\\\x00-\x1f]+')
_NUMBER = re.compile(r"-?\d*(?:\.\d*)?(?:[eE][+-]?\d*)?")
_LITERALS = {"True": "true", "False": "false", "None": "null"}
_KNOWN_WORDS = ("true", "false", "null")
_TOKEN = re.compile(
    r'(?P<string>"(?:[^"\\]|\\.)*")|(?P<word>[A-Za-z_]+)|(?P<number>-?\d[\d.eE+-]*)'
    r"|(?P<mark>[{}\[\]:,])|(?P<space>\s+)",
    re.DOTALL,
)
_OBJECT = re.compile(r"\{\s*(?:[\"'}]|$)")  # the beginning of one, cut off perhaps
_CONTROL = re.compile(r"[\x00-\x1f]")
_FENCE = "```"


class Watch:
    """Follows arguments as they arrive.

    Attributes:
        safe: how many characters are, beyond doubt, the beginning of one JSON object.
        trouble: a character came that has no place there; ``safe`` grows no more.
        over: the object is complete.
    """

    def __init__(self) -> None:
        self.safe = 0
        self.trouble = False
        self.over = False
        self._seen = 0
        self._open: list[str] = []
        self._in_string = False
        self._escaped = False
        self._spaced = False
        self._word = ""
        self._last = ""  # the last character that means something; a word or string is "a"

    def feed(self, text: str) -> None:
        at = len(text) if self.trouble else 0
        while at < len(text):
            at = self._in(text, at) if self._in_string else self._between(text, at)
            if self.trouble:
                break
            # A comma may turn out to be one too many, and what follows space after the end.
            if self._last != "," and not (self.over and self._spaced):
                self.safe = self._seen + at
        self._seen += len(text)

    def _in(self, text: str, at: int) -> int:
        if self._escaped:
            self._escaped = False
            return at + 1
        if plain := _PLAIN.match(text, at):
            return plain.end()
        match text[at]:
            case '"':
                self._in_string = False
            case "\\":
                self._escaped = True
            case _:
                self.trouble = True
        return at + 1

    def _between(self, text: str, at: int) -> int:
        character = text[at]
        self._spaced = character in _SPACE
        if self._spaced:
            self._end_word()
        elif character in '{}[]:,"' and not self.over:
            self._end_word()
            self._place(character)
        else:
            self._word += character
            numeric = _NUMBER.fullmatch(self._word) is not None
            known = any(word.startswith(self._word) for word in _KNOWN_WORDS)
            begins = len(self._word) > 1 or self._last in ("[", ":", ",")
            placed = begins and bool(self._open) and len(self._word) <= _MAX_WORD
            self.trouble = not (numeric or known) or not placed or self.over
            self._last = "a"
        return at + 1

    def _end_word(self) -> None:
        if self._word and self._word[0].isalpha():
            self.trouble = self._word not in _KNOWN_WORDS
        self._word = ""

    def _place(self, character: str) -> None:
        before = self._last
        match character:
            case '"':
                wrong = before not in ("{", "[", ":", ",")
                self._in_string = True
            case "{" | "[":
                wrong = before not in ("", "[", ":", ",") or (not before and character == "[")
                self._open.append("}" if character == "{" else "]")
            case "}" | "]":
                wrong = before in (",", ":") or not self._open or self._open.pop() != character
                self.over = not self._open
            case _:
                wrong = before in ("", "{", "[", ":", ",")
        self._last = "a" if character == '"' else character
        self.trouble = self.trouble or wrong


def parsed(text: str) -> dict[str, Any] | None:
    """Returns the JSON object that a text is, None if it is none."""
    value = _value(text)
    return value if isinstance(value, dict) else None


def unfenced(text: str) -> Any:
    """Returns the JSON value that a text is, perhaps between fences, None if it is none."""
    return _value(_without_fence(text.strip()))


def mend(text: str, parameters: Mapping[str, Any] | None = None) -> str | None:
    """Returns the one JSON object that was meant and fits the tool's ``parameters``, or None.

    Undone are: fences around it, text after it, a document in a string, in a list of one or in an
    envelope of name and arguments, missing brackets at its end, trailing commas, raw line breaks in
    strings, and what Python writes instead of JSON. Nothing at all is an object without properties.
    """
    for candidate in _candidates(text):
        value = parsed(candidate)
        if value is not None and fits(value, parameters):
            return candidate
    return None


def fits(arguments: Mapping[str, Any], parameters: Mapping[str, Any] | None) -> bool:
    """Whether arguments have what a schema requires, nothing it forbids, and the types it wants.

    Only the top level is looked at, and only what a JSON schema says there in plain words.
    """
    schema = parameters or {}
    described = schema.get("properties")
    properties: Mapping[str, Any] = described if isinstance(described, Mapping) else {}
    required = schema.get("required")
    if isinstance(required, list) and not all(
        name in arguments for name in required if isinstance(name, str)
    ):
        return False
    if schema.get("additionalProperties") is False and not arguments.keys() <= properties.keys():
        return False
    return all(_is_of(value, properties.get(name)) for name, value in arguments.items())


def _is_of(value: Any, schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return True
    if isinstance(allowed := schema.get("enum"), list) and value not in allowed:
        return value is None and schema.get("nullable") is True
    types = schema.get("type")
    names: Sequence[Any] = types if isinstance(types, list) else [types]
    if types is None or (value is None and schema.get("nullable") is True):
        return True
    return any(_is_a(value, name) for name in names)


def _is_a(value: Any, name: Any) -> bool:
    match name:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            return whole and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "null":
            return value is None
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case _:
            return True


# ----------------------------------------------------------------------------------- what was meant


def _candidates(text: str, wrappings: int = 0) -> Iterator[str]:
    """Yields what the text may have meant, the likeliest first; never two that say different things."""
    text = _without_fence(text.strip())
    if not text:
        yield "{}"
        return
    yield from _unwrapped(text, wrappings)
    if text.startswith("{"):
        yield from _object_at_the_start(text)
    elif text.startswith(("[", '"')) and (whole := _first_value(text)) is not None:
        yield from _unwrapped(whole, wrappings)


def _without_fence(text: str) -> str:
    if len(text) < 2 * len(_FENCE) or not (text.startswith(_FENCE) and text.endswith(_FENCE)):
        return text
    return text[len(_FENCE) : -len(_FENCE)].removeprefix("json").strip()


def _unwrapped(text: str, wrappings: int) -> Iterator[str]:
    value = _value(text)
    if wrappings == _MAX_WRAPPINGS:
        return
    if isinstance(value, dict):
        yield text
        if value.keys() in _ENVELOPES:
            inner = value["arguments"] if "arguments" in value else value["parameters"]
            yield from _unwrapped_value(inner, wrappings)
    elif isinstance(value, str) or (isinstance(value, list) and len(value) == 1):
        yield from _unwrapped_value(value if isinstance(value, str) else value[0], wrappings)


def _unwrapped_value(value: Any, wrappings: int) -> Iterator[str]:
    if isinstance(value, str):
        yield from _candidates(value, wrappings + 1)
    elif isinstance(value, dict):
        yield from _unwrapped(json.dumps(value, ensure_ascii=False), wrappings + 1)


def _object_at_the_start(text: str) -> Iterator[str]:
    """Yields the object that the text begins with, mended; nothing if another one follows it."""
    spelled = _spelled_out(text)
    if spelled is not None:
        found, rest = spelled
        first = parsed(found)
        if first is not None and _says_no_more(rest, first):
            yield found
        return
    value = _literal(text)
    if value is not None:
        yield value


def _first_value(text: str) -> str | None:
    try:
        _, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return text[:end]


def _says_no_more(text: str, first: Mapping[str, Any]) -> bool:
    """Whether no other object follows in the text: an empty one, or the first once more, is none."""
    other = _OBJECT.search(text)
    if other is None:
        return True
    found = _first_value(text[other.start() :])
    return found is not None and parsed(found) in ({}, first)


def _spelled_out(text: str) -> tuple[str, str] | None:
    """Returns the object at the start as JSON, with its spacing, and the text behind it.

    None where more than closing brackets is missing, or something is too much but a comma.
    """
    out: list[str] = []
    closing: list[str] = []
    last, last_at, at = "", 0, 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            return None
        at, word = token.end(), token[0]
        match token.lastgroup:
            case "space":
                out.append(word)
                continue
            case "string":
                word = _CONTROL.sub(_escaped, word)
            case "word":
                word = _LITERALS.get(word, word)
            case "mark" if word in "{[":
                closing.append("}" if word == "{" else "]")
            case "mark" if word in "}]":
                if not closing or closing.pop() != word:
                    return None
                if last == ",":
                    del out[last_at]
        last, last_at = word, len(out)
        out.append(word)
        if not closing:
            return "".join(out), text[at:]
    if last in ("", ",", ":", "{", "["):
        return None  # cut off, not merely left open
    return "".join(out) + "".join(reversed(closing)), ""


def _escaped(character: re.Match[str]) -> str:
    return json.dumps(character[0])[1:-1]


def _literal(text: str) -> str | None:
    """Returns a Python dict as JSON, None if the text is none, or quotes in ways that differ."""
    if "\\" in text:
        return None
    try:
        value = ast.literal_eval(text)
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _value(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_number)
