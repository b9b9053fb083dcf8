"""Embeddings for real clients: OpenAI's SDK, sync and async, and LangChain's."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest
from langchain_openai import OpenAIEmbeddings
from pydantic import SecretStr

from tests.conformance.published import OPENAI, as_json_schema, validator
from tests.serving import ECHO, EMBED, Serving
from tests.simulator import Script, Simulator
from tests.simulator.replies import vector
from trunkline.wire.embeddings import PARAMETERS

TEXTS = ["The food was delicious", "and the waiter"]


def test_vectors_of_numbers_are_as_published(client: openai.OpenAI) -> None:
    made = client.embeddings.create(
        model=EMBED, input=TEXTS, encoding_format="float", dimensions=4, user="me"
    )

    assert [one.embedding for one in made.data] == [vector(text, 4) for text in TEXTS]
    assert [one.index for one in made.data] == [0, 1]
    assert (made.object, made.usage.prompt_tokens, made.usage.total_tokens) == ("list", 7, 7)


@pytest.mark.parametrize("takes_encoding", [True, False])
def test_the_sdk_decodes_what_it_asks_for_in_base64(
    server: Serving, simulator: Simulator, takes_encoding: bool
) -> None:
    simulator.play(Script(takes_encoding=takes_encoding))
    with openai.OpenAI(base_url=server.base_url, api_key=server.key, max_retries=0) as client:
        made = client.embeddings.create(model=EMBED, input=[[1, 2], [3]])

    assert [one.embedding for one in made.data] == [vector([1, 2], 8), vector([3], 8)]
    assert simulator.seen[0].body["encoding_format"] == "base64"


def test_the_async_client_embeds(server: Serving) -> None:
    async def made() -> list[float]:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key=server.key) as client:
            answer = await client.embeddings.create(model=EMBED, input="hello")
            return answer.data[0].embedding

    assert asyncio.run(made()) == vector("hello", 8)


def test_mistakes_are_the_sdks_own_exceptions(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model=ECHO, input="hello", encoding_format="float")
    assert (refused.value.code, refused.value.param) == ("invalid_value", "model")
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="sim/nothing", input="hello", encoding_format="float")


def test_langchain_embeds_documents_and_queries(server: Serving) -> None:
    embeddings = OpenAIEmbeddings(
        model=EMBED,
        base_url=server.base_url,
        api_key=SecretStr(server.key),
        check_embedding_ctx_length=False,
    )

    assert embeddings.embed_documents(TEXTS) == [vector(text, 8) for text in TEXTS]
    assert embeddings.embed_query("hello") == vector("hello", 8)


def test_every_published_parameter_is_known() -> None:
    published = as_json_schema(json.loads(OPENAI.read_text()))
    wanted = published["components"]["schemas"]["CreateEmbeddingRequest"]["properties"]

    assert wanted.keys() <= PARAMETERS.keys()
    schema = validator(published, "CreateEmbeddingRequest")
    for texts in ("a", ["a"], [1], [[1]]):
        assert schema.is_valid({"model": "m", "input": texts})
