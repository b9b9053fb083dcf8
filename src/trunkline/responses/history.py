"""Items of a conversation as the messages of a chat.

Items are finer than messages: what a model thinks, says and calls at a time is one message of the
assistant. The outputs of its calls follow it at once, in whichever order they came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from trunkline.responses.calls import answered
from trunkline.wire.responses import client_tools
from trunkline.wire.responses.items import (
    CallOutputItem,
    ClientCall,
    ClientOutput,
    FunctionCallItem,
    Item,
    MCPCallItem,
    Meaning,
    Message,
    ReasoningInput,
)
from trunkline.wire.responses.parts import (
    InputImage,
    InputText,
    OutputPart,
    Part,
    SaidRefusal,
)
from trunkline.wire.responses.tools import Offered

NO_OUTPUT = "(there is no output: the call was not run)"
"""What the model reads of a call that nobody answered."""

_CALL_ID = 64  # characters that every provider takes
_BETWEEN = "\n\n"  # texts that were items of their own
_DETAILS: Mapping[str, str] = {"low": "low", "high": "high", "original": "high"}


class Unseal(Protocol):
    """Opens sealed reasoning; ``at`` is its path. Raises InvalidRequest."""

    def __call__(self, sealed: str, /, *, at: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a message; ``at`` is the path of its part. ``part`` is chat's and may be changed."""

    at: str
    part: dict[str, Any]

    @property
    def url(self) -> str:
        url: str = self.part["image_url"]["url"]
        return url

    def show(self, url: str) -> None:
        """Puts another URL in its place."""
        self.part["image_url"]["url"] = url


