"""Images and files: fetched, read, put in their places, and refused by their paths."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import pytest

from trunkline.errors import EgressError, InvalidRequest
from trunkline.responses import attachments
from trunkline.responses.attachments import Attachments, files_of
from trunkline.responses.history import Image
from trunkline.wire.responses import decode_input
from trunkline.wire.responses.items import Message
from trunkline.wire.responses.parts import InputText

PNG = b"\x89PNG\r\n\x1a\n and more"
PNG_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


class Found(NamedTuple):
    body: bytes


class Web:
    """What there is at addresses, and what was asked of it."""

    def __init__(self, pages: dict[str, bytes] | None = None, *, delay_s: float = 0.0) -> None:
        self.asked: list[tuple[str, int, Sequence[str]]] = []
        self.read: list[bytes] = []
        self.at_a_time = self.most = 0
        self._pages = pages or {}
        self._delay_s = delay_s

    async def fetch(self, url: str, /, *, max_bytes: int, accept: Sequence[str]) -> Found:
        self.asked.append((url, max_bytes, accept))
        self.at_a_time += 1
        self.most = max(self.most, self.at_a_time)
        try:
            await asyncio.sleep(self._delay_s)
        finally:
            self.at_a_time -= 1
        if url not in self._pages:
            raise EgressError("the server answers with status 404", reason="status", status=404)
        return Found(self._pages[url])

    async def text(self, data: bytes, /, *, max_chars: int, param: str) -> str:
        self.read.append(data)
        if data == b"bad":
            raise InvalidRequest(f"{param}: is damaged", param=param)
        return data.decode()

    def attachments(self, **more: Any) -> Attachments:
        return Attachments(fetch=self.fetch, read_text=self.text, **more)


def contents(web: Web, *parts: dict[str, Any], times: int = 1) -> list[str]:
    """Returns the texts that are in the place of the parts."""
    raw = msgspec.Raw(msgspec.json.encode([{"role": "user", "content": [*parts]}]))
    brought = web.attachments()
    for _ in range(times):
        (item,) = decode_input(raw)
        asyncio.run(brought.read_files(list(files_of([item]))))
    assert isinstance(item.meaning, Message)
    return [part.text for part in item.meaning.content if isinstance(part, InputText)]


def shown(web: Web, *urls: str, **more: Any) -> list[str]:
    images = [
        Image(f"input[0].content[{place}]", {"type": "image_url", "image_url": {"url": url}})
        for place, url in enumerate(urls)
    ]
    asyncio.run(web.attachments(**more).show_images(images))
    return [image.url for image in images]


def data_url(data: bytes, kind: str = "text/plain") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def test_the_text_of_a_file_stands_in_its_place() -> None:
    web = Web({"https://a.b/dir/c.pdf?x=1#y": b"three"})
    assert contents(
        web,
        {"type": "input_text", "text": "read:"},
        {"type": "input_file", "filename": 'a"\n.txt', "file_data": data_url(b"one")},
        {"type": "input_file", "file_data": base64.b64encode(b"two").decode()},
        {"type": "input_file", "file_url": "https://a.b/dir/c.pdf?x=1#y"},
    ) == [
        "read:",
        '<file name="a  .txt">\none\n</file>',
        "<file>\ntwo\n</file>",
        '<file name="c.pdf">\nthree\n</file>',
    ]
    assert [url for url, _, _ in web.asked] == ["https://a.b/dir/c.pdf?x=1#y"]


def test_a_file_that_comes_again_is_not_read_again() -> None:
    web = Web()
    part = {"type": "input_file", "file_data": data_url(b"one")}
    assert contents(web, part, times=3) == ["<file>\none\n</file>"]
    assert web.read == [b"one"]


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "_REMEMBERED_CHARS", 5)
    web = Web()
    parts = [{"type": "input_file", "file_data": data_url(text)} for text in (b"abc", b"def")]
    contents(web, *parts, times=2)
    assert web.read == [b"abc", b"def"] * 2


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"file_data": "data:text/plain;base64,*"}, "file_data"),
        ({"file_data": "*"}, "file_data"),
        ({"file_data": data_url(b"bad")}, "file_data"),
        ({"file_url": "https://a.b/gone"}, "file_url"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(part: dict[str, str], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        contents(Web(), {"type": "input_text", "text": "x"}, {"type": "input_file", **part})
    assert refused.value.param == f"input[0].content[1].{param}"
    assert refused.value.message.startswith(f"input[0].content[1].{param}: ")


def test_files_in_outputs_of_calls_are_read_too() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "x", "arguments": "{}"}
    part = {"type": "input_file", "file_data": data_url(b"one")}
    output = {"type": "function_call_output", "call_id": "c", "output": [part]}
    items = decode_input(msgspec.Raw(msgspec.json.encode([call, output])))
    assert [file.at for file in files_of(items)] == ["input[1].output[0]"]


def test_images_go_on_as_data_urls_of_their_true_type() -> None:
    web = Web({"https://a.b/c": PNG})
    mislabelled = data_url(PNG, "image/jpeg")
    assert shown(web, PNG_URL, mislabelled, "https://a.b/c") == [PNG_URL] * 3
    assert len(web.asked) == 1


@pytest.mark.parametrize(
    "url",
    ["data:image/png;base64,AAAA", "data:,x", "data:image/png;base64,*", "https://a.b/gone"],
)
def test_what_is_no_image_is_named(url: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        shown(Web({"https://a.b/x": b"<html>"}), PNG_URL, url)
    assert refused.value.param == "input[0].content[1]"


def test_a_page_is_no_image() -> None:
    with pytest.raises(InvalidRequest) as refused:
        shown(Web({"https://a.b/x": b"<html>"}), "https://a.b/x")
    assert refused.value.param == "input[0].content[0]"


def test_a_few_addresses_are_fetched_at_a_time_and_not_too_many() -> None:
    pages = {f"https://a.b/{n}": PNG for n in range(60)}
    web = Web(pages, delay_s=0.001)
    shown(web, *list(pages)[: attachments.MAX_FETCHES])
    assert web.most == 4
    with pytest.raises(InvalidRequest, match="addresses"):
        shown(web, *pages)


def test_what_a_request_lets_be_fetched_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "MAX_FETCHED_BYTES", len(PNG) + 5)
    web = Web({"https://a.b/1": PNG, "https://a.b/2": PNG})
    monkeypatch.setattr(attachments, "_AT_A_TIME", 1)
    shown(web, "https://a.b/1", "https://a.b/2")
    assert [most for _, most, _ in web.asked] == [len(PNG) + 5, 5]


def test_what_takes_too_long_is_given_up() -> None:
    with pytest.raises(InvalidRequest, match=r"longer than 0\.01 s") as refused:
        shown(Web(delay_s=5), "https://a.b/c", total_s=0.01)
    assert refused.value.param == "input[0].content[0]"
