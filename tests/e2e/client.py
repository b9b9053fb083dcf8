"""How these tests talk to a server: plain HTTP/1.1 and plain commands, nothing that smooths over."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.serving import NANO, Serving

ANSWER_S = 30.0
"""How long any one answer may take on a busy machine."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error envelope's content; the answer must be nothing else."""
        assert self.status >= 400, self.body
        assert self.headers["content-type"] == "application/json"
        assert list(self.json) == ["error"]
        error: dict[str, Any] = self.json["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        return error


class Stream:
    """A streamed answer, read event by event."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers = _headers(response)

    def read(self) -> bytes:
        """Returns the rest of the body as it is."""
        return self._response.read()

    def next_event(self) -> str | None:
        """Returns the lines of the next event without the blank one; None at a clean end."""
        lines: list[str] = []
        while line := self._response.readline():
            if line == b"\n":
                return "".join(lines).rstrip("\n")
            lines.append(line.decode())
        assert not lines, f"the stream ended inside an event: {lines}"
        return None

    def events(self) -> list[str]:
        """Reads to the end; raises http.client.IncompleteRead if that is not a clean one."""
        return list(iter(self.next_event, None))

    def chunks(self) -> list[dict[str, Any]]:
        """Reads to the end, which must be ``[DONE]``; returns the chunks before it."""
        *events, last = self.events()
        assert last == "data: [DONE]"
        return [chunk(event) for event in events]


def chunk(event: str) -> dict[str, Any]:
    """Decodes the data of an event."""
    name, _, data = event.partition("data: ")
    assert not name, event
    decoded: dict[str, Any] = json.loads(data)
    return decoded


def ask(
    serving: Serving,
    method: str,
    path: str,
    body: Any = None,
    *,
    key: str | None = "",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Sends one request, with the first key unless another or None is given.

    ``body`` goes as it is if it is bytes, else as JSON.
    """
    with closing(_connection(serving)) as connection:
        response = _request(connection, serving, method, path, body, key, headers)
        return Answer(response.status, _headers(response), response.read())


def chat(
    serving: Serving,
    body: Any,
    *,
    key: str | None = "",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Asks for a chat completion."""
    return ask(serving, "POST", "/v1/chat/completions", body, key=key, headers=headers)


@contextmanager
def streaming(
    serving: Serving,
    body: dict[str, Any],
    *,
    path: str = "/v1/chat/completions",
    headers: Mapping[str, str] | None = None,
) -> Iterator[Stream]:
    """Asks for a streamed chat completion; leaving hangs up."""
    with closing(_connection(serving)) as connection:
        response = _request(
            connection, serving, "POST", path, {**body, "stream": True}, "", headers
        )
        with response:
            yield Stream(response)


def question(text: str = "What is the capital of France?", /, **more: Any) -> dict[str, Any]:
    """Returns the body of a request to the embedded engine, or to another ``model``."""
    return {"model": NANO, "messages": [{"role": "user", "content": text}], **more}


def long_question() -> dict[str, Any]:
    """Returns a request that keeps a slot of the embedded engine busy for a second or more."""
    return question(guided_regex="(a|b){4000}", max_tokens=4000, reasoning_effort="none")


def receipt(serving: Serving, request_id: str, *, timeout_s: float = 1.0) -> dict[str, Any]:
    """Returns the receipt of a request, which must be there in time."""
    path = f"/v1/requests/{request_id}"
    until(lambda: ask(serving, "GET", path).status == 200, "the receipt", timeout_s=timeout_s)
    found: dict[str, Any] = ask(serving, "GET", path).json
    return found


def run(
    *arguments: str,
    home: Path,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    stdout: IO[bytes] | int = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    """Runs a ``trunkline`` command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "trunkline", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TRUNKLINE_HOME": str(home),
            **(environment or {}),
        },
        cwd=folder or home.parent,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )


def descendants(pid: int) -> list[int]:
    """Returns the processes that a process has started, and those that they have."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*"):  # none of a process that has just ended
        try:
            children = [int(child) for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead but not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(condition: Callable[[], Any], what: str, *, timeout_s: float = 10.0) -> Any:
    """Waits until the condition holds and returns what it returned."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.01)
    return found


def events_of(serving: Serving, name: str) -> list[dict[str, Any]]:
    """Returns what the server has logged under one event's name."""
    lines = serving.stderr().splitlines(keepends=True)
    logged = [json.loads(line) for line in lines if line.endswith("\n")]
    return [entry for entry in logged if entry["event"] == name]


def _connection(serving: Serving) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(serving.url.removeprefix("http://"), timeout=ANSWER_S)


def _request(
    connection: http.client.HTTPConnection,
    serving: Serving,
    method: str,
    path: str,
    body: Any,
    key: str | None,
    headers: Mapping[str, str] | None,
) -> http.client.HTTPResponse:
    sent = dict(headers or {})
    if key is not None:
        sent.setdefault("Authorization", f"Bearer {key or serving.key}")
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, body=data, headers=sent)
    return connection.getresponse()


def _headers(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}