@dataclass(slots=True, kw_only=True)
class History:
    """A conversation's messages, and the images in them."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)


def history_of(
    items: Sequence[Item], *, offered: Offered, all_turns: bool, unseal: Unseal | None
) -> History:
    """Returns the messages that tell a model what the items say.

    Without ``all_turns`` the reasoning before the last message of the user is left out. Raises
    InvalidRequest for outputs that answer no call, and for reasoning that cannot be opened.
    """
    items = _once_each(items)
    writer = _Writer(items, answered(items), offered, unseal)
    since = 0 if all_turns else _current_turn(items)
    for place, item in enumerate(items):
        if place >= since or not isinstance(item.meaning, ReasoningInput):
            writer.add(place, item)
    writer.end_turn()
    return writer.history


def _once_each(items: Sequence[Item]) -> Sequence[Item]:
    """Leaves out what was sent again beside the chain that has it already."""
    known: dict[str, Item] = {}
    kept = []
    for item in items:
        before = known.setdefault(item.id, item)
        if before is item or _plain(before.meaning) != _plain(item.meaning):
            kept.append(item)
    return kept


def _plain(meaning: Meaning | None) -> Any:
    """Returns what an item means, whether it was written with parts or without."""
    if not isinstance(meaning, Message) or isinstance(meaning.content, str):
        return meaning
    parts = [part.text if isinstance(part, InputText) else part for part in meaning.content]
    match parts:
        case [str(text)]:
            return Message(role=meaning.role, content=text)
        case _:
            return meaning.role, parts


def _current_turn(items: Sequence[Item]) -> int:
    """Returns the place of the last message of the user."""
    places = range(len(items) - 1, -1, -1)
    return next((place for place in places if _is_question(items[place])), 0)


def _is_question(item: Item) -> bool:
    return isinstance(item.meaning, Message) and item.meaning.role == "user"


class _Writer:
    """Writes messages; what the assistant says and does is gathered until somebody else speaks."""

    def __init__(
        self,
        items: Sequence[Item],
        answers: Mapping[int, int],
        offered: Offered,
        unseal: Unseal | None,
    ) -> None:
        self.history = History()
        self._items = items
        self._answers = answers
        self._offered = offered
        self._unseal = unseal
        self._thought: list[str] = []
        self._said: list[str] = []
        self._called: list[tuple[int, dict[str, Any]]] = []

    def add(self, place: int, item: Item) -> None:
        if self._is_over(item):
            self.end_turn()
        match item.meaning:
            case Message(role="assistant", content=content):
                self._said.append(content if isinstance(content, str) else _text(content))
            case Message(role=role, content=content):
                self.end_turn()
                self._tell({"role": role, "content": self._content(content, f"{item.at}.content")})
            case ReasoningInput() as thought:
                if text := self._reasoning(thought, item):
                    self._thought.append(text)
            case FunctionCallItem() | ClientCall() as call:
                if call.status != "incomplete" or place in self._answers:
                    self._called.append((place, _call(call, self._offered)))
            case MCPCallItem() as call:
                if place in self._answers:
                    self._called.append((place, _own_call(call, item)))
            case CallOutputItem() | ClientOutput():
                if any(self._answers.get(call) == place for call, _ in self._called):
                    self.end_turn()  # which writes it; others are written already
            case _:
                pass

    def _is_over(self, item: Item) -> bool:
        """Whether the model said this later than its calls: nobody answers them any more, or it knew the answer."""
        says = isinstance(item.meaning, Message | ReasoningInput)
        return says and any(self._answers.get(place, place) == place for place, _ in self._called)

    def end_turn(self) -> None:
        """Writes what the assistant thought, said and called at a time, and what came of its calls."""
        if not (self._thought or self._said or self._called):
            return
        message: dict[str, Any] = {"role": "assistant"}
        if self._said or not self._called:
            message["content"] = _BETWEEN.join(self._said)
        if self._thought:
            message["reasoning"] = _BETWEEN.join(self._thought)
        if self._called:
            message["tool_calls"] = [call for _, call in self._called]
        self._tell(message)
        called, self._thought, self._said, self._called = self._called, [], [], []
        shown = [part for place, call in called for part in self._answer(place, call)]
        if shown:
            self._tell({"role": "user", "content": shown})

    def _tell(self, message: dict[str, Any]) -> None:
        self.history.messages.append(message)

    def _answer(self, place: int, call: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Writes what came of a call; yields the images, which a tool's message cannot hold."""
        answer = self._answers.get(place)
        content: str | Sequence[OutputPart] = NO_OUTPUT
        at = ""
        if answer is not None:
            item = self._items[answer]
            content, at = _output(item), f"{item.at}.output"
        parts = [] if isinstance(content, str) else content
        images = [
            (f"{at}[{number}]", part)
            for number, part in enumerate(parts)
            if isinstance(part, InputImage)
        ]
        text = content if isinstance(content, str) else _text(content)
        name = call["function"]["name"]
        if images:
            text = text or f"(see the image of {name} in the next message)"
            yield {"type": "text", "text": f"(output of {name}, call {call['id']}:)"}
        self._tell({"role": "tool", "tool_call_id": call["id"], "content": text})
        for where, image in images:
            yield self._image(image, where)

    def _content(self, content: str | list[Part], at: str) -> str | list[dict[str, Any]]:
        if isinstance(content, str):
            return content
        if len(content) == 1 and isinstance(content[0], InputText):
            return content[0].text  # what every provider takes
        return [self._part(part, f"{at}[{number}]") for number, part in enumerate(content)]

    def _part(self, part: Part, at: str) -> dict[str, Any]:
        if isinstance(part, InputImage):
            return self._image(part, at)
        return {"type": "text", "text": _text([part])}

    def _image(self, image: InputImage, at: str) -> dict[str, Any]:
        source: dict[str, Any] = {"url": image.image_url}
        if detail := _DETAILS.get(image.detail or ""):
            source["detail"] = detail
        part: dict[str, Any] = {"type": "image_url", "image_url": source}
        where = "previous_response_id" if at.startswith(".") else at
        self.history.images.append(Image(where, part))
        return part

    def _reasoning(self, thought: ReasoningInput, item: Item) -> str:
        """Returns the reasoning: as it is, opened, or else what its summary says."""
        texts = [part.text for part in thought.content or () if part.text]
        if not texts and thought.encrypted_content and self._unseal is not None:
            at = f"{item.at}.encrypted_content" if item.at else "previous_response_id"
            texts = [self._unseal(thought.encrypted_content, at=at)]
        texts = texts or [part.text for part in thought.summary or () if part.text]
        return _BETWEEN.join(texts)


def _text(parts: Sequence[Part]) -> str:
    return "".join([_part_text(part) for part in parts])


def _part_text(part: Part) -> str:
    match part:
        case InputText(text=text):
            return text
        case SaidRefusal(refusal=refusal):
            return refusal
        case _:
            return ""


def _call(call: FunctionCallItem | ClientCall, offered: Offered) -> dict[str, Any]:
    name = call.name if isinstance(call, ClientCall) else _name(call, offered)
    return {
        "id": call.call_id,
        "type": "function",
        "function": {"name": name, "arguments": call.arguments},
    }


def _own_call(call: MCPCallItem, item: Item) -> dict[str, Any]:
    name = client_tools.chat_name(call.name, call.server_label)
    return {
        "id": item.id[-_CALL_ID:],
        "type": "function",
        "function": {"name": name, "arguments": call.arguments or "{}"},
    }


def _name(call: FunctionCallItem, offered: Offered) -> str:
    """Returns the name that the model knows a function by."""
    namespace = call.namespace or ""
    if not namespace and call.name in offered.names:
        return call.name
    known = offered.chat_name("function_call", call.name, namespace) if offered.names else None
    return known or client_tools.chat_name(call.name, namespace)


def _output(item: Item) -> str | Sequence[OutputPart]:
    match item.meaning:
        case CallOutputItem(output=output) | ClientOutput(output=output):
            return output
        case MCPCallItem() as call:
            return call.told or ""
        case _:
            return NO_OUTPUT
