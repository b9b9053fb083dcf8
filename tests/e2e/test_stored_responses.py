"""Responses that were kept: shown again, listed, deleted, and never told to another account."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import openai
import pytest

from tests.e2e.client import Answer, ask, events_of, run, until
from tests.serving import ECHO, Serving, running
from tests.simulator import Simulator

_CONFIG = """
[engine]
enabled = false
[providers.sim]
base_url = "URL"
models."sim/echo" = { id = "sim/echo", input = 1.0, output = 2.0 }
"""
IMAGE = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture(scope="module")
def router(running_simulator: Simulator) -> Iterator[Serving]:
    with running(config=_CONFIG.replace("URL", running_simulator.base_url)) as serving:
        yield serving


@pytest.fixture(scope="module")
def other(router: Serving) -> str:
    """A key of another account."""
    return run("keys", "create", "--account", "other", home=router.home).stdout.strip()


def created(router: Serving, **body: Any) -> dict[str, Any]:
    answer = ask(router, "POST", "/v1/responses", {"model": ECHO, "input": "hello", **body})
    assert answer.status == 200, answer.body
    response: dict[str, Any] = answer.json
    return response


def texts(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [item["content"][0]["text"] for item in answer.json["data"]]


def test_a_response_is_shown_again_as_it_was_answered(router: Serving) -> None:
    for body in ({}, {"metadata": {"output": "[]"}, "instructions": '{"output":[]}'}):
        response = created(router, **body)
        again = ask(router, "GET", f"/v1/responses/{response['id']}")
        assert again.status == 200
        assert again.headers["content-type"] == "application/json"
        assert again.json == response


def test_a_streamed_response_is_kept_before_its_end_is_told(router: Serving) -> None:
    body = {"model": ECHO, "input": "hello", "stream": True}
    answer = ask(router, "POST", "/v1/responses", body)
    *_, last, done, rest = answer.body.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    response = json.loads(last.split("data: ", 1)[1])["response"]
    assert ask(router, "GET", f"/v1/responses/{response['id']}").json == response


def test_what_is_not_stored_is_not_there(router: Serving) -> None:
    response = created(router, store=False)
    assert response["store"] is False
    assert ask(router, "GET", f"/v1/responses/{response['id']}").error["code"] == "not_found"


def test_a_deleted_response_is_gone_and_so_is_what_follows_it(router: Serving) -> None:
    first = created(router)
    second = created(router, previous_response_id=first["id"])
    deleted = ask(router, "DELETE", f"/v1/responses/{first['id']}")
    assert deleted.json == {"id": first["id"], "object": "response", "deleted": True}
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/input_items")):
        answer = ask(router, method, f"/v1/responses/{first['id']}{path}")
        assert (answer.status, answer.error["code"]) == (404, "not_found")
    assert ask(router, "GET", f"/v1/responses/{second['id']}").json == second

    body = {"model": ECHO, "input": "and?", "previous_response_id": second["id"]}
    error = ask(router, "POST", "/v1/responses", body).error
    assert (error["code"], error["param"]) == (
        "previous_response_not_found",
        "previous_response_id",
    )
    assert f"'{first['id']}', to which '{second['id']}' leads back" in error["message"]


def test_the_input_items_are_those_of_this_response_newest_first(router: Serving) -> None:
    first = created(router, input="one")
    items = [{"role": "user", "content": f"{n}"} for n in range(25)]
    path = f"/v1/responses/{created(router, input=items, previous_response_id=first['id'])['id']}/input_items"

    newest = ask(router, "GET", path)
    assert texts(newest) == [str(n) for n in range(24, 4, -1)]
    page = newest.json
    assert page["object"] == "list"
    assert page["has_more"] is True
    assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
    rest = ask(router, "GET", f"{path}?after={page['last_id']}")
    assert texts(rest) == ["4", "3", "2", "1", "0"]
    assert rest.json["has_more"] is False
    assert texts(ask(router, "GET", f"{path}?order=asc&limit=3")) == ["0", "1", "2"]
    nothing = ask(router, "GET", f"{path}?after={rest.json['last_id']}").json
    assert nothing == {
        "object": "list",
        "data": [],
        "first_id": "",
        "last_id": "",
        "has_more": False,
    }


@pytest.mark.parametrize(
    ("path", "code", "param"),
    [
        ("?limit=0", "invalid_value", "limit"),
        ("?limit=101", "invalid_value", "limit"),
        ("?limit=x", "invalid_type", "limit"),
        ("?order=up", "invalid_value", "order"),
        ("?after=msg_none", "invalid_value", "after"),
        ("?after=a%00b", "invalid_value", "after"),
        ("?before=msg_1", "unknown_parameter", "before"),
        ("?include[]=everything", "invalid_value", "include[0]"),
    ],
)
def test_a_list_that_cannot_be_given_is_refused_by_name(
    router: Serving, path: str, code: str, param: str
) -> None:
    response = created(router)
    answer = ask(router, "GET", f"/v1/responses/{response['id']}/input_items{path}")
    assert answer.status == 400
    assert (answer.error["code"], answer.error["param"]) == (code, param)


@pytest.mark.parametrize(
    ("method", "query", "code", "param"),
    [
        ("GET", "?include=reasoning", "invalid_value", "include[0]"),
        ("GET", "?starting_after=3", "invalid_value", "starting_after"),
        ("GET", "?stream=true&starting_after=-1", "invalid_value", "starting_after"),
        ("GET", "?version=2", "unknown_parameter", "version"),
        ("DELETE", "?force=true", "unknown_parameter", "force"),
    ],
)
def test_a_query_that_means_nothing_is_refused_by_name(
    router: Serving, method: str, query: str, code: str, param: str
) -> None:
    path = f"/v1/responses/{created(router)['id']}"
    answer = ask(router, method, path + query)
    assert answer.status == 400
    assert (answer.error["code"], answer.error["param"]) == (code, param)
    assert ask(router, "GET", path).status == 200


def test_images_of_the_input_are_shown_to_those_who_ask_for_them(router: Serving) -> None:
    parts = [
        {"type": "input_text", "text": "what is this?"},
        {"type": "input_image", "detail": "auto", "image_url": IMAGE},
    ]
    body = {"model": ECHO, "input": [{"role": "user", "content": parts}]}
    answer = ask(router, "POST", "/v1/responses", body)
    assert answer.status == 200, answer.body
    path = f"/v1/responses/{answer.json['id']}/input_items"
    (item,) = ask(router, "GET", path).json["data"]
    (full,) = ask(router, "GET", f"{path}?include[]=message.input_image.image_url").json["data"]
    assert item["content"] == [parts[0], {"type": "input_image", "detail": "auto"}]
    assert full["content"] == parts


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "?stream=true"),
        ("DELETE", ""),
        ("GET", "/input_items"),
        ("GET", "/input_items?after=msg_none"),
    ],
)
def test_another_accounts_response_is_told_apart_from_none_by_nothing(
    router: Serving, other: str, method: str, path: str
) -> None:
    id = created(router)["id"]
    unknown = "resp_" + "0" * (len(id) - len("resp_"))
    asked = [
        ask(router, method, f"/v1/responses/{each}{path}", key=other)
        for each in (id, unknown, "x%00y", "%F0%9F%99%82")
    ]
    assert {answer.status for answer in asked} == {404}
    assert len({answer.body for answer in asked}) == 1
    assert asked[0].error["code"] == "not_found"
    assert {frozenset(answer.headers.keys() - {"date"}) for answer in asked} == {
        frozenset(asked[0].headers.keys() - {"date"})
    }
    assert ask(router, "GET", f"/v1/responses/{id}").status == 200


def test_nothing_of_another_account_can_be_built_upon(router: Serving, other: str) -> None:
    response = created(router)
    of_mine = (response["id"], response["output"][-1]["id"])
    of_nobody = ("resp_" + "0" * 30, "msg_" + "0" * 30)
    answers = []
    for id, item in (of_mine, of_nobody):
        for more in (
            {"previous_response_id": id},
            {"input": [{"type": "item_reference", "id": item}]},
        ):
            body = {"model": ECHO, "input": "hello", **more}
            answer = ask(router, "POST", "/v1/responses", body, key=other)
            assert answer.status == 400
            text = answer.body.decode().replace(id, "RESPONSE").replace(item, "ITEM")
            answers.append((text, answer.error["code"], answer.error["param"]))
    assert answers[:2] == answers[2:]
    assert [answer[1:] for answer in answers[:2]] == [
        ("previous_response_not_found", "previous_response_id"),
        ("invalid_value", "input[0].id"),
    ]


def test_other_methods_are_refused_with_those_that_there_are(router: Serving) -> None:
    id = created(router)["id"]
    answer = ask(router, "PUT", f"/v1/responses/{id}", {})
    assert answer.status == 405
    assert {"GET", "DELETE"} <= set(answer.headers["allow"].split(", "))


def test_the_official_client_reads_lists_and_deletes(router: Serving) -> None:
    with openai.OpenAI(base_url=router.base_url, api_key=router.key, max_retries=0) as client:
        items: Any = [{"role": "user", "content": f"{n}"} for n in range(45)]
        made = client.responses.create(model=ECHO, input=items)
        again = client.responses.retrieve(made.id, include=["reasoning.encrypted_content"])
        assert again.output_text == made.output_text
        listed = list(client.responses.input_items.list(made.id, order="asc", limit=20))
        assert len({item.id for item in listed}) == 45
        client.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError) as caught:
            client.responses.retrieve(made.id)
        assert caught.value.code == "not_found"


def test_a_response_whose_time_is_over_is_gone_and_swept_away(
    running_simulator: Simulator,
) -> None:
    retention = "[responses]\nretention_days = 0.00001\nsweep_interval_s = 0.2\n"  # 0.9 s
    with running(config=_CONFIG.replace("URL", running_simulator.base_url) + retention) as serving:
        id = created(serving)["id"]
        path = f"/v1/responses/{id}"
        until(lambda: ask(serving, "GET", path).status == 404, "the end of its time")
        until(lambda: events_of(serving, "responses_swept"), "the sweeper")
        with closing(sqlite3.connect(serving.home / "trunkline.db")) as database:
            for table in ("responses", "response_items"):
                assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
