"""Where a chat is typed: several lines, a history that lasts, completion of commands and names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import Output

FILE = "chat_history"

Words = Mapping[str, Callable[[], Sequence[str]]]
"""What can follow each command, by the command's name with its slash."""


class Prompt:
    """The line, or lines, where the user types. ``history`` lasts longer than the chat if it is a file."""

    def __init__(
        self,
        words: Words,
        history: History,
        *,
        input: Input | None = None,
        output: Output | None = None,
    ) -> None:
        self._session: PromptSession[str] = PromptSession(
            [("bold", "> ")],
            multiline=True,
            prompt_continuation="  ",
            key_bindings=_keys(),
            completer=CommandCompleter(words),
            complete_while_typing=False,
            enable_suspend=True,
            history=history,
            input=input,
            output=output,
        )

    def ask(self) -> str:
        """Returns what the user sends. Raises EOFError at Ctrl-D, KeyboardInterrupt at Ctrl-C.

        Bytes that are not UTF-8 are sent as they are shown and kept in the history: as ``?``.
        """
        return self._session.prompt().encode(errors="replace").decode()

    @property
    def abandoned(self) -> str:
        """What stood there when Ctrl-C was pressed."""
        return self._session.default_buffer.text


def open_history(home: Path) -> History:
    """Opens the history in the home folder, readable by its owner only; in memory if that cannot be."""
    path = home / FILE
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600))
        path.chmod(0o600)
    except OSError:
        return InMemoryHistory()
    return _PrivateHistory(path)


class _PrivateHistory(FileHistory):
    def store_string(self, string: str) -> None:
        with suppress(OSError):  # a full disk must not end the chat
            super().store_string(string)


def _keys() -> KeyBindings:
    """Enter sends. Alt-Enter and Ctrl-J begin a new line, and so do line ends in what is pasted."""
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    return keys


class CommandCompleter(Completer):
    """Completes commands at the beginning, and what can follow one."""

    def __init__(self, words: Words) -> None:
        self._words = words

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        text = document.text_before_cursor
        if text.startswith("/") and "\n" not in text:
            yield from _completions(text, self._words)


def _completions(text: str, words: Words) -> Iterator[Completion]:
    command, space, begun = text.partition(" ")
    if not space:
        for name in words:
            if name.startswith(command):
                yield Completion(name, start_position=-len(command))
    elif command in words:
        for word in words[command]():
            if word.startswith(begun):
                yield Completion(word, start_position=-len(begun))
