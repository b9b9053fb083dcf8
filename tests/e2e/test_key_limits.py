"""What a key may use, seen from outside: who answers it, what it is refused, and what the receipt says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import msgspec
import pytest

from tests.e2e.client import Answer, ask, chat, question, receipt, run, streaming, until
from tests.serving import Serving, running, simulated_provider
from tests.simulator import Simulator
from trunkline.routing import replay
from trunkline.store import Decision

MODEL, PACED = "sim/echo", "sim/paced-20ms"
_CONFIG = """
[engine]
enabled = false
[routing]
explore = 0
[providers.a]
base_url = "URL-A"
models."sim/echo" = { input = 0.1, output = 0.9 }
models."sim/other" = { id = "sim/echo" }
[providers.b]
base_url = "URL-B"
models."sim/echo" = { input = 0.3, output = 0.2, tools = false }
"""


@pytest.fixture(scope="module")
def router() -> Iterator[Serving]:
    with ExitStack() as stack:
        a, b = (stack.enter_context(Simulator()) for _ in range(2))
        config = _CONFIG.replace("URL-A", a.base_url).replace("URL-B", b.base_url)
        yield stack.enter_context(running(config=config))


def key(router: Serving, *options: str) -> str:
    return run("keys", "create", *options, home=router.home).stdout.strip()


def who(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return answer.headers["x-trunkline-provider"]


@pytest.mark.parametrize(
    ("options", "model", "provider"),
    [
        (("--providers", "b"), MODEL, "b"),
        (("--deny-providers", "a"), f"{MODEL}:fastest", "b"),
        (("--max-price", "/0.5"), f"{MODEL}:preferred", "b"),
        (("--max-price", "0.2/"), f"{MODEL}:cheapest", "a"),
        (("--models", "sim/e*", "--providers", "a,b"), f"{MODEL}:b", "b"),
    ],
)
def test_a_keys_limits_decide_who_answers(
    router: Serving, options: tuple[str, ...], model: str, provider: str
) -> None:
    assert who(chat(router, question(model=model), key=key(router, *options))) == provider


@pytest.mark.parametrize(
    ("options", "model", "said"),
    [
        (("--models", "openai/*"), f"{MODEL}:a", "a (not in the key's models)"),
        (("--deny-models", "sim/other"), "sim/other", "a (in the key's denied models)"),
        (("--providers", "b"), f"{MODEL}:a", "a (not in the key's providers)"),
        (("--max-price", "1/1"), "sim/other", "a (without a list price, and the key has a max"),
        (
            ("--max-price", "0.2/0.5"),
            MODEL,
            "a (above the key's maximum price), b (above the key's maximum price)",
        ),
    ],
)
def test_a_key_is_refused_what_it_may_not_use(
    router: Serving, options: tuple[str, ...], model: str, said: str
) -> None:
    answer = chat(router, question(model=model), key=key(router, *options))
    assert (answer.status, answer.error["code"]) == (400, "no_matching_provider")
    assert said in answer.error["message"]


def test_a_request_for_which_nobody_is_left_has_a_receipt_that_names_each_filter(
    router: Serving,
) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    body = question("a secret", model=MODEL, tools=tools, provider={"ignore": ["a"]})
    answer = chat(router, body)
    assert (answer.status, answer.error["param"]) == (400, "provider")
    removed = {"a": "in provider.ignore", "b": "does not call tools"}
    for provider, why in removed.items():
        assert f"{provider} ({why})" in answer.error["message"]

    request_id = answer.headers["x-request-id"]
    told = receipt(router, request_id)
    assert (told["status"], told["error_code"]) == (400, "no_matching_provider")
    assert (told["provider"], told["attempts"], told["decision"]["plan"]) == (None, [], [])
    assert {one["provider"]: one["removed"] for one in told["decision"]["candidates"]} == removed
    shown = run("explain", request_id, home=router.home).stdout
    assert "answered by  nobody\n" in shown
    assert "status       400 no_matching_provider\n" in shown
    assert "choice       fastest: nobody\n" in shown
    assert "candidate    a: left out, in provider.ignore\n" in shown
    assert "candidate    b: left out, does not call tools\n" in shown
    stored = run("explain", request_id, "--json", home=router.home).stdout
    assert "a secret" not in stored
    assert replay(msgspec.convert(json.loads(stored)["decision"], Decision)) == ()


@pytest.mark.parametrize(
    ("suffix", "policy", "why"), [("local", "local", "not local"), ("b", "pinned", "not 'b'")]
)
def test_a_suffix_that_leaves_nobody_has_a_receipt_too(
    router: Serving, suffix: str, policy: str, why: str
) -> None:
    answer = chat(router, question(model=f"sim/other:{suffix}"))
    assert answer.error["code"] == "no_matching_provider"
    decision = receipt(router, answer.headers["x-request-id"])["decision"]
    assert (decision["policy"], decision["plan"]) == (policy, [])
    assert decision["candidates"] == [{"provider": "a", "removed": why}]


def test_a_changed_limit_is_heeded_within_a_second(router: Serving) -> None:
    made = json.loads(run("keys", "create", "--json", home=router.home).stdout)
    assert chat(router, question(model=f"{MODEL}:a"), key=made["key"]).status == 200
    run("keys", "limit", made["id"], "--providers", "b", home=router.home)

    def answered() -> int:
        return chat(router, question(model=f"{MODEL}:a"), key=made["key"]).status

    until(lambda: answered() == 400, "the limit", timeout_s=1.0)
    run("keys", "limit", made["id"], "--providers", "none", home=router.home)
    until(lambda: answered() == 200, "no limit", timeout_s=1.0)


@pytest.fixture(scope="module")
def workers() -> Iterator[Serving]:
    with ExitStack() as stack:
        simulator = stack.enter_context(Simulator())
        config = (
            f"[engine]\nenabled = false\n{simulated_provider(simulator.base_url, MODEL, PACED)}"
        )
        yield stack.enter_context(running(config=config, flags=["--workers", "2"]))


def test_a_rate_is_kept_exactly_by_all_workers_together(workers: Serving) -> None:
    limited = key(workers, "--rate", "5/h")
    answers = [chat(workers, question(model=MODEL), key=limited) for _ in range(20)]
    assert [answer.status for answer in answers] == [200] * 5 + [429] * 15
    assert answers[-1].error == {
        "message": answers[-1].error["message"],
        "type": "rate_limit_error",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    assert 700 <= int(answers[-1].headers["retry-after"]) <= 720
    assert ask(workers, "GET", "/v1/models", key=limited).status == 200
    assert chat(workers, question(model=MODEL)).status == 200


def test_streams_count_as_running_until_they_end_or_are_left(workers: Serving) -> None:
    limited = key(workers, "--concurrency", "2")
    stream = {"headers": {"Authorization": f"Bearer {limited}"}}
    text = " ".join(["word"] * 3000)  # a minute

    def answered() -> Answer:
        return chat(workers, question(model=MODEL), key=limited)

    with (
        streaming(workers, question(text, model=PACED), **stream) as one,
        streaming(workers, question(text, model=PACED), **stream) as two,
    ):
        assert (one.status, two.status) == (200, 200)
        refused = [answered() for _ in range(8)]
        assert {(each.status, each.error["code"]) for each in refused} == {
            (429, "concurrency_limit_exceeded")
        }
        assert {each.headers["retry-after"] for each in refused} == {"1"}
    until(lambda: answered().status == 200, "the streams' end")
