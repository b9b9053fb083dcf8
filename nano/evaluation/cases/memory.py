"""What the user has said some turns ago."""

from __future__ import annotations

from collections.abc import Iterator

from nano.evaluation.check import JSON, Check, Says, assistant, system, user
from nano.evaluation.heldout import HELD_OUT, take

# How the user says it, how the assistant takes note, how the user asks; the values.
_FACTS: tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], list[str]], ...] = (
    (
        ("My name is {}.", "Hi, I'm {}!", "Hello. You can call me {}.", "{} here, good morning."),
        ("Nice to meet you, {}!", "Hello! How can I help?", "Pleased to meet you.", "Hello, {}."),
        (
            "What is my name?",
            "Do you remember my name?",
            "By the way, what's my name?",
            "Who am I? Tell me my name.",
        ),
        take(HELD_OUT.people, 20, start=10),
    ),
    (
        ("I live in {}.", "I have just moved to {}.", "Greetings from {}, where I live!"),
        ("That sounds lovely.", "I hear {} is a fine place.", "Thank you for telling me."),
        ("Where do I live?", "In which city do I live?", "Do you remember which city I live in?"),
        take(HELD_OUT.places, 12, start=40),
    ),
    (
        ("My favourite colour is {}.", "I love the colour {}."),
        ("A good choice.", "I'll remember that."),
        ("What is my favourite colour?", "Which colour do I like most?"),
        list(HELD_OUT.values.colours),
    ),
    (
        ("My lucky number is {}.", "Please remember the number {}."),
        ("Noted.", "All right, {}."),
        ("What was the number?", "Which number did I tell you?"),
        ["47", "1932", "805", "66", "7130", "291"],
    ),
    (
        ("My dog is called {}.", "I have a cat named {}."),
        ("How sweet!", "Give my regards to {}."),
        ("What is the name of my pet?", "What's my pet called?"),
        ["Biscuit", "Pumpernickel", "Lulu", "Mimi"],
    ),
)

_SMALL_TALK = (
    ("How are you today?", "I am fine, thank you."),
    ("It has been raining all week.", "I hope the sun comes out soon."),
    ("What is two plus two?", "Two plus two is four."),
    ("I had soup for lunch.", "Soup is a good lunch on a cold day."),
    ("Tell me something about cats.", "Cats sleep for most of the day."),
    ("Thanks!", "You're welcome."),
    ("Do you like music?", "Many people find that music lifts their mood."),
    ("I have to work late tonight.", "I hope that you get some rest afterwards."),
)
_SYSTEM = "You are a friendly assistant."


def checks() -> Iterator[Check]:
    for sayings, notes, questions, values in _FACTS:
        for number, value in enumerate(values):
            told = [system(_SYSTEM)] if number % 3 == 2 else []
            yield Check(
                messages=[
                    *told,
                    user(sayings[number % len(sayings)].format(value)),
                    assistant(notes[number % len(notes)].format(value)),
                    *_turns(2 + number % 4, start=3 * number),
                    user(questions[number // 2 % len(questions)]),
                ],
                expected=Says((value,)),
            )


def _turns(count: int, *, start: int) -> Iterator[JSON]:
    """Yields turns of small talk."""
    for number in range(start, start + count):
        said, answered = _SMALL_TALK[number % len(_SMALL_TALK)]
        yield user(said)
        yield assistant(answered)
