"""Asks the router what checks want to know, several at once, as a client of OpenAI's would."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import msgspec
import openai

from nano.evaluation.check import (
    JSON,
    Call,
    Check,
    Said,
    Transcript,
    called,
    calling,
    tool_result,
    user,
)
from nano.evaluation.judge import judge, same
from nano.evaluation.server import Server

THREADS = 4
_TIMEOUT_S = 120.0
_MOST_ROUNDS = 5
_NOTHING = '{"error": "nothing found"}'


class Outcome(msgspec.Struct, frozen=True):
    """A check with what came of it; ``fault`` is None if it passed."""

    category: str
    check: Check
    transcript: Transcript
    fault: str | None


class Asker:
    """A client of one server. Close it in the end, or use it as a context manager."""

    def __init__(self, server: Server) -> None:
        self._model = server.model
        self._client = openai.OpenAI(
            base_url=server.base_url, api_key=server.key, timeout=_TIMEOUT_S, max_retries=0
        )

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def run(
        self, checks: Iterable[tuple[str, Check]], *, tell: Callable[[], None]
    ) -> list[Outcome]:
        """Runs checks, each with the key of its category, and returns the outcomes in their order.

        ``tell`` is called after each one, from any thread.
        """

        def one(keyed: tuple[str, Check]) -> Outcome:
            category, check = keyed
            transcript = self.converse(check)
            tell()
            return Outcome(category, check, transcript, judge(check.expected, transcript))

        with ThreadPoolExecutor(THREADS) as threads:
            return list(threads.map(one, checks))

    def converse(self, check: Check) -> Transcript:
        """Holds the conversation of one check, playing its tools."""
        messages = list(check.messages)
        transcript: list[Said] = []
        for _ in range(_MOST_ROUNDS if check.results else 1):
            said = self._ask(check, messages)
            transcript.append(said)
            if not said.calls:
                break
            messages += _played(said, check, start=len(messages))
        return tuple(transcript)

    def characters_per_token(self, sample: str) -> float:
        """Returns how many characters of a text one token of the model holds."""
        return len(sample) / (self._tokens(f".{sample}") - self._tokens("."))

    def _tokens(self, prompt: str) -> int:
        probe = {"messages": [user(prompt)], "max_tokens": 1}
        return _said(self._post(probe)).prompt_tokens

    def _ask(self, check: Check, messages: Sequence[JSON]) -> Said:
        body: JSON = {"messages": list(messages)}
        if check.tools:
            body |= {"tools": list(check.tools), "tool_choice": "auto"}
        if check.response_format is not None:
            body["response_format"] = check.response_format
        if check.effort is not None:
            body["reasoning_effort"] = check.effort
        if check.temperature is not None:
            body["temperature"] = check.temperature
        try:
            return _said(self._post(body))
        except openai.APIStatusError as error:
            return Said(error=f"HTTP {error.status_code}: {error.message}")
        except openai.APIConnectionError as error:
            return Said(error=f"no answer: {error.__cause__ or error}")

    def _post(self, body: JSON) -> JSON:
        # As plain JSON: the client's types would refuse, or repair, what is to be judged.
        return cast(
            JSON,
            self._client.post(
                "/chat/completions", body={"model": self._model, **body}, cast_to=object
            ),
        )


def _played(said: Said, check: Check, *, start: int) -> list[JSON]:
    """Returns the call as a client keeps it, without the reasoning, and what its tools answer."""
    ids = [f"call_{start}_{number}" for number in range(len(said.calls))]
    calls = [
        called(id_, call.name, json.dumps(call.arguments, ensure_ascii=False))
        for id_, call in zip(ids, said.calls, strict=True)
    ]
    results = [
        tool_result(id_, _answer(call, check)) for id_, call in zip(ids, said.calls, strict=True)
    ]
    return [calling(*calls, content=said.content), *results]


def _answer(call: Call, check: Check) -> str:
    for result in check.results:
        any_arguments = result.arguments is None
        if result.name == call.name and (any_arguments or same(call.arguments, result.arguments)):
            return result.content
    return _NOTHING


def _said(completion: JSON) -> Said:
    choice = completion["choices"][0]
    message = choice["message"]
    usage = completion["usage"]
    calls = []
    for call in message.get("tool_calls") or ():
        function = call["function"]
        arguments = _arguments(function["arguments"])
        if arguments is None:
            return Said(
                error=f"arguments are no JSON object: {function['arguments']}",
                finish_reason=choice["finish_reason"],
            )
        calls.append(Call(function["name"], arguments))
    return Said(
        content=message.get("content") or "",
        reasoning=message.get("reasoning") or "",
        calls=tuple(calls),
        finish_reason=choice["finish_reason"],
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage["completion_tokens"],
    )


def _arguments(text: str) -> JSON | None:
    try:
        found: Any = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
