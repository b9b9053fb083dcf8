"""The same prompts at each reasoning effort: how long the reasoning is, is what matters."""

from __future__ import annotations

from nano.evaluation.check import Check, SaysFreely, user

EFFORTS = ("low", "medium", "high")
_PROMPTS = (
    "What is the capital of France?",
    "Hello!",
    "Tell me a fun fact about the Eiffel Tower.",
    "How many legs does a spider have?",
    "Write a poem about autumn.",
    "What is 12 plus 30?",
    "My train leaves at nine and I need 20 minutes to the station. When should I go?",
    "Tell me a short story about a robot who discovers music.",
    "Which is larger, the sun or the moon?",
    "Why is the sea salty?",
)


def checks(effort: str) -> tuple[Check, ...]:
    """Returns the prompts at one effort."""
    return tuple(
        Check(messages=[user(prompt)], effort=effort, expected=SaysFreely()) for prompt in _PROMPTS
    )
