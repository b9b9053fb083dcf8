"""What has been said in a chat, and the request that goes on with it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from trunkline.terminal.effort import Effort
from trunkline.terminal.events import Answering, Content, Event, Finished, Reasoning, ToolCall

_CUT = "[the user stopped this reply here]"


@dataclass(slots=True)
class Answer:
    """What has come of one answer so far."""

    content: str = ""
    reasoning: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    answering: Answering = field(default_factory=Answering)
    finished: Finished | None = None

    def add(self, event: Event) -> None:
        match event:
            case Content(text):
                self.content += text
            case Reasoning(text):
                self.reasoning += text
            case ToolCall():
                self.calls.append(event)
            case Answering():
                self.answering = event
            case Finished():
                self.finished = event

    @property
    def empty(self) -> bool:
        """Whether there is nothing to remember: reasoning is not part of a conversation."""
        return not self.content and not self.calls


@dataclass(slots=True)
class Conversation:
    """The turns so far; ``model``, ``system`` and ``effort`` hold for the next one."""

    model: str
    system: str | None = None
    effort: Effort | None = None
    _messages: list[dict[str, Any]] = field(default_factory=list)

    def request(self, question: str) -> dict[str, Any]:
        """Returns the body of a request that asks a question after all that was said."""
        system = [] if self.system is None else [_message("system", self.system)]
        messages = [*system, *self._messages, _message("user", question)]
        return streamed(self.model, messages, reasoning_effort=self.effort)

    def add(self, question: str, answer: Answer, *, cut: bool = False) -> None:
        """Remembers a turn; of an answer that was ``cut``, what had come of it, marked as such.

        Calls are remembered as text: there are no results, and without them no model may go on.
        """
        parts = [answer.content, *(f"[called {call_text(call)}]" for call in answer.calls)]
        if cut:
            parts.append(_CUT)
        text = "\n".join(part for part in parts if part)
        self._messages += [_message("user", question), _message("assistant", text)]

    def clear(self) -> int:
        """Forgets the turns and returns how many there were."""
        turns = len(self._messages) // 2
        self._messages.clear()
        return turns


def streamed(model: str, messages: list[dict[str, Any]], **parameters: Any) -> dict[str, Any]:
    """Returns the body of a request for a streamed answer; parameters that are None are left out."""
    return {
        "model": model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        **{name: value for name, value in parameters.items() if value is not None},
    }


def call_text(call: ToolCall) -> str:
    """Returns a call as a reader of programs would write it.

    >>> call_text(ToolCall("get_weather", '{"city": "Paris", "days": 2}'))
    'get_weather(city="Paris", days=2)'
    """
    try:
        arguments = msgspec.json.decode(call.arguments or "{}", type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return f"{call.name}({call.arguments})"
    shown = (f"{name}={bytes(value).decode()}" for name, value in arguments.items())
    return f"{call.name}({', '.join(shown)})"


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}
