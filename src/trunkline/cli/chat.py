"""``trunkline chat``: talks with a model in the terminal."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from trunkline.cli.config import ConfigOption
from trunkline.cli.connection import (
    EffortOption,
    KeyOption,
    SystemOption,
    URLOption,
    complete_model,
    wanted,
)
from trunkline.cli.output import tolerate


def chat(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="Model to talk to; without it the router's first.",
            show_default=False,
            autocompletion=complete_model,
        ),
    ] = None,
    system: SystemOption = None,
    effort: EffortOption = None,
    url: URLOption = None,
    key: KeyOption = None,
    config: ConfigOption = None,
) -> None:
    """Talks with a model in the terminal; starts a router if none is running."""
    if not (_is_terminal(sys.stdin) and _is_terminal(sys.stdout)):
        raise TyperException("chat needs a terminal; in a pipe use 'trunkline run'")

    from rich.console import Console

    from trunkline import config as configuration
    from trunkline.errors import TrunklineError
    from trunkline.terminal.address import connected
    from trunkline.terminal.chat import Chat
    from trunkline.terminal.conversation import Conversation
    from trunkline.terminal.prompt import Prompt, open_history
    from trunkline.terminal.screen import Screen, unechoed

    tolerate(sys.stdout)
    screen = Screen(Console(highlight=False))

    def note_start(why: str) -> None:
        screen.note(f"{why}: starting one for this chat")

    where = wanted(url, key, config)
    with connected(where, os.environ, on_start=note_start) as connection:
        api, models = connection.api, connection.models
        if model is not None and model not in models:
            api.check_model(model)
        if model is None and not models:
            raise TrunklineError(
                "the router offers no model; 'trunkline init', then add a provider"
            )
        asked = model or models[0]
        screen.note(f"{asked} at {api.url}; /help helps, Ctrl-D leaves")
        chat = Chat(
            api=api,
            models=models,
            conversation=Conversation(asked, system=system, effort=effort),
            screen=screen,
            while_answering=unechoed,
        )
        chat.run(Prompt(chat.words, open_history(configuration.home(os.environ))))


def _is_terminal(stream: object) -> bool:
    return stream is not None and stream.isatty()  # type: ignore[attr-defined]  # a text stream
