"""Dialogues as they are written, and the samples that a model learns from them.

A dialogue is written turn by turn. Each turn of the assistant becomes one sample: the prompt, exactly
as the router renders it for the turns before, and the completion that is wanted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from trunkline.wire.harmony import Effort, Marker, Persona, Piece, ResponseFormat, render

_EFFORTS: Sequence[Effort] = ("low", "medium", "medium", "high")
PERSONA = Persona(
    identity="You are a tiny built-in test model.", knowledge_cutoff=None, channel_required=False
)


@dataclass(frozen=True)
class Sample:
    """A prompt and its completion, as pieces to be tokenized one by one."""

    kind: str
    prompt: list[Piece]
    completion: list[Piece]


@dataclass(frozen=True)
class Setting:
    """What stands before a dialogue. ``thinks`` False: the assistant answers without reasoning."""

    effort: Effort = "medium"
    date: str = "2026-01-01"
    instructions: str | None = None
    instructing_role: str = "system"
    tools: Sequence[Mapping[str, Any]] = ()
    formats: Sequence[ResponseFormat] = ()
    thinks: bool = True


def drawn_effort(random: Random) -> Effort:
    """Returns an effort, medium most often."""
    return random.choice(_EFFORTS)


def drawn_role(random: Random) -> str:
    """Returns the role of a message with instructions."""
    return random.choice(("system", "system", "developer"))


@dataclass(frozen=True)
class Thought:
    """What the assistant thinks: ``plan`` always, ``task`` before it, ``steps`` when it thinks hard."""

    task: str
    plan: str
    steps: str = ""

    def at(self, effort: Effort) -> str:
        """Returns the reasoning at an effort."""
        if effort == "low":
            return self.plan
        if effort == "medium":
            return f"{self.task} {self.plan}"
        steps = f"{self.steps} " if self.steps else ""
        return f"{self.task} Let me think step by step. {steps}{self.plan} Now I am ready."


@dataclass
class Dialogue:
    """One dialogue in a setting; ``samples`` grows with each of the assistant's turns.

    ``keeps_reasoning`` says whether the client sends reasoning back between tool calls.
    """

    kind: str
    setting: Setting
    keeps_reasoning: bool = False
    samples: list[Sample] = field(default_factory=list)
    _messages: list[dict[str, Any]] = field(default_factory=list)
    _calls: int = 0

    def __post_init__(self) -> None:
        if self.setting.instructions:
            role, text = self.setting.instructing_role, self.setting.instructions
            self._messages.append({"role": role, "content": text})

    def user(self, text: str) -> Dialogue:
        """The user says something."""
        self._messages.append({"role": "user", "content": text})
        return self

    def answer(self, thought: Thought, text: str) -> Dialogue:
        """The assistant answers."""
        ending: list[Piece] = [Marker.CHANNEL, "final", Marker.MESSAGE, text, Marker.RETURN]
        self._learn(thought, ending)
        return self.said(text)

    def said(self, text: str) -> Dialogue:
        """The assistant has answered, and there is nothing to be learned from it."""
        self._messages.append({"role": "assistant", "content": text})
        return self

    def call(
        self, thought: Thought, name: str, arguments: Mapping[str, Any], *, learned: bool = True
    ) -> Dialogue:
        """The assistant calls a tool."""
        written = json.dumps(arguments, ensure_ascii=False)
        if learned:
            header: list[Piece] = [Marker.CHANNEL, f"commentary to=functions.{name} "]
            header += [Marker.CONSTRAIN, "json", Marker.MESSAGE, written, Marker.CALL]
            self._learn(thought, header)
        self._calls += 1
        function = {"name": name, "arguments": written}
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": f"call_{self._calls}", "type": "function", "function": function}],
        }
        if self.keeps_reasoning and self.setting.thinks:
            message["reasoning"] = thought.at(self.setting.effort)
        self._messages.append(message)
        return self

    def result(self, text: str) -> Dialogue:
        """The tool that was called last answers."""
        call_id = f"call_{self._calls}"
        self._messages.append({"role": "tool", "tool_call_id": call_id, "content": text})
        return self

    def _learn(self, thought: Thought, ending: list[Piece]) -> None:
        setting = self.setting
        prompt = render(
            self._messages,
            date=setting.date,
            effort=setting.effort,
            tools=setting.tools,
            response_formats=setting.formats,
            persona=PERSONA,
        )
        thinking: list[Piece] = []
        if setting.thinks:
            thinking += [Marker.CHANNEL, "analysis", Marker.MESSAGE, thought.at(setting.effort)]
            thinking += [Marker.END, Marker.START, "assistant"]
        self.samples.append(Sample(self.kind, prompt, thinking + ending))
