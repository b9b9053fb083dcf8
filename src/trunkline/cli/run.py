"""``trunkline run``: asks one question and prints the answer, for pipes and scripts."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from trunkline.cli.config import ConfigOption
from trunkline.cli.connection import (
    EffortOption,
    KeyOption,
    SystemOption,
    URLOption,
    complete_model,
    wanted,
)
from trunkline.cli.output import tolerate, warn


def run(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Model to ask, as in GET /v1/models.",
            show_default=False,
            autocompletion=complete_model,
        ),
    ],
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="PROMPT",
            help="What to ask. What is piped in follows it; with - or nothing it stands alone.",
            show_default=False,
        ),
    ] = None,
    system: SystemOption = None,
    effort: EffortOption = None,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", metavar="N", min=1, help="Longest reply.", show_default=False),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option("--temperature", metavar="T", help="0 to 2.", show_default=False),
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option(
            "--schema", metavar="FILE", help="JSON schema of the answer.", show_default=False
        ),
    ] = None,
    show_reasoning: Annotated[
        bool, typer.Option("--show-reasoning", help="Print the reasoning on stderr.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the answer and what is known of it as JSON.")
    ] = False,
    url: URLOption = None,
    key: KeyOption = None,
    config: ConfigOption = None,
) -> None:
    """Asks one question and prints the answer; starts a router if none is running."""
    from trunkline.terminal import question
    from trunkline.terminal.address import connected
    from trunkline.terminal.conversation import streamed

    tolerate(sys.stdout, sys.stderr)
    texts = [("system", system), ("user", _asked(prompt))]
    request = streamed(
        model,
        [{"role": role, "content": text} for role, text in texts if text is not None],
        reasoning_effort=effort,
        max_completion_tokens=max_tokens,
        temperature=temperature,
        response_format=None if schema is None else _response_format(schema),
    )
    with connected(wanted(url, key, config), os.environ) as connection:
        try:
            if as_json:
                answer = question.answer_json(connection.api, request)
            else:
                reasoning_to = sys.stderr if show_reasoning else None
                answer = question.answer_text(connection.api, request, reasoning_to=reasoning_to)
        except BrokenPipeError:  # nobody reads on, which is no failure
            return
    if answer.finished is not None and answer.finished.reason == "length":
        warn("the answer was cut: it reached its token limit")
    if schema is not None:
        question.check_json(answer)


def _asked(prompt: str | None) -> str:
    """Returns the prompt and what is piped in, with a blank line between them."""
    alone = prompt in (None, "-")
    piped = "" if _at_terminal() and prompt != "-" else _stdin()
    parts = [piped] if alone else [prompt or "", piped]
    text = "\n\n".join(part for part in parts if part.strip())
    if not text:
        raise typer.BadParameter(
            "there is nothing to ask; give a prompt or pipe one in", param_hint="PROMPT"
        )
    return text


def _at_terminal() -> bool:
    return sys.stdin is None or sys.stdin.isatty()


def _stdin() -> str:
    from trunkline.errors import TrunklineError

    if sys.stdin is None:  # started with its stdin closed
        return ""
    try:
        return sys.stdin.buffer.read().decode().rstrip("\n")
    except UnicodeDecodeError as error:
        raise TrunklineError("what is piped in is not UTF-8 text") from error


def _response_format(path: Path) -> dict[str, Any]:
    import re

    import msgspec

    from trunkline.errors import TrunklineError

    try:
        schema = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise TrunklineError(f"cannot read the schema {path}: {error.strerror}") from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise TrunklineError(f"the schema {path} is not a JSON object: {error}") from error
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", path.stem)[:64] or "answer"
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}
