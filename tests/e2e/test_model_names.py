"""``model[:suffix]``: what is a policy, what a provider, and what belongs to the model's id."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.client import ask, chat, question
from tests.serving import Serving, running
from tests.simulator import Simulator

_CONFIG = """
[engine]
enabled = false
[routing]
preferred = ["third"]
[providers.dear]
base_url = "URL"
models."sim/echo" = { input = 3.0, output = 3.0 }
models."sim/echo:beta" = { id = "sim/echo" }
[providers.cheap]
base_url = "URL"
models."sim/echo" = { input = 1.0, output = 1.0 }
[providers.third]
base_url = "URL"
local = true
models."sim/echo" = { id = "sim/inner" }
"""


@pytest.fixture(scope="module")
def router(running_simulator: Simulator) -> Iterator[Serving]:
    """A server with a dear, a cheap and an unpriced provider, the last one preferred and local."""
    with running(config=_CONFIG.replace("URL", running_simulator.base_url)) as serving:
        yield serving


@pytest.mark.parametrize(
    ("name", "provider"),
    [
        ("sim/echo:cheapest", "cheap"),
        ("sim/echo:preferred", "third"),
        ("sim/echo:local", "third"),
        ("sim/echo:cheap", "cheap"),
        ("sim/echo:third", "third"),
        ("sim/echo:beta", "dear"),
        ("sim/echo:beta:dear", "dear"),
    ],
)
def test_a_suffix_chooses_the_provider_or_belongs_to_the_id(
    router: Serving, name: str, provider: str
) -> None:
    answer = chat(router, question(model=name))

    assert answer.status == 200, answer.body
    assert answer.headers["x-trunkline-provider"] == provider


def test_the_provider_is_asked_for_its_own_id_and_never_sees_the_suffix(
    router: Serving, simulator: Simulator
) -> None:
    for name in ("sim/echo:third", "sim/echo:beta:dear"):
        assert chat(router, question(model=name)).status == 200

    assert [seen.body["model"] for seen in simulator.seen] == ["sim/inner", "sim/echo"]


@pytest.mark.parametrize("name", ["sim/echo:nobody", "sim/echo:Cheapest", "sim/echo:", ":cheapest"])
def test_any_other_suffix_belongs_to_an_id_that_nobody_knows(router: Serving, name: str) -> None:
    answer = chat(router, question(model=name))

    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert f"'{name}'" in answer.error["message"]


def test_models_are_listed_once_and_shown_by_any_of_their_names(router: Serving) -> None:
    listed = ask(router, "GET", "/v1/models").json
    shown = ask(router, "GET", "/v1/models/sim/echo:cheapest").json

    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["sim/echo", "sim/echo:beta"]
    assert [p["provider"] for p in listed["data"][0]["providers"]] == ["dear", "cheap", "third"]
    assert (shown["id"], shown["object"], shown["owned_by"]) == ("sim/echo", "model", "sim")


def test_a_listed_model_tells_what_was_measured_and_what_it_costs(router: Serving) -> None:
    for stream in (False, True):
        assert chat(router, question(model="sim/echo:cheap", stream=stream)).status == 200
    listed = ask(router, "GET", "/v1/models/sim/echo").json["providers"]
    cheap = next(one for one in listed if one["provider"] == "cheap")

    assert cheap["pricing"] == {"input": 1.0, "output": 1.0}
    assert cheap["status"] == "live"
    assert cheap["throughput"] > 0
    assert cheap["first_token_latency_ms"] > 0
