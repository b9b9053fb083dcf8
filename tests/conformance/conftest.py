"""The official clients, set up for the shared server; what it answers them is checked afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.request import urlopen  # noqa: TID251  # a test, of our own server

import openai
import pytest

from tests.conformance.published import Descriptions
from tests.conformance.recording import Recorder
from tests.serving import ECHO, NANO, Serving
from tests.simulator import Simulator


@pytest.fixture(params=[NANO, ECHO], ids=["engine", "simulator"])
def model(request: pytest.FixtureRequest, simulator: Simulator) -> str:
    """A model of the embedded engine, then one of a provider over HTTP."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def descriptions(server: Serving) -> Descriptions:
    """OpenAI's description of the answers and the one that the server gives of itself."""
    with urlopen(f"{server.url}/openapi.json") as answer:
        return Descriptions(json.load(answer))


@pytest.fixture
def recorder(descriptions: Descriptions) -> Iterator[Recorder]:
    """Records a test's answers; in the end each one must be as described."""
    recorder = Recorder()
    yield recorder
    assert recorder.exchanges, "nothing was asked through the recorder"
    assert [fault for made in recorder.exchanges for fault in descriptions.faults(made)] == []


@pytest.fixture
def relayed_url(server: Serving, recorder: Recorder) -> Iterator[str]:
    """What clients of other languages are configured with."""
    with recorder.relay(server.url) as url:
        yield f"{url}/v1"


@pytest.fixture
def client(server: Serving, recorder: Recorder) -> Iterator[openai.OpenAI]:
    """OpenAI's SDK, without the retries that would hide failures."""
    with openai.OpenAI(
        base_url=server.base_url,
        api_key=server.key,
        max_retries=0,
        http_client=recorder.client(),
    ) as client:
        yield client
