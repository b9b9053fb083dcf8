"""A stand-in of the hub, over real HTTP on loopback: what a pull asks of it, and how it may fail.

As the real one it describes a repository under ``/api/models/…``, answers ``/…/resolve/…`` with a
redirect to another host that stores the files, and serves ranges there. ``tests/conftest.py``
imports the fixture.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.gguf import split
from trunkline.engine.model import NANO
from trunkline.engine.weights import find

SMALL, LARGE = find("openai/gpt-oss-20b"), find("openai/gpt-oss-120b")
SMALL_FILE = "gpt-oss-20b-MXFP4.gguf"
REVISION = "0123456789abcdef0123456789abcdef01234567"
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it arrived; ``range`` is (first, last) byte, ``status`` what was answered."""

    method: str
    path: str
    host: str
    authorization: str | None
    range: tuple[int, int] | None
    status: int


@dataclass(slots=True)
class StandIn:
    """The hub at ``url``; tests change what it does and read ``asked``.

    ``cuts`` holds, for each next answer with a file's content, after how many bytes the connection
    is cut (None: not). ``failures`` holds statuses that the next requests are answered with.
    ``checksums`` overrules what it tells of a file, ``page`` how it describes a repository.
    ``redirect`` is where it sends who asks for a file ("": to the same address again).
    ``paused_after`` stops sending there until ``go_on`` is set.
    """

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    checksums: dict[str, str] = field(default_factory=dict)
    cuts: list[int | None] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    page: bytes | None = None
    ranges: bool = True
    redirect: str | None = None
    paused_after: int | None = None
    go_on: threading.Event = field(default_factory=threading.Event)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def content(self) -> list[Asked]:
        """The requests for files' content that were answered with some, in order."""
        return [a for a in self.asked if a.path.startswith("/store/") and a.status < 300]


@contextmanager
def stand_in(repositories: Mapping[str, Mapping[str, bytes]]) -> Iterator[StandIn]:
    """Runs a hub with these files by repository and name, on a thread of its own."""
    hub = StandIn({name: dict(files) for name, files in repositories.items()})

    class Handler(_Handler):
        standing_in = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def hub() -> Iterator[StandIn]:
    """The hub with the real names: the 20b in one file, the 120b in three; both are nano inside."""
    parts = {
        f"gpt-oss-120b-mxfp4-{number:05}-of-00003.gguf": content
        for number, content in enumerate(split(NANO, 3), 1)
    }
    files = {SMALL.repository: {SMALL_FILE: NANO.read_bytes()}, LARGE.repository: parts}
    with stand_in(files) as standing_in:
        yield standing_in


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    standing_in: StandIn

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub, path = self.standing_in, unquote(urlsplit(self.path).path)
        if hub.failures:
            self._refuse(hub.failures.pop(0))
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/[^/]+)?", path):
            self._describe(match[1])
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(*match.groups())
        elif match := re.fullmatch(r"/store/([^/]+/[^/]+)/(.+)", path):
            self._send_content(hub.repositories[match[1]][match[2]])
        else:
            self._refuse(404)

    def _describe(self, repository: str) -> None:
        files = self.standing_in.repositories.get(repository)
        if self.standing_in.page is not None:
            self._send_body(self.standing_in.page)
            return
        if files is None:
            # As the real one tells a stranger, so that private repositories cannot be probed.
            self._refuse(401, "RepoNotFound", "Invalid username or password.")
            return
        self._send_body(
            json.dumps(
                {
                    "_id": "6890",
                    "id": repository,
                    "modelId": repository,
                    "sha": REVISION,
                    "gated": "manual" if repository in self.standing_in.gated else False,
                    "siblings": [
                        {"rfilename": ".gitattributes", "blobId": "a6344aac", "size": 1519},
                        *(self._sibling(name, data) for name, data in files.items()),
                    ],
                }
            ).encode()
        )

    def _sibling(self, name: str, data: bytes) -> dict[str, Any]:
        return {
            "rfilename": name,
            "blobId": hashlib.sha1(data).hexdigest(),
            "size": len(data),
            "lfs": {"sha256": self._sha256(name, data), "size": len(data), "pointerSize": 136},
        }

    def _sha256(self, name: str, data: bytes) -> str:
        return self.standing_in.checksums.get(name) or hashlib.sha256(data).hexdigest()

    def _resolve(self, repository: str, revision: str, name: str) -> None:
        hub = self.standing_in
        data = hub.repositories.get(repository, {}).get(name)
        if repository in hub.gated:
            self._refuse(403, "GatedRepo", "Access to this model is restricted.")
        elif data is None or revision not in (REVISION, "main"):
            self._refuse(404, "EntryNotFound", "Entry not found")
        else:
            self.send_response(302)
            self._note(302)
            # Another host, by its name: a token must not follow.
            self.send_header(
                "Location",
                f"http://localhost:{hub.port}/store/{repository}/{name}?signature=s"
                if hub.redirect is None
                else hub.redirect or self.path,
            )
            self.send_header("X-Repo-Commit", REVISION)
            self.send_header("X-Linked-Etag", f'"{self._sha256(name, data)}"')
            self.send_header("X-Linked-Size", str(len(data)))
            self.send_header("X-Xet-Hash", "6fe6de3e0f6984269f0fdc61c16f2a46")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _send_content(self, data: bytes) -> None:
        hub, asked = self.standing_in, self._range()
        if asked is not None and hub.ranges:
            first, last = asked
            self._note(206)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            body = data[first : last + 1]
        else:
            self._note(200)
            self.send_response(200)
            body = data
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.md5(data).hexdigest()}"')
        self.send_header("Accept-Ranges", "bytes" if hub.ranges else "none")
        self.end_headers()
        if self.command == "HEAD":
            return
        if hub.paused_after is not None:
            self.wfile.write(body[: hub.paused_after])
            hub.go_on.wait(20)
            body = body[hub.paused_after :]
        cut = hub.cuts.pop(0) if hub.cuts else None
        try:
            self.wfile.write(body[:cut])
        except ConnectionError:  # the client has been interrupted
            cut = 0
        if cut is not None:
            self.close_connection = True

    def _send_body(self, body: bytes) -> None:
        self._note(200)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: int, code: str = "", message: str = "") -> None:
        self._note(status)
        self.send_response(status, HTTPStatus(status).phrase)
        if code:
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _note(self, status: int) -> None:
        self.standing_in.asked.append(
            Asked(
                method=self.command,
                path=urlsplit(self.path).path,
                host=self.headers["Host"],
                authorization=self.headers["Authorization"],
                range=self._range(),
                status=status,
            )
        )

    def _range(self) -> tuple[int, int] | None:
        found = _RANGE.fullmatch(self.headers.get("Range") or "")
        return (int(found[1]), int(found[2])) if found else None

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: ``asked`` tells more."""
