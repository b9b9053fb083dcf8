"""``trunkline chat``: the loop of prompt and answer, and its commands."""

from __future__ import annotations

import asyncio
import difflib
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import dataclass
from typing import Protocol

from trunkline.errors import ServerRefused, TrunklineError
from trunkline.terminal.answering import answer as ask
from trunkline.terminal.api import API
from trunkline.terminal.conversation import Answer, Conversation
from trunkline.terminal.effort import EFFORTS
from trunkline.terminal.printable import one_line
from trunkline.terminal.prompt import Words
from trunkline.terminal.screen import Page, Screen

_COMMAND = re.compile(r"/(?P<name>[A-Za-z]*)(?:\s+(?P<rest>.*))?", re.DOTALL)
_NO_SYSTEM = "off"
_KEYS = (
    ("Enter", "send"),
    ("Alt-Enter, Ctrl-J", "begin a new line"),
    ("Up", "bring back what was sent before"),
    ("Tab", "complete a command, or a model's name"),
    ("Ctrl-C", "stop a reply, or drop what is typed"),
)


class Asks(Protocol):
    """Where the user types; see `prompt.Prompt`."""

    def ask(self) -> str: ...

    @property
    def abandoned(self) -> str: ...


@dataclass(frozen=True, slots=True)
class _Command:
    usage: str
    help: str
    act: Callable[[str], None]


class Chat:
    """One chat: from the first prompt until the user leaves.

    ``while_answering`` makes a context that lasts while a reply comes.
    """

    def __init__(
        self,
        *,
        api: API,
        models: list[str],
        conversation: Conversation,
        screen: Screen,
        while_answering: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._api = api
        self._models = models
        self._conversation = conversation
        self._screen = screen
        self._while_answering = while_answering
        self._commands = {
            "/model": _Command("/model [NAME]", "ask another model; list them", self._model),
            "/effort": _Command("/effort low|medium|high", "how much it thinks", self._effort),
            "/system": _Command("/system [TEXT|off]", "set, show or drop the system message", self._system),
            "/clear": _Command("/clear", "forget what has been said", self._clear),
            "/help": _Command("/help", "show this", self._help),
            "/exit": _Command("/exit", "leave; so does Ctrl-D", self._exit),
        }  # fmt: skip

    @property
    def words(self) -> Words:
        """What can be completed: the commands, and what can follow them."""
        following: Words = {
            "/model": lambda: [one_line(name) for name in self._models],
            "/effort": lambda: list(EFFORTS),
            "/system": lambda: [_NO_SYSTEM],
        }
        return {name: following.get(name, tuple) for name in self._commands}

    def run(self, prompt: Asks) -> None:
        """Asks and answers until the user leaves."""
        with asyncio.Runner() as runner:
            while True:
                try:
                    text = prompt.ask()
                    self._take(text, runner)
                except EOFError:
                    return
                except KeyboardInterrupt:
                    if not prompt.abandoned:
                        self._screen.note("Ctrl-D or /exit leaves the chat")

    def _take(self, text: str, runner: asyncio.Runner) -> None:
        if not text.strip():
            return
        found = _COMMAND.fullmatch(text.rstrip())
        if found is None:
            self._ask(text, runner)
            return
        try:
            self._command(f"/{found['name']}", (found["rest"] or "").strip())
        except TrunklineError as error:
            self._screen.error(error.message)

    def _ask(self, question: str, runner: asyncio.Runner) -> None:
        answer = Answer()
        began = time.monotonic()
        try:
            with self._while_answering(), self._screen.answering() as page:
                runner.run(self._stream(question, answer, page))
        except KeyboardInterrupt:
            self._stopped(question, answer)
        except TrunklineError as error:
            self._screen.error(error.message)
            self._screen.note("this turn is not remembered; Up brings your message back")
            if isinstance(error, ServerRefused) and error.code == "context_length_exceeded":
                self._screen.note("/clear forgets what has been said and makes room")
        else:
            elapsed_s = time.monotonic() - began
            self._screen.status(answer, asked=self._conversation.model, elapsed_s=elapsed_s)
            if answer.empty:
                self._screen.note("there is no answer; this turn is not remembered")
            else:
                self._conversation.add(question, answer)
        self._screen.space()

    async def _stream(self, question: str, answer: Answer, page: Page) -> None:
        request = self._conversation.request(question)
        async with aclosing(ask(self._api, request)) as events:
            async for event in events:
                answer.add(event)
                page.show(event)

    def _stopped(self, question: str, answer: Answer) -> None:
        if answer.empty:
            self._screen.note("stopped; this turn is not remembered, Up brings your message back")
        else:
            self._conversation.add(question, answer, cut=True)
            self._screen.note("stopped; what has come is remembered as cut here")

    def _command(self, name: str, rest: str) -> None:
        if name in self._commands:
            self._commands[name].act(rest)
            return
        near = difflib.get_close_matches(name, self._commands, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "/help lists the commands"
        self._screen.error(f"unknown command {name}; {hint}")
        self._screen.note("to send such a line to the model, begin it with a space")

    def _model(self, name: str) -> None:
        if not name:
            self._models = self._api.models()
            now = self._conversation.model
            self._screen.list(
                (model, "asked now" if model == now else "") for model in self._models
            )
            return
        if name not in self._models:
            self._api.check_model(name)
        self._conversation.model = name
        self._screen.note(f"asking {name} from now on")

    def _effort(self, effort: str) -> None:
        for known in EFFORTS:
            if effort == known:
                self._conversation.effort = known
                self._screen.note(f"thinking with {effort} effort from now on")
                return
        if effort:
            raise TrunklineError(f"no effort '{effort}'; there are {', '.join(EFFORTS)}")
        self._screen.note(f"effort: {self._conversation.effort or 'as the model is used to'}")

    def _system(self, text: str) -> None:
        if text == _NO_SYSTEM:
            self._conversation.system = None
        elif text:
            self._conversation.system = text
        now = self._conversation.system
        self._screen.note(f"system message: {now}" if now else "no system message")

    def _clear(self, _: str) -> None:
        turns = self._conversation.clear()
        self._screen.note(f"forgotten: {turns} turn{'' if turns == 1 else 's'}")

    def _help(self, _: str) -> None:
        commands = [(command.usage, command.help) for command in self._commands.values()]
        self._screen.list([*commands, ("", ""), *_KEYS])

    def _exit(self, _: str) -> None:
        raise EOFError
