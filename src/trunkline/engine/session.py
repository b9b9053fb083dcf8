"""HTTP to the child process: one connection per request, no proxies, no cookies."""

from __future__ import annotations

import aiohttp
import msgspec

from trunkline.engine.endpoint import Endpoint

_CONNECT_TIMEOUT_S = 5.0


def open_session(*, read_timeout_s: float) -> aiohttp.ClientSession:
    """Opens a session that gives up when nothing arrives for ``read_timeout_s``.

    llama.cpp's server often drops the request that follows a streamed reply on a kept connection,
    so none is kept.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=_CONNECT_TIMEOUT_S, sock_read=read_timeout_s
        ),
        json_serialize=_text,
        trust_env=False,
    )


def authorization(endpoint: Endpoint) -> dict[str, str]:
    """Returns the headers that the child asks for."""
    return {"Authorization": f"Bearer {endpoint.secret}"}


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
