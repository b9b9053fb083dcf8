"""How ``chat`` and ``run`` are told which router to talk to, and what they have in common."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.terminal.effort import Effort

if TYPE_CHECKING:
    from trunkline.terminal.address import Wanted

_COMPLETION_S = 0.5  # a shell that waits longer seems to hang


def complete_model(context: typer.Context, incomplete: str) -> list[str]:
    """Returns the models whose name begins so, for a shell; silent whatever goes wrong."""
    from trunkline.errors import TrunklineError
    from trunkline.terminal.address import model_names

    given: dict[str, Any] = context.params
    where = wanted(
        given.get("url") or os.environ.get("TRUNKLINE_URL"),
        given.get("key") or os.environ.get("TRUNKLINE_KEY"),
        given.get("config"),
    )
    try:
        names = model_names(where, os.environ, timeout_s=_COMPLETION_S)
    except TrunklineError:
        return []
    return [name for name in names if name.startswith(incomplete) and _is_plain(name)]


def _is_plain(name: str) -> bool:
    """Whether a shell can be given a name as it is: it would run what stands in some others."""
    return name.isprintable() and not set(name) & set(" \t'\"\\$`;&|<>(){}*?!#~")


URLOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="TRUNKLINE_URL",
        metavar="URL",
        help="Router to ask; without it the one of this home, or one of the command's own.",
        show_default=False,
    ),
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key",
        envvar="TRUNKLINE_KEY",
        metavar="KEY",
        help="API key; without it this home's, which goes to this home's router only.",
        show_default=False,
    ),
]
SystemOption = Annotated[
    str | None,
    typer.Option("--system", metavar="TEXT", help="System message.", show_default=False),
]
EffortOption = Annotated[
    Effort | None,
    typer.Option(
        "--effort",
        metavar="LEVEL",
        help="How much the model thinks first: low, medium or high.",
        show_default=False,
    ),
]


def wanted(url: str | None, key: str | None, config: Path | None) -> Wanted:
    """Returns the three as the layer below takes them; what is empty counts as not given."""
    from trunkline.terminal.address import Wanted

    return Wanted(url=url or None, key=(key or "").strip() or None, config=config)
