"""Bare sockets, for what a well-behaved client would not do."""

from __future__ import annotations

import json
import socket
from typing import Any

from tests.serving import Serving

_WAIT_S = 30.0


def connected(serving: Serving) -> socket.socket:
    """Opens a connection that nothing else uses."""
    return socket.create_connection(("127.0.0.1", serving.port), timeout=_WAIT_S)


def request(serving: Serving, body: Any, *headers: str) -> bytes:
    """Returns the bytes of a chat request with the first key."""
    data = json.dumps(body).encode()
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {serving.key}",
        f"Content-Length: {len(data)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def received(connection: socket.socket, until: bytes) -> bytes:
    """Reads until the bytes have come; fails if the connection ends before."""
    found = b""
    while until not in found:
        read = connection.recv(65_536)
        assert read, f"the connection ended after {found[-500:]!r}"
        found += read
    return found


def ended(connection: socket.socket) -> bytes:
    """Reads to the connection's end."""
    found = b""
    while read := connection.recv(65_536):
        found += read
    return found
