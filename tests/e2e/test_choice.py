"""Who answers, seen from outside: measured speed, prices, conversations, and what ``explain`` says of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import msgspec
import pytest

from tests.e2e.client import Answer, ask, chat, question, receipt, run, streaming, until
from tests.serving import Serving, running
from tests.simulator import Script, Simulator
from tests.simulator.replies import chunks
from trunkline.routing import replay
from trunkline.store import Decision, Request, open_store

MODEL = "sim/echo"

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
models."openai/gpt-oss-20b" = { input = 0.1, output = 0.9 }
[providers.b]
base_url = "URL-B"
models."sim/echo" = { input = 0.3, output = 0.2 }
models."sim/talk" = { id = "sim/echo" }
models."sim/twin" = { id = "sim/echo" }
models."openai/gpt-oss-20b" = { input = 0.3, output = 0.2 }
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


@pytest.fixture(scope="module")
def exploring(two: tuple[Simulator, Simulator]) -> Iterator[Serving]:
    """Another router, in which every fourth request explores and b is preferred."""
    a, b = two
    config = _CONFIG.replace("URL-A", a.base_url).replace("URL-B", b.base_url)
    with running(config=config.replace("explore = 0", 'explore = 0.25\npreferred = ["b"]')) as one:
        yield one


@pytest.fixture(autouse=True)
def unscripted(two: tuple[Simulator, Simulator]) -> None:
    for simulator in two:
        simulator.reset()


def who(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return answer.headers["x-trunkline-provider"]


def stored(router: Serving, answer: Answer) -> Request:
    """Returns the receipt of a request as it lies in the database."""
    identifier = answer.headers["x-request-id"]

    async def read() -> Request | None:
        async with open_store(f"sqlite:///{router.home / 'trunkline.db'}") as store:
            return await store.requests.of_any_account(identifier)

    found: Request = until(lambda: asyncio.run(read()), "the receipt")
    return found


def chosen(router: Serving, answer: Answer) -> Decision:
    """Returns the decision on a receipt, which must be what happened and follow from its inputs."""
    found = stored(router, answer)
    decision = found.decision
    assert decision is not None
    assert replay(decision) == decision.plan
    assert [attempt.provider for attempt in found.attempts] == [who(answer)]
    assert found.provider == decision.plan[0] == who(answer)
    return decision


def explained(router: Serving, answer: Answer) -> str:
    return run("explain", answer.headers["x-request-id"], home=router.home).stdout


def best(decision: Decision) -> str:
    """Returns who goes first but for the draw: not whoever is only measured."""
    return replay(msgspec.structs.replace(decision, draw=None))[0]


def test_the_fastest_is_left_within_20_requests_of_slowing_down_and_found_again_by_exploring(
    exploring: Serving, two: tuple[Simulator, Simulator]
) -> None:
    a, b = two
    fast, middling, slow = (Script(text=" ".join(["word"] * n)) for n in (2000, 200, 20))
    a.play(*[fast] * 10)
    b.play(*[middling] * 1000)
    for _ in range(3):
        assert who(chat(exploring, question(model="sim/twin:a"))) == "a"
        assert who(chat(exploring, question(model="sim/twin:b"))) == "b"
    assert best(chosen(exploring, chat(exploring, question(model="sim/twin")))) == "a"

    a.reset()
    a.play(*[slow] * 1000)
    answers = [chat(exploring, question(model="sim/twin:fastest")) for _ in range(21)]
    left = chosen(exploring, answers[-1])
    assert best(left) == "b"
    of_a, of_b = left.candidates
    assert of_a.slowed
    assert (of_a.tokens_per_s or 0) < (of_b.tokens_per_s or 0)
    shown = explained(exploring, answers[-1])
    assert f"candidate    a: {of_a.tokens_per_s:g} tokens/s, less than half of before" in shown
    assert f": {', '.join(left.plan)}\n" in shown

    a.reset()
    a.play(*[fast] * 1000)
    for _ in range(30):
        answers += [chat(exploring, question(model="sim/twin")) for _ in range(20)]
        if best(chosen(exploring, answers[-1])) == "a":
            break
    else:
        pytest.fail("nobody went back to the fastest")
    for answer in answers[::7]:
        chosen(exploring, answer)


@pytest.mark.parametrize("wish", [{}, {"sort": "price"}])
def test_cheapest_is_three_prompt_tokens_to_one_completion_token(
    router: Serving, wish: dict[str, str]
) -> None:
    # By hand: 3 × 0.3 + 0.2 = 1.1 at b, 3 × 0.1 + 0.9 = 1.2 at a.
    name = MODEL if wish else f"{MODEL}:cheapest"
    answer = chat(router, question(model=name, provider=wish))
    assert chosen(router, answer).plan == ("b", "a")
    shown = explained(router, answer)
    policy = "fastest, sorted by price" if wish else "cheapest"
    assert f"choice       {policy}: b, a\n" in shown
    for provider, prices in {"a": "0.1 and 0.9", "b": "0.3 and 0.2"}.items():
        (told,) = [line for line in shown.splitlines() if f"candidate    {provider}:" in line]
        assert told.endswith(f"{prices} USD per 1M tokens")


def test_a_conversation_stays_where_it_was(router: Serving) -> None:
    turns = [{"role": "user", "content": "tell me about conversations"}]
    pinned = chat(router, question(model="sim/talk:b", messages=turns))
    assert who(pinned) == "b"
    for _ in range(3):
        turns += [{"role": "assistant", "content": "yes"}, {"role": "user", "content": "go on"}]
        answer = chat(router, question(model="sim/talk", messages=turns))
        assert (chosen(router, answer).sticky, who(answer)) == ("b", "b")
    assert "choice       fastest, the conversation was at b: b" in explained(router, answer)


@pytest.mark.parametrize("way", ["previous_response_id", "prompt_cache_key"])
def test_responses_stay_where_the_first_of_them_was(router: Serving, way: str) -> None:
    asked = {"input": f"tell me about {way}"} | (
        {"prompt_cache_key": "talk"} if way == "prompt_cache_key" else {}
    )
    first = ask(router, "POST", "/v1/responses", {"model": "sim/talk:b", **asked})
    for _ in range(2):
        follows = {"previous_response_id": first.json["id"]} if way != "prompt_cache_key" else {}
        body = {"model": "sim/talk", **asked, **follows}
        answer = ask(router, "POST", "/v1/responses", body)
        assert (chosen(router, answer).sticky, who(answer)) == ("b", "b")


def test_preferred_is_the_order_of_the_configuration(exploring: Serving) -> None:
    answer = chat(exploring, question(model=f"{MODEL}:preferred"))
    assert chosen(exploring, answer).plan == ("b", "a")
    assert "choice       preferred: b, a\n" in explained(exploring, answer)


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
    names = (
        'trunkline_attempts_total{outcome="failed",provider="a"}',
        'trunkline_attempts_total{outcome="committed",provider="b"}',
        'trunkline_failovers_total{provider="a"}',
        'trunkline_cooldowns_total{provider="a"}',
    )
    before = figures(router)
    two[0].play(Script(status=503, body="", headers={"Retry-After": "1"}))
    wish = {"order": ["a", "b"]}
    assert who(chat(router, question(model="sim/talk", provider=wish))) == "b"
    after = figures(router)

    assert [after[name] - before.get(name, 0.0) for name in names] == [1.0] * len(names)


def figures(router: Serving) -> dict[str, float]:
    lines = ask(router, "GET", "/metrics").body.decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def in_one_read(body: dict[str, Any]) -> Script:
    """Returns a stream without content whose usage comes together with its end."""
    asked = {**body, "stream_options": {"include_usage": True}}
    sent = [json.dumps(chunk) for chunk in chunks(asked, Script(text="", reasoning=""))]
    frames = "".join(f"data: {payload}\n\n" for payload in [*sent, "[DONE]"])
    return Script(body=frames, content_type="text/event-stream")


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_failed_attempt_used_is_on_the_receipt_and_not_in_the_cost_of_the_answer(
    router: Serving, two: tuple[Simulator, Simulator], stream: bool
) -> None:
    body = question("one two", model="openai/gpt-oss-20b:preferred")
    two[0].play(in_one_read(body) if stream else Script(text="", reasoning="Hm."))
    if stream:
        with streaming(router, body) as answered:
            assert answered.chunks()
            identifier = answered.headers["x-request-id"]
    else:
        identifier = chat(router, body).headers["x-request-id"]

    found = receipt(router, identifier)
    failed, committed = found["attempts"]
    billed = failed["billed"]
    out = billed["completion_tokens"]
    assert billed["prompt_tokens"] == 2
    assert billed["cost_usd"] == f"{(2 * 100 + out * 900) / 1e9:.7f}"
    assert committed["billed"] is None
    assert (found["usage"]["prompt_tokens"], found["provider"]) == (2, "b")
    told = run("explain", identifier, home=router.home).stdout
    assert f"billed       2 in (0 cached), {out} out, {billed['cost_usd']} USD" in told
