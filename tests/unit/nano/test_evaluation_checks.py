"""The checks of the evaluation: words that are held out, and questions that have an answer."""

from __future__ import annotations

import itertools
import json
import re

import pytest

from nano.evaluation import catalogue
from nano.evaluation.cases import effort, guide, long_prompt
from nano.evaluation.check import (
    JSON,
    AsksThenQuotes,
    Call,
    CallsLike,
    CallsThenSays,
    CallsTool,
    CallsWith,
    Check,
    Parses,
    Said,
    Says,
    SaysFreely,
    SaysJSON,
)
from nano.evaluation.heldout import HELD_OUT
from nano.evaluation.judge import judge
from nano.evaluation.toolsets import EVERY, name_of
from trunkline.engine.grammar import json_grammar
from trunkline.wire import harmony

CATEGORIES = {category.key: category for category in catalogue.categories(3.0)}
CHECKS = [check for category in CATEGORIES.values() for check in category.checks]
GUIDE = [check for (check,) in guide.checks(1).values()]
COPIED = ("one-argument", "two-arguments", "extraction", "memory", "two-calls")
NUMBER = re.compile(r"\d+")
COMMON = (
    *("Tanzania", "Argentina", "Mexico", "Russia"),
    *("tractor", "rickshaw", "motorcycle", "delivery van"),
)
"""What an extraction copies beside values that are held out."""


def spoken(check: Check) -> str:
    return "\n".join(message["content"] or "" for message in check.messages)


def ideal(check: Check) -> tuple[Said, ...]:
    """Returns what a model says that does all that is expected."""
    match check.expected:
        case CallsTool(name):
            return (calling(name, {}),)
        case CallsWith(name, arguments):
            return (calling(name, arguments),)
        case CallsLike(name, arguments):
            return (calling(name, {key: texts[0] for key, texts in arguments.items()}),)
        case SaysJSON(value):
            return (saying(json.dumps(value)),)
        case Says(values):
            return (saying(" and ".join(values)),)
        case SaysFreely(words, sentences):
            return (saying("Yes. " * sentences + f"{' '.join(words)} indeed."),)
        case CallsThenSays(calls, values):
            steps = [calling(call.name, call.arguments) for call in calls]
            return (*steps, saying(" and ".join(values)))
        case AsksThenQuotes(name, _, _, sentences):
            question = {"repoName": "modelcontextprotocol/spec", "question": "Which transports?"}
            return (calling(name, question), saying(sentences[0]))
        case Parses():
            return (saying("Yes."),)


def calling(name: str, arguments: JSON) -> Said:
    return Said(calls=(Call(name, arguments),), finish_reason="tool_calls")


def saying(text: str) -> Said:
    return Said(content=text, finish_reason="stop")


def test_there_are_enough_checks_of_each_kind():
    counts = {key: len(category.checks) for key, category in CATEGORIES.items()}
    assert {key for key, count in counts.items() if count < 40} == {"long"}
    assert counts["long"] >= 20
    assert len(effort.checks("low")) == 10


def test_no_check_is_there_twice():
    asked = [(json.dumps(check.messages), str(check.tools)) for check in CHECKS]
    assert len(set(asked)) == len(asked)


def test_the_keys_of_the_catalogue_are_its_categories():
    assert [*CATEGORIES, catalogue.GUIDE, catalogue.EFFORT] == list(catalogue.KEYS)


def test_every_check_can_be_passed_and_failed():
    for check in (*CHECKS, *GUIDE):
        assert judge(check.expected, ideal(check)) is None, check.expected
        assert judge(check.expected, (saying(""),)) is not None, check.expected


def test_what_must_be_copied_stands_in_the_request():
    for check in (check for key in COPIED for check in CATEGORIES[key].checks):
        for value in wanted_of(check):
            assert str(value).lower() in spoken(check).lower(), check


