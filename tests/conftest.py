"""Fixtures for every test."""

from collections.abc import Iterator

import pytest

from tests.hub import hub as hub
from tests.serving import server as server
from tests.simulator.fixtures import running_simulator as running_simulator
from tests.simulator.fixtures import simulator as simulator
from tests.simulator.fixtures import unused_port as unused_port
from trunkline.config import known


@pytest.fixture(scope="session", autouse=True)
def no_keys_of_providers() -> Iterator[None]:
    """Hides the developer's own keys: a test that used one would reach a real provider."""
    with pytest.MonkeyPatch.context() as patch:
        for one in known.providers().values():
            for variables in (one.key_env, *one.parts.values()):
                for variable in variables:
                    patch.delenv(variable, raising=False)
        yield
