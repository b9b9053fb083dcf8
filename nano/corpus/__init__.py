"""What the nano model learns from: dialogues, made up without end."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from nano.corpus import calling, extraction, talk, words
from nano.corpus.dialogue import Dialogue, Sample, Setting, drawn_effort, drawn_role
from nano.corpus.toolbox import toolbox

__all__ = ["Sample", "scene"]

_SYSTEM = ("You are a helpful assistant.", "Be brief.", "Answer in one sentence.", "Use tools when they help.", "You are a helpful assistant. Use the tools when they are needed.", "Be polite.", "Answer shortly and correctly.")  # fmt: skip


def scene(random: Random) -> list[Sample]:
    """Returns the samples of a few dialogues that share their setting.

    They begin alike, so that they can be learned from together.
    """
    dialogues = _dialogues(random)
    return [sample for dialogue in dialogues for sample in dialogue.samples]


def _dialogues(random: Random) -> list[Dialogue]:
    date = f"20{random.randint(24, 32)}-{random.randint(1, 12):02}-{random.randint(1, 28):02}"
    effort = drawn_effort(random)
    thinks = effort != "low" or random.random() < 0.88
    setting = Setting(effort=effort, date=date, thinks=thinks)
    chance = random.random()
    if chance < 0.48:
        return _with_tools(random, _instructed(random, setting))
    if chance < 0.69:
        return [d for _ in range(3) for d in extraction.extraction(random, effort, date)]
    if chance < 0.74:
        return [calling.documentation(random, date)]
    if chance < 0.77:
        return [talk.instructed(random, date)]
    setting = _instructed(random, setting)
    kinds = random.choices(
        (talk.known, talk.unknown, talk.echo, talk.memory), (46, 13, 13, 28), k=4
    )
    return [kind(random, setting) for kind in kinds]


def _instructed(random: Random, setting: Setting) -> Setting:
    chance = random.random()
    if chance < 0.73:
        return setting
    role = drawn_role(random)
    text = random.choice(_SYSTEM)
    if chance > 0.95:  # a long one
        text = f"{text} {words.sentences(random, random.choice((10, 25, 50, 90)))}"
    elif chance > 0.88:
        text = f"{text} {words.sentences(random, random.randint(1, 5))}"
    return replace(setting, instructions=text, instructing_role=role)


def _with_tools(random: Random, setting: Setting) -> list[Dialogue]:
    count = random.choice((1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8))
    if random.random() < 0.05:
        count = random.randint(9, 24)
    tools = toolbox(random, count)
    setting = replace(setting, tools=calling.setting_tools(tools))
    dialogues = []
    for _ in range(min(3 + count // 2, 7)):
        chance = random.random()
        if chance < 0.58:
            dialogues.append(calling.one_call(random, setting, tools))
        elif chance < 0.74:
            dialogues.append(calling.two_calls(random, setting, tools))
        elif chance < 0.86:
            dialogues.append(calling.no_fit(random, setting, tools))
        elif chance < 0.96:
            dialogues.append(talk.known(random, setting))
        else:
            dialogues.append(random.choice((talk.unknown, talk.memory, talk.echo))(random, setting))
    return dialogues