def test_what_a_result_must_give_stands_in_it_and_not_in_the_question():
    for check in CATEGORIES["tool-result"].checks:
        (value,) = map(str, wanted_of(check))
        *before, message = check.messages
        assert value in message["content"]
        assert value not in json.dumps(before, ensure_ascii=False)
    for check in CATEGORIES["two-calls"].checks:
        assert isinstance(check.expected, CallsThenSays)
        for result, value in zip(check.results, check.expected.values, strict=True):
            assert value in result.content
            assert value not in spoken(check)


def wanted_of(check: Check) -> list[object]:
    match check.expected:
        case CallsWith(_, arguments):
            return list(arguments.values())
        case SaysJSON(value):
            return list(value.values())
        case Says(values):
            return list(values)
        case CallsThenSays(calls):
            return [value for call in calls for value in call.arguments.values()]
    raise AssertionError(check.expected)


def test_what_is_copied_is_held_out():
    for check in (check for key in COPIED for check in CATEGORIES[key].checks):
        for value in wanted_of(check):
            choices = {
                option
                for tool in check.tools
                for one in tool["function"]["parameters"]["properties"].values()
                for option in one.get("enum", ())
            }
            free = isinstance(value, int) or value in choices or NUMBER.fullmatch(str(value))
            held_out = (text.lower() in str(value).lower() for text in HELD_OUT.texts)
            assert free or any(held_out) or value in COMMON, value


def test_the_tools_are_those_that_are_held_out():
    assert {name_of(tool) for tool in EVERY} == set(HELD_OUT.tools)


def test_two_thirds_of_the_tools_have_a_noun_that_is_held_out():
    rare = [tool for tool in HELD_OUT.tools if any(noun in tool.lower() for noun in HELD_OUT.nouns)]
    assert 3 * len(rare) >= 2 * len(HELD_OUT.tools)
    for noun in HELD_OUT.nouns:
        assert any(noun in tool.lower() for tool in HELD_OUT.tools), noun


def test_the_schemas_are_those_that_are_held_out():
    asked = set()
    for check in CATEGORIES["extraction"].checks:
        assert check.response_format is not None
        schema = check.response_format["json_schema"]["schema"]
        asked.add(tuple(schema["properties"]))
        assert schema["required"] == list(schema["properties"])
    assert asked == set(HELD_OUT.schemas)


def test_a_corpus_of_common_words_stays_possible():
    held_out = (*HELD_OUT.texts, *HELD_OUT.tools, *HELD_OUT.nouns, *HELD_OUT.schemas)
    assert len(set(held_out)) == len(held_out)
    assert len(held_out) <= 400


def test_every_held_out_value_is_used():
    asked = "\n".join(
        json.dumps([check.messages, str(check.expected)], ensure_ascii=False) for check in CHECKS
    ).lower()
    unused = [
        text
        for text in HELD_OUT.texts
        if json.dumps(text, ensure_ascii=False)[1:-1].lower() not in asked
    ]
    assert unused == []


@pytest.mark.parametrize("check", [*CHECKS[::5], *GUIDE])
def test_the_router_understands_every_request(check):
    harmony.render(check.messages, date="2026-11-22", tools=check.tools)
    for tool in check.tools:
        json_grammar(tool["function"]["parameters"], strict=False)


def test_long_prompts_follow_the_tokenizer():
    coarse, fine = (list(map(size, long_prompt.checks(density))) for density in (3.0, 2.0))
    for larger, smaller in itertools.islice(zip(coarse, fine, strict=True), 12):
        assert 1.2 < larger / smaller < 1.8  # beyond these there are not tools enough


def size(check: Check) -> int:
    return len(json.dumps([check.messages, check.tools]))


@pytest.mark.parametrize(
    ("count", "picked"), [(1, [0]), (2, [0, 5]), (4, [0, 2, 5, 7]), (99, list(range(10)))]
)
def test_a_sample_is_spread_over_all(count, picked):
    numbered = tuple(Check(messages=[], expected=Says((str(n),))) for n in range(10))
    sampled = catalogue.sample(numbered, count)
    assert [numbered.index(check) for check in sampled] == picked
