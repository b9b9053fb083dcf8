"""Where a chat is typed: keys, pasted blocks, completion, the history."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.history import History, InMemoryHistory
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from tests.terminal import ALT_ENTER, CTRL_C, CTRL_D, CTRL_J, ENTER, UP
from trunkline.terminal.prompt import FILE, CommandCompleter, Prompt, Words, open_history

WORDS: Words = {
    "/model": lambda: ["openai/gpt-oss-120b", "trunkline/gpt-oss-nano"],
    "/effort": lambda: ["low", "medium", "high"],
    "/exit": tuple,
}


@contextmanager
def typing(history: History | None = None) -> Iterator[tuple[Prompt, PipeInput]]:
    with create_pipe_input() as keys:
        yield Prompt(WORDS, history or InMemoryHistory(), input=keys, output=DummyOutput()), keys


def sent(typed: str | bytes, history: History | None = None) -> str:
    with typing(history) as (prompt, keys):
        keys.send_bytes(typed.encode() if isinstance(typed, str) else typed)
        return prompt.ask()


def pasted(text: str) -> str:
    return f"\x1b[200~{text}\x1b[201~"


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        (f"hello{ENTER}", "hello"),
        (f"one{CTRL_J}two{ALT_ENTER}three{ENTER}", "one\ntwo\nthree"),
        (f"  indented{CTRL_J}not{ENTER}", "  indented\nnot"),
        (f"{pasted('one' + ENTER + 'two')} more{ENTER}", "one\ntwo more"),
        (f"{pasted('a' + ENTER + CTRL_J + 'b')}{ENTER}", "a\nb"),
    ],
)
def test_enter_sends_and_all_other_line_ends_are_text(typed: str, text: str) -> None:
    assert sent(typed) == text


def test_bytes_that_are_no_text_are_sent_as_they_are_shown() -> None:
    assert sent(b"caf\xe9\r") == "caf?"


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("/", ["/model", "/effort", "/exit"]),
        ("/e", ["/effort", "/exit"]),
        ("/model ", ["/model openai/gpt-oss-120b", "/model trunkline/gpt-oss-nano"]),
        ("/model tr", ["/model trunkline/gpt-oss-nano"]),
        ("/effort h", ["/effort high"]),
        ("/exit ", []),
        ("/model x", []),
        ("/nothing h", []),
        ("say /mo", []),
        ("/effort\nh", []),
        ("", []),
    ],
)
def test_tab_completes_commands_and_what_follows_them(typed: str, completed: list[str]) -> None:
    found = CommandCompleter(WORDS).get_completions(Document(typed), CompleteEvent())
    assert [typed[: len(typed) + c.start_position] + c.text for c in found] == completed


def test_ctrl_d_on_an_empty_line_leaves() -> None:
    with pytest.raises(EOFError):
        sent(CTRL_D)


def test_ctrl_c_drops_the_line_and_says_what_stood_there() -> None:
    with typing() as (prompt, keys):
        keys.send_text(f"half a thou{CTRL_C}")
        with pytest.raises(KeyboardInterrupt):
            prompt.ask()
        assert prompt.abandoned == "half a thou"
        keys.send_text(f"whole{ENTER}")
        assert prompt.ask() == "whole"
        keys.send_text(CTRL_C)
        with pytest.raises(KeyboardInterrupt):
            prompt.ask()
        assert prompt.abandoned == ""


def test_the_history_outlasts_the_chat_and_is_the_owners_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert sent(f"one{CTRL_J}more{ENTER}", open_history(home)) == "one\nmore"
    file = home / FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700

    history = open_history(home)
    assert list(history.load_history_strings()) == ["one\nmore"]
    assert sent(f"two{ENTER}", history) == "two"
    assert list(open_history(home).load_history_strings()) == ["two", "one\nmore"]


def test_a_history_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    file = tmp_path / FILE
    file.touch()
    file.chmod(0o644)
    open_history(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_up_brings_back_what_was_sent_before() -> None:
    with typing() as (prompt, keys):
        keys.send_text(f"first{ENTER}")
        assert prompt.ask() == "first"
        keys.send_text(f"{UP}{ENTER}")
        assert prompt.ask() == "first"


def test_without_a_folder_to_write_to_the_history_is_that_of_this_chat(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert isinstance(open_history(tmp_path / "file" / "home"), InMemoryHistory)


def test_a_history_that_can_no_longer_be_written_does_not_end_the_chat(tmp_path: Path) -> None:
    history = open_history(tmp_path)
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    assert sent(f"hello{ENTER}", history) == "hello"
