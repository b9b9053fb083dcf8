"""What providers' lists say of prices and contexts, each in its own shape."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from trunkline.providers.prices import entries

OPENROUTER = b"""{"data":[{"id":"openai/gpt-oss-120b","canonical_slug":"openai/gpt-oss-120b","name":"OpenAI: gpt-oss-120b",
"created":1754414231,"context_length":131072,"architecture":{"modality":"text->text"},
"pricing":{"prompt":"0.000000039","completion":"0.00000019","request":"0","input_cache_read":"0.00000002"},
"top_provider":{"context_length":131072,"max_completion_tokens":32768,"is_moderated":false}}]}"""
TOGETHER = b"""[{"id":"openai/gpt-oss-120b","object":"model","created":1754414231,"type":"chat",
"context_length":131072,"pricing":{"hourly":0,"input":0.15,"output":0.6,"base":0,"finetune":0}}]"""
DEEPINFRA = b"""{"object":"list","data":[{"id":"openai/gpt-oss-120b","object":"model","owned_by":"deepinfra",
"metadata":{"context_length":131072,"max_tokens":131072,
"pricing":{"input_tokens":0.037,"output_tokens":0.17,"cache_read_tokens":0.01}}}]}"""
NOVITA = b"""{"data":[{"created":1754414231,"id":"openai/gpt-oss-120b","object":"model",
"input_token_price_per_m":500,"output_token_price_per_m":2500,"context_size":131072,"max_output_tokens":32768}]}"""
HUGGING_FACE = b"""{"object":"list","data":[{"id":"openai/gpt-oss-120b","object":"model","owned_by":"openai",
"providers":[
{"provider":"cerebras","status":"live","context_length":131072,"pricing":{"input":0.25,"output":0.69}},
{"provider":"nscale","status":"live","is_model_author":false}]}]}"""
GROQ = b"""{"object":"list","data":[{"id":"openai/gpt-oss-120b","object":"model","owned_by":"OpenAI","active":true,
"context_window":131072,"public_apps":null,"max_completion_tokens":65536}]}"""
SAMBANOVA = b"""{"object":"list","data":[{"id":"gpt-oss-120b","object":"model","context_length":131072,
"max_completion_tokens":131072,"pricing":{"prompt":"0.00000022","completion":"0.00000059","duration_hour":"0.0"}}]}"""
VLLM = b"""{"object":"list","data":[{"id":"openai/gpt-oss-20b","object":"model","owned_by":"vllm",
"root":"openai/gpt-oss-20b","parent":null,"max_model_len":131072,"permission":[]}]}"""
PLAIN = b'{"object":"list","data":[{"id":"gpt-oss-120b","object":"model","owned_by":"Cerebras"}]}'


def of(body: bytes) -> dict[str, str]:
    """What is said of the first model, as plain decimals."""
    return {fact: f"{number.normalize():f}" for fact, number in entries(body)[0].said.items()}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (OPENROUTER, ("0.039", "0.02", "0.19", "131072", "32768")),
        (TOGETHER, ("0.15", None, "0.6", "131072", None)),
        (DEEPINFRA, ("0.037", "0.01", "0.17", "131072", "131072")),
        (NOVITA, ("0.05", None, "0.25", "131072", "32768")),
        (GROQ, (None, None, None, "131072", "65536")),
        (SAMBANOVA, ("0.22", None, "0.59", "131072", "131072")),
        (VLLM, (None, None, None, "131072", None)),
        (HUGGING_FACE, (None,) * 5),
        (PLAIN, (None,) * 5),
    ],
    ids=[
        "openrouter",
        "together",
        "deepinfra",
        "novita",
        "groq",
        "sambanova",
        "vllm",
        "huggingface",
        "plain",
    ],
)
def test_a_list_is_read_in_its_providers_shape_without_a_float(
    body: bytes, said: tuple[str | None, ...]
) -> None:
    names = ("input", "cached_input", "output", "context", "max_output")
    assert of(body) == {name: value for name, value in zip(names, said, strict=True) if value}


def test_a_routers_list_tells_what_each_provider_behind_it_takes() -> None:
    (entry,) = entries(HUGGING_FACE)
    assert entry.through == {
        "cerebras": {
            "input": Decimal("0.25"),
            "output": Decimal("0.69"),
            "context": Decimal(131072),
        }
    }


def test_what_is_no_number_says_nothing() -> None:
    odd = {"input": True, "output": "free", "cached_input": {"usd": 1}}
    for context in (None, "", [1], "NaN", False):
        one = {"id": "m", "pricing": odd, "context_length": context}
        assert entries(json.dumps([one]).encode())[0].said == {}
    assert entries(b'[{"id":"m","pricing":"0.15","metadata":null}]')[0].said == {}


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"7", b'{"data":7}', b'{"data":[1]}', b'[{"name":"x"}]', b"<html>", b"[" * 9999]
)  # fmt: skip
def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="not a list of models"):
        entries(body)


@pytest.mark.parametrize(
    "number",
    ["1e999999999", "-1e999999", "1e-999999999", "1e400", "1e31", '"1e999999999"', '"inf"'],
)
def test_a_number_that_would_take_much_memory_to_write_out_says_nothing(number: str) -> None:
    listed = f'{{"data":[{{"id":"m","context_length":{number},"pricing":{{"input":{number}}}}}]}}'
    assert entries(listed.encode())[0].said == {}


def test_nothing_is_a_number_however_it_is_written() -> None:
    assert of(b'{"data":[{"id":"m","pricing":{"input":0e-99}}]}') == {"input": "0"}
