"""Who answers, seen from outside: measured speed, prices, conversations, and what ``explain`` says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import msgspec
import pytest

from tests.e2e.client import Answer, ask, chat, question, receipt, run
from tests.serving import Serving, running
from tests.simulator import Script, Simulator
from trunkline.routing import replay
from trunkline.store import Decision

MODEL = "sim/echo"
SLOW = Script(delay_s=1.0)

_CONFIG = """
[engine]
enabled = false
[routing]
explore = 0
[providers.a]
base_url = "URL-A"
models."sim/echo" = { input = 0.1, output = 0.9 }
models."sim/talk" = { id = "sim/echo" }
models."sim/twin" = { id = "sim/echo" }
[providers.b]
base_url = "URL-B"
models."sim/echo" = { input = 0.3, output = 0.2 }
models."sim/talk" = { id = "sim/echo" }
models."sim/twin" = { id = "sim/echo" }
"""


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[Simulator, Simulator]]:
    with ExitStack() as stack:
        yield stack.enter_context(Simulator()), stack.enter_context(Simulator())


@pytest.fixture(scope="module")
def router(two: tuple[Simulator, Simulator]) -> Iterator[Serving]:
    a, b = two
    with running(config=_CONFIG.replace("URL-A", a.base_url).replace("URL-B", b.base_url)) as one:
        yield one


@pytest.fixture(autouse=True)
def unscripted(two: tuple[Simulator, Simulator]) -> None:
    for simulator in two:
        simulator.reset()


def who(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return answer.headers["x-trunkline-provider"]


def test_the_fastest_is_left_when_it_becomes_slow_and_taken_again_when_it_recovers(
    router: Serving, two: tuple[Simulator, Simulator]
) -> None:
    a, b = two
    b.play(Script(delay_s=0.2))
    assert who(chat(router, question(model="sim/twin:b"))) == "b"  # measured, and slower
    for _ in range(3):
        who(chat(router, question(model="sim/twin:a")))
    assert who(chat(router, question(model="sim/twin"))) == "a"

    a.play(*[SLOW] * 30)
    b.play(*[Script(delay_s=0.1)] * 30)
    answered = [who(chat(router, question(model="sim/twin"))) for _ in range(20)]
    assert answered[-1] == "b"

    a.reset()  # well again, which somebody has to find out
    for _ in range(12):
        who(chat(router, question(model="sim/twin:a")))
    assert who(chat(router, question(model="sim/twin:fastest"))) == "a"


@pytest.mark.parametrize("wish", [{}, {"sort": "price"}])
def test_cheapest_is_three_prompt_tokens_to_one_completion_token(
    router: Serving, wish: dict[str, str]
) -> None:
    # By hand: 3 × 0.3 + 0.2 = 1.1 at b, 3 × 0.1 + 0.9 = 1.2 at a.
    name = MODEL if wish else f"{MODEL}:cheapest"
    assert who(chat(router, question(model=name, provider=wish))) == "b"


def test_a_conversation_stays_where_it_was(router: Serving) -> None:
    turns = [{"role": "user", "content": "tell me about conversations"}]
    pinned = chat(router, question(model="sim/talk:b", messages=turns))
    assert who(pinned) == "b"
    for _ in range(3):
        turns += [{"role": "assistant", "content": "yes"}, {"role": "user", "content": "go on"}]
        assert who(chat(router, question(model="sim/talk", messages=turns))) == "b"


def test_a_receipt_says_how_the_choice_came_about_and_replays(router: Serving) -> None:
    wish = {"order": ["b"], "ignore": ["a"]}
    request_id = chat(router, question(model=MODEL, provider=wish)).headers["x-request-id"]
    told = receipt(router, request_id)["decision"]
    shown = run("explain", request_id, home=router.home).stdout
    stored = json.loads(run("explain", request_id, "--json", home=router.home).stdout)["decision"]

    assert (told["policy"], told["order"], told["plan"]) == ("fastest", ["b"], ["b"])
    assert [each.get("removed") for each in told["candidates"]] == ["in provider.ignore", None]
    assert told["candidates"][0]["price"] == {"input": "0.1", "output": "0.9"}
    assert "choice       fastest, first b: b\n" in shown
    assert "candidate    a: left out, in provider.ignore\n" in shown
    assert replay(msgspec.convert(stored, Decision)) == ("b",)


def test_attempts_failovers_and_cool_downs_are_counted(
    router: Serving, two: tuple[Simulator, Simulator]
) -> None:
    a, _ = two
    a.play(Script(status=503, body="", headers={"Retry-After": "1"}))
    wish = {"order": ["a", "b"]}
    assert who(chat(router, question(model="sim/talk", provider=wish))) == "b"
    figures = ask(router, "GET", "/metrics").body.decode()

    assert 'trunkline_attempts_total{outcome="failed",provider="a"} 1.0' in figures
    assert 'trunkline_attempts_total{outcome="committed",provider="b"}' in figures
    assert 'trunkline_failovers_total{provider="a"} 1.0' in figures
    assert 'trunkline_cooldowns_total{provider="a"} 1.0' in figures
