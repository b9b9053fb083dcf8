"""The simulator as pytest fixtures; ``tests/conftest.py`` imports them."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.simulator import Simulator


@pytest.fixture(scope="session")
def running_simulator() -> Iterator[Simulator]:
    """One server for all tests of this process."""
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def simulator(running_simulator: Simulator) -> Iterator[Simulator]:
    """The simulator, with nothing queued and nothing seen."""
    running_simulator.reset()
    yield running_simulator
    running_simulator.reset()


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A loopback port that refuses connections: bound, but nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
