"""What the simulator does with one request: a script, queued or chosen by the model's name."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

GARBAGE = '{"id":"chatcmpl-1","object":"chat.comp'
HTML = "<!doctype html><title>502</title><h1>Bad gateway</h1>"


class Call(msgspec.Struct, frozen=True):
    """A tool call; ``arguments`` is sent as it is."""

    name: str
    arguments: str


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one request is answered. The defaults answer it well."""

    # What a good answer says.
    text: str | None = None
    """The content; by default ``echo: `` and the last user message."""
    reasoning: str = "Let me think."
    reasoning_field: str = "reasoning"
    tool_arguments: str | None = None
    calls: tuple[Call, ...] | None = None
    """What it calls; by default that follows from the tools. An empty tuple calls nothing."""
    dimensions: int = 8
    """Of its vectors, where the request asks for none."""
    takes_dimensions: bool = True
    takes_encoding: bool = True
    """Whether it heeds those parameters of embeddings."""

    # The answer as a whole.
    status: int = 200
    headers: dict[str, str] = {}
    content_type: str | None = None
    body: str | None = None
    """Sent as it is instead of an answer; without it an error status comes in the dialect's shape."""
    body_bytes: int = 0
    """Sends this many bytes of padding instead of an answer, without a length."""

    raw: str | None = None
    """Sent as it is instead of an HTTP answer; then the connection closes."""
    cut_after_bytes: int | None = None
    """Sends this much of the body, then closes the connection without an end."""

    # Time.
    delay_s: float = 0.0
    """Before the status."""
    chunk_delay_s: float = 0.0
    drip_bytes: int | None = None
    """Writes pieces of this many bytes, each by itself."""
    silent: bool = False
    """Accepts the request and never answers."""
    stall_after: int | None = None
    """Sends this many chunks, then nothing more, and keeps the connection."""

    # A stream's troubles.
    comments: bool = False
    """An SSE comment before each chunk."""
    line_end: str = "\n"
    role_chunk: bool = True
    usage: bool = True
    done: bool = True
    endless: bool = False
    """Sends its content again and again, for ever."""
    cut_after: int | None = None
    """Sends this many chunks, then closes the connection without an end."""
    end_after: int | None = None
    """Sends this many chunks, then ends the body properly but without finish reason and [DONE]."""
    error_after: int | None = None
    """Sends this many chunks, then an error object where a chunk was due."""


def named(model: str) -> Script:
    """Returns the script that a model's name stands for; a good answer for any other name."""
    for pattern, script in NAMED.items():
        if match := re.fullmatch(f"sim/{pattern}", model):
            return script(match)
    return Script()


NAMED: dict[str, Callable[[re.Match[str]], Script]] = {
    r"error-(\d+)": lambda m: error(int(m[1])),
    r"slow-(\d+)ms": lambda m: Script(delay_s=int(m[1]) / 1000),
    r"paced-(\d+)ms": lambda m: Script(chunk_delay_s=int(m[1]) / 1000),
    r"silent": lambda _: Script(silent=True),
    r"stall-(\d+)": lambda m: Script(stall_after=int(m[1])),
    r"cut-(\d+)": lambda m: Script(cut_after=int(m[1])),
    r"end-(\d+)": lambda m: Script(end_after=int(m[1])),
    r"late-error-(\d+)": lambda m: Script(error_after=int(m[1])),
    r"empty": lambda _: Script(body=""),
    r"garbage": lambda _: Script(body=GARBAGE),
    r"html": lambda _: Script(body=HTML, content_type="text/html"),
    r"json": lambda _: Script(body="{}", content_type="application/json"),
    r"huge-(\d+)": lambda m: Script(body_bytes=int(m[1])),
    r"redirect": lambda _: Script(status=307, headers={"Location": "/elsewhere"}, body=""),
}


def error(status: int, *, message: str = "", code: str | None = None, **headers: str) -> Script:
    """Returns the script of an error in OpenAI's envelope."""
    fault = {
        "message": message or f"simulated {status}",
        "type": "sim",
        "param": None,
        "code": code,
    }
    return Script(
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        body=msgspec.json.encode({"error": fault}).decode(),
    )
