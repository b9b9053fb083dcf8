"""The router's API from outside: its small questions, each asked and answered at once.

Any server that speaks OpenAI's Chat Completions answers; what only ours tells is then missing. The
one request that streams does not belong here: see ``answering``.
"""

from __future__ import annotations

import http.client
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from trunkline.errors import ConfigError, ServerRefused, TrunklineError
from trunkline.terminal.printable import one_line

HEALTH_S = 2.0
"""How long a server may take to say that it is one."""
SMALL_S = 10.0
"""How long any other small question may take."""

MAX_BYTES = 16 * 1024 * 1024
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class API:
    """A server at ``url`` (without ``/v1``), which gets ``key`` if one is given.

    Raises ConfigError if a header cannot hold the key. ``ended`` says why a server of the command's own is no longer there, None if it is.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        ended: Callable[[], str | None] = lambda: None,
    ) -> None:
        if key and not (key.isascii() and key.isprintable()):
            raise ConfigError(
                f"the key for {url} holds characters that are in no key; "
                "give it with --key or TRUNKLINE_KEY, as it was made"
            )
        self.url = url
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._ended = ended

    def healthy(self, *, timeout_s: float = HEALTH_S) -> bool:
        """Whether a Trunkline answers there. The key is not sent."""
        try:
            status, body = self._get("/health", {}, timeout_s)
            return status == 200 and "engine" in _object(body)
        except TrunklineError:
            return False

    def models(self, *, timeout_s: float = SMALL_S) -> list[str]:
        """Returns the names of the models.

        Raises TrunklineError; if the server refuses, that is a ServerRefused.
        """
        status, body = self._get("/v1/models", self.headers, timeout_s)
        if status != 200:
            raise refusal(status, body)
        try:
            return [str(model["id"]) for model in _object(body)["data"]]
        except (KeyError, TypeError):
            raise TrunklineError(f"{self.url} does not list its models as OpenAI does") from None

    def check_model(self, name: str) -> None:
        """Asks whether a model can be asked that is not listed, as one with a policy.

        Raises TrunklineError with the server's reason if not.
        """
        status, body = self._get(
            f"/v1/models/{quote(name, errors='replace')}", self.headers, SMALL_S
        )
        if status != 200:
            raise refusal(status, body)

    def failure(self, what: str) -> TrunklineError:
        """Returns the error for a server that did ``what``, as in "could not be reached"."""
        why = self._ended()
        if why is not None:
            return TrunklineError(f"the router that was started for this command has ended: {why}")
        return TrunklineError(f"{self.url} {what}")

    def _get(self, path: str, headers: Mapping[str, str], timeout_s: float) -> tuple[int, bytes]:
        where = urlsplit(self.url)
        secure = where.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        try:
            with closing(kind(where.netloc, timeout=timeout_s)) as connection:
                connection.request("GET", where.path + path, headers=dict(headers))
                response = connection.getresponse()
                return response.status, response.read(MAX_BYTES)
        except TimeoutError as error:
            raise self.failure(f"did not answer within {timeout_s:g} s") from error
        except (OSError, http.client.HTTPException, UnicodeError) as error:  # of a host's name
            raise self.failure(f"could not be reached{_reason(error)}") from error


def refusal(status: int, body: bytes) -> ServerRefused:
    """Returns what an answer other than 200 says, in the server's words if it has any."""
    try:
        return refused(_object(body)["error"], status=status)
    except (TrunklineError, KeyError):
        return ServerRefused(f"the server answered with status {status}", status=status)


def refused(error: Any, *, status: int | None) -> ServerRefused:
    """Returns what ``error`` says: an object with a message or, at some servers, a text."""
    message = error.get("message") if isinstance(error, dict) else error
    code = error.get("code") if isinstance(error, dict) else None
    return ServerRefused(
        one_line(message) if isinstance(message, str) else "the server gives no reason",
        status=status,
        code=code if isinstance(code, str) else None,
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except NOT_JSON as error:
        raise TrunklineError("the server answered with something that is no JSON object") from error


def _reason(error: Exception) -> str:
    return f" ({os.strerror(error.errno)})" if isinstance(error, OSError) and error.errno else ""
