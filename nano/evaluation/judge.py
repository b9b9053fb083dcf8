"""Whether what the router said is what a check expects. Pure."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping

from nano.evaluation.check import (
    JSON,
    AsksThenQuotes,
    Call,
    CallsLike,
    CallsThenSays,
    CallsTool,
    CallsWith,
    Expected,
    Parses,
    Said,
    Says,
    SaysFreely,
    SaysJSON,
    Transcript,
)

_SENTENCE_END = re.compile(r"""[.!?…]["'”’)]*(?=\s|$)""")
_GROUPING = re.compile(r"(?<=\d)[,’' \u202f](?=\d{3}(?!\d))")


def judge(expected: Expected, transcript: Transcript) -> str | None:
    """Returns what is wrong, in a few words, or None if all is as expected."""
    for said in transcript:
        if said.error is not None:
            return said.error
        if said.finish_reason not in ("stop", "tool_calls"):
            return f"finish_reason is {said.finish_reason!r}"
    if isinstance(expected, CallsThenSays):
        return _judge_calls_then_answer(expected, transcript)
    if isinstance(expected, AsksThenQuotes):
        return _judge_quotation(expected, transcript)
    if len(transcript) > 1:
        return "it took more than one answer"
    return _judge_one(expected, transcript[0])


def contains(text: str, value: str) -> bool:
    """Whether a text contains a value as whole words.

    ``1,234`` is the number ``1234``; a value without capitals may begin a sentence.
    """
    text, value = _normal(text), _normal(value)
    if re.fullmatch(r"\d{4,}", value):
        text = _GROUPING.sub("", text)
    whole = rf"(?<!\w)(?<!\d[.,]){re.escape(value)}(?!\w|[.,]\d)"
    return re.search(whole, text, re.IGNORECASE if value.islower() else 0) is not None


def sentence_count(text: str) -> int:
    """Returns how many sentences end in a text."""
    return len(_SENTENCE_END.findall(text.strip()))


def _judge_one(expected: Expected, said: Said) -> str | None:
    match expected:
        case CallsTool(name):
            return _judge_call(said, name)
        case CallsWith(name, arguments):
            return _judge_call(said, name) or _judge_arguments(said.calls[0], arguments)
        case CallsLike(name, arguments):
            return _judge_call(said, name) or _judge_likeness(said.calls[0], arguments)
        case SaysJSON(value):
            return _judge_no_call(said) or _judge_json(said.content, value)
        case Says(values):
            return _judge_no_call(said) or _judge_values(said.content, values)
        case SaysFreely(words, sentences):
            return _judge_no_call(said) or _judge_words(said.content, words, sentences)
        case _:
            assert isinstance(expected, Parses)
            return None if said.calls else _judge_no_call(said)


def _judge_call(said: Said, name: str) -> str | None:
    if not said.calls:
        return "no call"
    if len(said.calls) > 1:
        return f"{len(said.calls)} calls at once"
    called = said.calls[0].name
    return None if called == name else f"called {called}"


def _judge_arguments(call: Call, wanted: JSON) -> str | None:
    return None if same(call.arguments, wanted) else f"arguments are {_shown(call.arguments)}"


def _judge_likeness(call: Call, wanted: Mapping[str, tuple[str, ...]]) -> str | None:
    for name, texts in wanted.items():
        given = str(call.arguments.get(name, "")).casefold()
        if not any(text.casefold() in given for text in texts):
            return f"{name} is {_shown(call.arguments.get(name))}"
    return None


def _judge_no_call(said: Said) -> str | None:
    if said.calls:
        return f"called {said.calls[0].name}"
    return None if said.content.strip() else "an empty answer"


def _judge_json(text: str, wanted: JSON) -> str | None:
    try:
        found = json.loads(text)
    except ValueError:
        return "not JSON"
    return None if same(found, wanted) else "other values"


def _judge_values(text: str, values: tuple[str, ...]) -> str | None:
    missing = [value for value in values if not contains(text, value)]
    return f"lacks {', '.join(missing)}" if missing else None


def _judge_words(text: str, words: tuple[str, ...], sentences: int) -> str | None:
    folded = text.casefold()
    missing = [word for word in words if word.casefold() not in folded]
    if missing:
        return f"lacks {', '.join(missing)}"
    found = sentence_count(text)
    return None if found >= sentences else f"{found} of {sentences} sentences"


def _judge_calls_then_answer(expected: CallsThenSays, transcript: Transcript) -> str | None:
    waiting = list(expected.calls)
    for call in (call for said in transcript for call in said.calls):
        match = next((one for one in waiting if _same_call(one, call)), None)
        if match is None:
            return f"called {call.name}({_shown(call.arguments)})"
        waiting.remove(match)
    if waiting:
        return f"never called {waiting[0].name}({_shown(waiting[0].arguments)})"
    last = transcript[-1]
    return _judge_no_call(last) or _judge_values(last.content, expected.values)


def _judge_quotation(expected: AsksThenQuotes, transcript: Transcript) -> str | None:
    first, last = transcript[0], transcript[-1]
    if fault := _judge_call(first, expected.name):
        return fault
    arguments = first.calls[0].arguments
    if fault := _judge_likeness(first.calls[0], expected.arguments):
        return fault
    for name, pattern in expected.patterns.items():
        if not re.fullmatch(pattern, str(arguments.get(name, ""))):
            return f"{name} is {_shown(arguments.get(name))}"
    if len(transcript) > 2:
        return "it called again"
    if fault := _judge_no_call(last):
        return fault
    text = _normal(last.content)
    quoted = any(_normal(sentence) in text for sentence in expected.sentences)
    return None if quoted else "no sentence of the tool's answer"


def _same_call(one: Call, other: Call) -> bool:
    return one.name == other.name and same(one.arguments, other.arguments)


def same(found: object, wanted: object) -> bool:
    """Whether two JSON values are the same: true is not 1, and é is é however it is encoded."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[k], wanted[k]) for k in wanted)
    if isinstance(found, str) and isinstance(wanted, str):
        return _normal(found) == _normal(wanted)
    return isinstance(found, bool) == isinstance(wanted, bool) and found == wanted


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
