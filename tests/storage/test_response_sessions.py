"""Random sessions of the Responses API against a plain model of what must be remembered.

Two workers share a database, two providers offer the same model, and one of them may be gone between
any two turns.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.e2e.client import Answer, ask
from tests.serving import ECHO, Serving, running
from tests.simulator import Simulator

_CONFIG = """
[engine]
enabled = false
[providers.one]
base_url = "ONE"
models."sim/echo" = {}
[providers.two]
base_url = "TWO"
models."sim/echo" = {}
"""

PROVIDERS = ("one", "two")

Said = tuple[str, str]
"""Role and text of a message."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the model knows of a response: what it followed, and what was said in it."""

    previous: str | None
    said: tuple[Said, ...]
    body: dict[str, Any]


class World:
    """A server with two workers, and two providers that can be stopped and started again."""

    def __init__(self, serving: Serving, providers: list[Simulator]) -> None:
        self.serving = serving
        self._providers = providers

    def stop(self, number: int) -> None:
        self._providers[number].__exit__()

    def start(self, number: int) -> None:
        """Starts a provider where it was before; what it saw is not forgotten."""
        old = self._providers[number]
        new = Simulator(port=urlsplit(old.url).port or 0)
        new.seen.extend(old.seen)
        self._providers[number] = new.__enter__()

    def asked(self, text: str) -> list[Said]:
        """Returns the messages of the one model call that ended with this text."""
        seen = [
            [(message["role"], message["content"]) for message in request.body["messages"]]
            for provider in self._providers
            for request in provider.seen
        ]
        (found,) = [messages for messages in seen if messages[-1] == ("user", text)]
        return found


@pytest.fixture
def world(url: str) -> Iterator[World]:
    providers = [Simulator().__enter__() for _ in range(2)]
    one, two = (provider.base_url for provider in providers)
    try:
        config = _CONFIG.replace("ONE", one).replace("TWO", two)
        with running(config=config, flags=["--workers", "2", "--db", url]) as serving:
            yield World(serving, providers)
    finally:
        for provider in providers:
            provider.__exit__()


def last_event(answer: Answer) -> Any:
    """Returns the event before ``[DONE]``."""
    *_, last, done, nothing = answer.body.split(b"\n\n")
    assert (done, nothing) == (b"data: [DONE]", b"")
    return json.loads(last.partition(b"\ndata: ")[2])


_numbers = itertools.count()


class Sessions(RuleBasedStateMachine):
    """The plain model: responses by id; whatever is missing on the way back breaks a chain."""

    ids = Bundle("ids")
    world: World

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, Kept] = {}
        self.down: int | None = None

    def teardown(self) -> None:
        self.revive()

    @rule(target=ids, store=st.booleans(), stream=st.booleans(), at=st.integers(0, 1))
    def create(self, store: bool, stream: bool, at: int) -> Any:
        return self._create(None, store=store, stream=stream, at=at)

    @rule(target=ids, previous=ids, store=st.booleans(), stream=st.booleans(), at=st.integers(0, 1))
    def chain(self, previous: str, store: bool, stream: bool, at: int) -> Any:
        return self._create(previous, store=store, stream=stream, at=at)

    @rule(id=ids)
    def delete(self, id: str) -> None:
        answer = self._ask("DELETE", id)
        assert answer.status == (200 if id in self.kept else 404)
        self.kept.pop(id, None)

    @rule(id=ids)
    def retrieve(self, id: str) -> None:
        answer = self._ask("GET", id)
        if id in self.kept:
            assert (answer.status, answer.json) == (200, self.kept[id].body)
        else:
            assert (answer.status, answer.error["code"]) == (404, "not_found")

    @rule(id=ids)
    def replay(self, id: str) -> None:
        answer = self._ask("GET", f"{id}?stream=true")
        assert answer.status == (200 if id in self.kept else 404)
        if id in self.kept:
            assert last_event(answer)["response"] == self.kept[id].body

    @rule(id=ids)
    def list_input(self, id: str) -> None:
        answer = self._ask("GET", f"{id}/input_items?order=asc")
        if id not in self.kept:
            assert answer.status == 404
            return
        texts = [item["content"][0]["text"] for item in answer.json["data"]]
        assert texts == [text for role, text in self.kept[id].said if role == "user"]

    @rule(number=st.integers(0, 1))
    def kill(self, number: int) -> None:
        self.revive()
        self.world.stop(number)
        self.down = number

    @rule()
    def revive(self) -> None:
        if self.down is not None:
            self.world.start(self.down)
            self.down = None

    def _create(self, previous: str | None, *, store: bool, stream: bool, at: int) -> Any:
        text = f"turn {next(_numbers)}"
        model = f"{ECHO}:{PROVIDERS[at]}"
        body = {"model": model, "input": text, "store": store, "stream": stream}
        if previous is not None:
            body["previous_response_id"] = previous
        answer = ask(self.world.serving, "POST", "/v1/responses", body)
        missing, before = self._before(previous)
        if missing is not None:
            assert (answer.status, answer.error["code"]) == (400, "previous_response_not_found")
            assert missing in answer.error["message"]
            return multiple()
        if at == self.down and not stream:
            assert (answer.status, answer.error["code"]) == (502, "upstream_failed")
            return multiple()
        assert answer.status == 200, answer.body
        response = last_event(answer)["response"] if stream else answer.json
        said: tuple[Said, ...] = (("user", text),)
        if at == self.down:
            assert (response["status"], response["output"]) == ("failed", [])
        else:
            assert response["status"] == "completed", response
            assert self.world.asked(text) == [*before, *said]
            said += (("assistant", response["output"][-1]["content"][0]["text"]),)
        if store:
            self.kept[response["id"]] = Kept(previous, said, response)
        return response["id"]

    def _before(self, id: str | None) -> tuple[str | None, list[Said]]:
        """Returns the first link that is missing on the way back, or all that was said before."""
        said: list[Said] = []
        while id is not None:
            link = self.kept.get(id)
            if link is None:
                return id, []
            said[:0] = link.said
            id = link.previous
        return None, said

    def _ask(self, method: str, path: str) -> Answer:
        return ask(self.world.serving, method, f"/v1/responses/{path}")


def test_what_responses_remember_agrees_with_a_plain_model(world: World) -> None:
    class Here(Sessions):
        pass

    Here.world = world
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=10,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
