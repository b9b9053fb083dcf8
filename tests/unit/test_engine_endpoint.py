"""Handing the engine's address to other processes."""

from __future__ import annotations

import stat

import msgspec
import pytest

from trunkline.engine.endpoint import Endpoint, endpoint_file, publish
from trunkline.errors import EngineUnavailable

ENDPOINT = Endpoint(
    address="http://127.0.0.1:4321",
    secret="s3cret",
    pid=17,
    model="trunkline/gpt-oss-nano",
    slots=8,
    context=4096,
    markers={"<|start|>": 1276},
)


def test_a_reader_follows_every_change(tmp_path):
    path = tmp_path / "run" / "engine.json"
    where = endpoint_file(path)
    seen = [where()]
    restarted = msgspec.structs.replace(ENDPOINT, address="http://127.0.0.1:4322", pid=18)
    for endpoint in (None, ENDPOINT, None, restarted):
        publish(path, endpoint)
        seen += [where(), where()]
    assert seen == [None, None, None, ENDPOINT, ENDPOINT, None, None, restarted, restarted]


def test_an_engine_that_is_off_says_why(tmp_path):
    path = tmp_path / "engine.json"
    publish(path, None, off="the model is broken")
    with pytest.raises(EngineUnavailable, match="the model is broken"):
        endpoint_file(path)()


def test_only_the_owner_can_read_the_secret(tmp_path):
    path = tmp_path / "run" / "engine.json"
    publish(path, ENDPOINT)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]
