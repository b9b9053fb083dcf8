"""Images and files in the input, from the caller's request to the body that the provider gets."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pypdf
import pytest

from tests.api.test_files import drawing, pdf_of
from tests.e2e.client import Answer, ask, receipt
from tests.serving import ECHO, NANO, Serving, running
from tests.simulator import Simulator

PNG = b"\x89PNG\r\n\x1a\n and more"
PNG_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"

_CONFIG = """
[engine]
enabled = true
[egress]
allow = ["127.0.0.1"]
[providers.sim]
base_url = "URL"
models."sim/echo" = {}
models."sim/text" = { vision = false }
models."sim/both" = {}
[providers.blind]
base_url = "URL"
models."sim/both" = { vision = false }
"""


@pytest.fixture(scope="module")
def router(running_simulator: Simulator) -> Iterator[Serving]:
    with running(config=_CONFIG.replace("URL", running_simulator.base_url)) as serving:
        yield serving


@contextmanager
def web(pages: dict[str, tuple[str, bytes]]) -> Iterator[tuple[str, list[str]]]:
    """Serves pages, each with its type; yields the address, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            kind, body = pages[self.path]
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def create(serving: Serving, *parts: dict[str, Any], model: str = ECHO, **more: Any) -> Answer:
    message = {"role": "user", "content": [{"type": "input_text", "text": "see:"}, *parts]}
    return ask(serving, "POST", "/v1/responses", {"model": model, "input": [message], **more})


def image(url: str) -> dict[str, Any]:
    return {"type": "input_image", "image_url": url}


def refused(answer: Answer) -> tuple[int, str, str | None]:
    return answer.status, answer.error["code"], answer.error["param"]


def test_an_image_at_an_address_reaches_the_provider_as_what_it_is(
    router: Serving, simulator: Simulator
) -> None:
    with web({"/a.jpg": ("image/jpeg", PNG)}) as (address, asked):
        url = f"{address}/a.jpg"
        answer = create(router, image(url), image(PNG_URL))
        assert answer.status == 200, answer.body
        sent = simulator.seen[-1].body["messages"][0]["content"][1:]
        assert sent == [{"type": "image_url", "image_url": {"url": PNG_URL}}] * 2
        # It is kept as it was sent, and told again in the next turn.
        kept = ask(
            router,
            "GET",
            f"/v1/responses/{answer.json['id']}/input_items?include[]=message.input_image.image_url",
        )
        assert kept.json["data"][0]["content"][1]["image_url"] == url
        follow = {"model": ECHO, "input": "and?", "previous_response_id": answer.json["id"]}
        assert ask(router, "POST", "/v1/responses", follow).status == 200
        assert simulator.seen[-1].body["messages"][0]["content"][1:] == sent
        assert asked == ["/a.jpg"] * 2


def test_an_image_that_cannot_be_had_is_named_and_leaves_a_receipt(router: Serving) -> None:
    with web({"/": ("text/html", b"<html>")}) as (address, _):
        answer = create(router, image(PNG_URL), image(f"{address}/"))
    assert refused(answer) == (400, "invalid_value", "input[0].content[2]")
    assert "html" not in answer.error["message"]
    kept = receipt(router, answer.headers["x-request-id"])
    assert (kept["status"], kept["error_code"]) == (400, "invalid_value")


@pytest.mark.parametrize("model", ["sim/text", NANO])
def test_whoever_sees_no_images_is_not_asked_and_nothing_is_fetched(
    router: Serving, simulator: Simulator, model: str
) -> None:
    with web({}) as (address, asked):
        answer = create(router, image(f"{address}/a.png"), model=model)
    assert refused(answer) == (400, "invalid_value", "input[0].content[1]")
    assert (asked, simulator.seen) == ([], [])
    assert create(router, image(PNG_URL), model="sim/both:blind").status == 400


def test_whoever_sees_images_is_asked(router: Serving, simulator: Simulator) -> None:
    answer = create(router, image(PNG_URL), model="sim/both")
    assert answer.headers["x-trunkline-provider"] == "sim"


def test_an_address_that_is_not_allowed_is_not_reached(running_simulator: Simulator) -> None:
    config = _CONFIG.replace("URL", running_simulator.base_url).replace(
        'allow = ["127.0.0.1"]', "allow = []"
    )
    with running(config=config) as closed, web({}) as (address, asked):
        file = {"type": "input_file", "file_url": f"{address}/a.txt"}
        for answer, param in (
            (create(closed, image(f"{address}/a.png")), "input[0].content[1]"),
            (create(closed, file), "input[0].content[1].file_url"),
        ):
            assert refused(answer) == (400, "invalid_value", param)
        assert asked == []


@pytest.mark.parametrize("model", [ECHO, NANO])
def test_every_model_reads_the_text_of_files(
    router: Serving, simulator: Simulator, model: str
) -> None:
    document = pdf_of(drawing("one page"), drawing("another"))
    data = base64.b64encode(document).decode()
    with web({"/notes.md": ("text/markdown", "# Überschrift".encode())}) as (address, _):
        answer = create(
            router,
            {
                "type": "input_file",
                "filename": "a.pdf",
                "file_data": f"data:application/pdf;base64,{data}",
            },
            {"type": "input_file", "file_url": f"{address}/notes.md"},
            model=model,
            max_output_tokens=16,
        )
    assert answer.status == 200, answer.body
    if model == ECHO:
        texts = [part["text"] for part in simulator.seen[-1].body["messages"][0]["content"]]
        assert texts == [
            "see:",
            '<file name="a.pdf">\none page\n\nanother\n</file>',
            '<file name="notes.md">\n# Überschrift\n</file>',
        ]


def test_a_file_that_is_neither_text_nor_pdf_is_named(router: Serving) -> None:
    data = f"data:application/zip;base64,{base64.b64encode(bytes(range(256))).decode()}"
    answer = create(router, {"type": "input_file", "filename": "a.zip", "file_data": data})
    assert refused(answer) == (400, "invalid_value", "input[0].content[1].file_data")


def test_a_pdf_of_images_is_named(router: Serving) -> None:
    out, writer = io.BytesIO(), pypdf.PdfWriter()
    writer.add_blank_page(200, 200)
    writer.write(out)
    data = base64.b64encode(out.getvalue()).decode()
    answer = create(router, {"type": "input_file", "filename": "scan.pdf", "file_data": data})
    assert refused(answer) == (400, "invalid_value", "input[0].content[1].file_data")
    assert "holds no text" in answer.error["message"]
