"""Fixtures for every test."""

from tests.hub import hub as hub
from tests.serving import server as server
from tests.simulator.fixtures import running_simulator as running_simulator
from tests.simulator.fixtures import simulator as simulator
from tests.simulator.fixtures import unused_port as unused_port
