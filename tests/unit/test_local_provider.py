"""The embedded engine as a provider, on a scripted client: what a healthy engine never shows."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from trunkline.engine.admission import Admission
from trunkline.engine.client import Completion, Done, Piece, Progress
from trunkline.engine.endpoint import Endpoint
from trunkline.engine.model import ModelCard
from trunkline.errors import EngineUnavailable, InvalidRequest, UpstreamError
from trunkline.providers.base import Call
from trunkline.providers.local import LocalProvider
from trunkline.wire.harmony import Marker

IDS = {marker.value: 1000 + number for number, marker in enumerate(Marker)}
ENDPOINT = Endpoint(
    address="", secret="", pid=1, model="m", slots=4, context=4096, markers=IDS
)  # fmt: skip
ANSWER = [Marker.CHANNEL, "final", Marker.MESSAGE, "yes", Marker.RETURN]


class ScriptedClient:
    """Says ``tokens`` to every completion; number ``fails_at`` fails in its midst.

    With ``waits`` completions go on for ever after their first token.
    """

    def __init__(
        self, tokens: Any = ANSWER, *, fails_at: int = -1, waits: bool = False, off: bool = False
    ) -> None:
        self.admission = Admission(slots=4, queue=4)
        self.asked: list[Completion] = []
        self.left = 0
        self._tokens, self._fails_at, self._waits, self._off = tokens, fails_at, waits, off

    def slot(self, n: int = 1) -> Any:
        return self.admission.slot(n)

    async def wait_ready(self) -> Endpoint:
        if self._off:
            raise EngineUnavailable("off")
        return ENDPOINT

    @asynccontextmanager
    async def complete(self, completion: Completion):
        number = len(self.asked)
        self.asked.append(completion)
        try:
            yield self._output(number)
        finally:
            self.left += 1

    async def _output(self, number: int):
        yield [Progress(7, 0)]
        for predicted, token in enumerate(self._tokens, start=1):
            await asyncio.sleep(0)
            yield [Piece(str(token), [IDS.get(token, 5)], predicted, [])]
            if number == self._fails_at:
                raise UpstreamError("broken", retryable=True)
            if self._waits:
                await asyncio.Event().wait()
        yield [Done("eos", "", 7, 0, len(self._tokens))]


def provider(client: ScriptedClient, **card: Any) -> LocalProvider:
    return LocalProvider(client=client, card=ModelCard(name="m", **card))  # type: ignore[arg-type]


def call(*, stream: bool = False, lenient: bool = False, **fields: Any) -> Call:
    fields = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    body = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}
    return Call(model="m", body=body, stream=stream, request_id="req_1", lenient=lenient)


def ask(client: ScriptedClient, *, stream: bool = False, **fields: Any) -> list[Any]:
    async def main() -> list[Any]:
        async with provider(client).open(call(stream=stream, **fields)) as reply:
            return [json.loads(one) async for some in reply.chunks for one in some]

    return asyncio.run(main())


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("n", [1, 3])
def test_an_engine_that_breaks_down_is_the_upstreams_failure(stream, n):
    client = ScriptedClient(fails_at=n - 1)
    with pytest.raises(UpstreamError, match="broken"):
        ask(client, stream=stream, n=n)
    assert client.left == len(client.asked)
    assert client.admission.running == 0


@pytest.mark.parametrize("n", [1, 3])
def test_leaving_a_reply_stops_every_choice(n):
    client = ScriptedClient(["said at once"], waits=True)

    async def main() -> None:
        async with provider(client).open(call(stream=True, n=n)) as reply:
            await anext(aiter(reply.chunks))
            assert client.admission.running == n
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert client.left == len(client.asked) <= n
    assert client.admission.running == 0


@pytest.mark.parametrize("n", [1, 3])
def test_an_error_of_the_reader_comes_out_as_it_is(n):
    async def main() -> None:
        async with provider(ScriptedClient()).open(call(stream=True, n=n)):
            raise LookupError("the reader's own")

    with pytest.raises(LookupError, match="the reader's own"):
        asyncio.run(main())


def test_an_engine_that_is_off_is_told_so():
    client = ScriptedClient(off=True)
    with pytest.raises(EngineUnavailable):
        ask(client)
    assert client.admission.running == 0


def test_a_wrong_request_takes_no_slot():
    client = ScriptedClient()
    with pytest.raises(InvalidRequest):
        ask(client, messages=[{"role": "user"}])
    assert client.asked == []


def test_each_choice_begins_with_its_role_and_ends_with_its_reason():
    chunks = ask(ScriptedClient(), stream=True, n=2)
    *choices, usage = chunks
    for index in (0, 1):
        own = [one["choices"][0] for one in choices if one["choices"][0]["index"] == index]
        assert own[0]["delta"] == {"role": "assistant", "content": ""}
        assert [one["delta"].get("content") for one in own[1:]] == ["yes", None]
        assert [one["finish_reason"] for one in own] == [None, None, "stop"]
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 2 * len(ANSWER))
    assert usage["usage"]["prompt_tokens"] == 7  # read once, however many choices


def test_an_answer_without_any_text_still_has_its_message():
    (completion,) = ask(ScriptedClient([*ANSWER[:3], Marker.RETURN]))
    (choice,) = completion["choices"]
    assert choice["message"] == {"role": "assistant", "content": None, "refusal": None}
    assert choice["finish_reason"] == "stop"


def test_what_a_request_leaves_out_is_the_models_own_default():
    client = ScriptedClient()

    async def main(**fields: Any) -> Completion:
        async with provider(client, temperature=0.3, max_tokens=9).open(call(**fields)):
            return client.asked[-1]

    asked = asyncio.run(main())
    assert (asked.temperature, asked.max_tokens, asked.top_p, asked.seed) == (0.3, 9, 1.0, None)
    asked = asyncio.run(main(temperature=0, max_tokens=5, max_completion_tokens=8, top_p=0.5))
    assert (asked.temperature, asked.max_tokens, asked.top_p) == (0, 5, 0.5)


def test_a_model_is_shown_the_schema_of_its_answer():
    client = ScriptedClient([*ANSWER[:2], Marker.RETURN])
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"title": "lurking"}}}

    async def main() -> None:
        async with provider(client).open(call(response_format=schema)):
            pass

    with pytest.raises(UpstreamError):  # the script does not follow the schema
        asyncio.run(main())
    prompt = "".join(str(part) for part in client.asked[0].prompt)
    assert "lurking" in prompt


def ignored(*, lenient: bool = False, **fields: Any) -> Any:
    async def main() -> Any:
        asked = call(lenient=lenient, **fields)
        async with provider(ScriptedClient()).open(asked) as reply:
            return reply.ignored

    return asyncio.run(main())


REFUSED: dict[str, Any] = {
    "audio": {},
    "functions": [],
    "guided_grammar": "root ::= [a]",
    "web_search_options": {},
    "reasoning": {"max_tokens": 9},
}


@pytest.mark.parametrize("name", REFUSED)
def test_leniency_leaves_out_what_the_engine_refuses_and_tells_which(name: str) -> None:
    fields: Any = {name: REFUSED[name]}
    with pytest.raises(InvalidRequest) as caught:
        ignored(**fields)
    assert caught.value.code == "unsupported_parameter"
    assert ignored(lenient=True, **fields) == [caught.value.param]


@pytest.mark.parametrize(
    "fields",
    [
        {"modalities": ["text", "audio"]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x:"}}]}
            ]
        },
    ],
)
def test_leniency_does_not_answer_another_question(fields: Any) -> None:
    with pytest.raises(InvalidRequest):
        ignored(lenient=True, **fields)


def test_what_makes_no_difference_to_the_engine_is_told() -> None:
    assert ignored(user="u", metadata={"a": "b"}, store=False) == ["metadata", "user"]
    assert ignored(modalities=["text"]) == []
