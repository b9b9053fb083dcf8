"""Prompts that llama.cpp's tokenizer would not survive are answered or refused; the engine lives on."""

import json
from urllib.error import HTTPError
from urllib.request import Request, urlopen  # noqa: TID251  # a test, of our own server

import pytest

from tests.serving import NANO


@pytest.mark.parametrize("run", ["a", " ", "é", "-", "漢", "\n", "aB"])
def test_a_long_run_of_characters_is_refused_and_does_not_end_the_engine(server, run):
    body = {"model": NANO, "messages": [{"role": "user", "content": run * 60_000}]}
    request = Request(
        f"{server.base_url}/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"},
    )
    with pytest.raises(HTTPError) as refused:
        urlopen(request)
    with refused.value:
        error = json.load(refused.value)["error"]
    assert refused.value.code == 400
    assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")
    assert "engine_ended" not in server.stderr()
