"""What is measured, and what must be reached."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import msgspec

from nano.evaluation.cases import (
    extraction,
    long_prompt,
    memory,
    no_call,
    one_argument,
    open_ended,
    right_tool,
    tool_result,
    two_arguments,
    two_calls,
)
from nano.evaluation.check import Check

OVERALL_TARGET = 85
"""Percent of all checks of the skills together."""
STEP_TARGET = 1.3
"""How many times as long the reasoning of an effort must be as that of the effort below."""
GUIDE, EFFORT, LOOPS = "guide", "effort", "loops"
SKILLS = (
    *("right-tool", "one-argument", "two-arguments", "extraction", "tool-result"),
    *("memory", "two-calls", "no-call"),
)
"""The categories that show what the model can do: they make up the overall score."""


class Category(msgspec.Struct, frozen=True):
    """Checks of one kind; ``target`` is in percent."""

    key: str
    title: str
    target: int
    checks: tuple[Check, ...]


def categories(characters_per_token: float) -> list[Category]:
    """Returns all categories; long prompts are as long as the model's tokenizer makes them."""
    long_prompts = partial(long_prompt.checks, characters_per_token)
    return [
        _category("right-tool", "the right one of 2 to 8 tools", 95, right_tool.checks()),
        _category("one-argument", "one argument copied", 95, one_argument.checks()),
        _category("two-arguments", "two arguments, one a choice", 85, two_arguments.checks()),
        _category("extraction", "three fields under a schema", 90, extraction.checks()),
        _category("tool-result", "a value from a tool's result", 95, tool_result.checks()),
        _category("memory", "remembered over turns", 95, memory.checks()),
        _category("two-calls", "two calls for two questions", 80, two_calls.checks()),
        _category("no-call", "no call where no tool fits", 90, no_call.checks()),
        _category("long", "long prompts answered", 100, long_prompts()),
        _category("open", "open prompts answered", 100, open_ended.checks()),
    ]


KEYS = (*SKILLS, "long", "open", GUIDE, EFFORT)


def _category(key: str, title: str, target: int, checks: Iterable[Check]) -> Category:
    return Category(key, title, target, tuple(checks))


def sample(checks: tuple[Check, ...], count: int) -> tuple[Check, ...]:
    """Returns ``count`` of the checks, spread evenly over them, or all if there are no more."""
    count = min(count, len(checks))
    return tuple(checks[number * len(checks) // count] for number in range(count))
