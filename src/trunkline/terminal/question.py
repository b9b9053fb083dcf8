"""One question: its answer on stdout as it comes, or as one JSON object."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import aclosing
from typing import Any, TextIO

import msgspec

from trunkline.errors import TrunklineError
from trunkline.terminal.answering import answer as ask
from trunkline.terminal.api import API
from trunkline.terminal.conversation import Answer
from trunkline.terminal.events import Content, Reasoning
from trunkline.terminal.printable import printable, printable_json


def answer_text(api: API, request: dict[str, Any], *, reasoning_to: TextIO | None) -> Answer:
    """Asks, and prints the answer piece by piece on stdout; its reasoning where the caller says.

    Raises TrunklineError with the server's reason, or if the answer cannot be written, and
    BrokenPipeError once nobody reads it.
    """
    return asyncio.run(_answer_text(api, request, reasoning_to))


def answer_json(api: API, request: dict[str, Any]) -> Answer:
    """Asks, and prints the whole answer as one JSON object on stdout. Raises as `answer_text` does."""
    answer = asyncio.run(_collected(api, request))
    document = msgspec.json.format(msgspec.json.encode(_shown(request, answer)), indent=2)
    _write(sys.stdout, printable_json(document.decode()) + "\n")
    return answer


def check_json(answer: Answer) -> None:
    """Checks that an answer under a schema is JSON at all. Raises TrunklineError."""
    try:
        msgspec.json.decode(answer.content)
    except (msgspec.DecodeError, RecursionError) as error:
        raise TrunklineError("the answer is not the JSON that the schema asks for") from error


async def _answer_text(api: API, request: dict[str, Any], reasoning_to: TextIO | None) -> Answer:
    answer = Answer()
    async with aclosing(ask(api, request)) as events:
        async for event in events:
            if isinstance(event, Reasoning) and reasoning_to is not None:
                _write(reasoning_to, event.text)
            if isinstance(event, Content):
                if not answer.content and answer.reasoning and reasoning_to is not None:
                    _write(reasoning_to, "\n\n")
                _write(sys.stdout, event.text)
            answer.add(event)
    if answer.content and not answer.content.endswith("\n"):
        _write(sys.stdout, "\n")
    return answer


async def _collected(api: API, request: dict[str, Any]) -> Answer:
    answer = Answer()
    async with aclosing(ask(api, request)) as events:
        async for event in events:
            answer.add(event)
    return answer


def _shown(request: dict[str, Any], answer: Answer) -> dict[str, Any]:
    finished = answer.finished
    cost = finished.cost_usd if finished else None
    shown = {
        "model": answer.answering.model or request["model"],
        "provider": answer.answering.provider,
        "content": answer.content,
        "reasoning": answer.reasoning or None,
        "usage": finished.usage if finished else None,
        "finish_reason": finished.reason if finished else None,
        "cost_usd": None if cost is None else msgspec.Raw(str(cost).encode()),
        "request_id": answer.answering.request_id,
    }
    if answer.calls:
        shown["tool_calls"] = [
            {"name": call.name, "arguments": call.arguments} for call in answer.calls
        ]
    return shown


def _write(out: TextIO, text: str) -> None:
    """Writes what a model said: as it is for programs, harmless for terminals."""
    try:
        out.write(printable(text) if out.isatty() else text)
        out.flush()
    except OSError as error:
        _leave(out)
        if isinstance(error, BrokenPipeError):
            raise
        raise TrunklineError(f"cannot write the answer: {error.strerror}") from error


def _leave(out: TextIO) -> None:
    """Makes sure that the end of the program does not try once more to write what could not be."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, out.fileno())
    os.close(nowhere)
