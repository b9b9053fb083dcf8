"""``GET {base_url}/models`` of a provider, passed on as it answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import msgspec
from msgspec import Raw

from trunkline.errors import UpstreamError
from trunkline.transport import Client, Timeouts

_MAX_BYTES = 32 * 1024 * 1024
_MAX_ERROR_BYTES = 64 * 1024
_check_syntax = msgspec.json.Decoder(dict[str, Raw] | list[Raw]).decode


class OwnModels:
    """What a provider says that it offers, under its own ids.

    ``read_error`` is the dialect's way to read an answer that is an error; ``secrets`` are cut out.
    """

    def __init__(
        self,
        *,
        base_url: str,
        client: Client,
        timeouts: Timeouts,
        read_error: Callable[[int, Mapping[str, str], bytes], UpstreamError],
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        secrets: Collection[str] = (),
    ) -> None:
        self._url = f"{base_url}/models"
        self._client = client
        self._timeouts = timeouts
        self._read_error = read_error
        self._secrets = [secret.encode() for secret in sorted(secrets, key=len, reverse=True)]
        authorization = {"Authorization": f"Bearer {key}"} if key else {}
        self._headers = {"Accept": "application/json", **authorization, **(headers or {})}

    async def document(self) -> bytes:
        """Returns the list as JSON, without secrets; raises UpstreamError if there is none."""
        async with self._client.send(
            self._url, method="GET", headers=self._headers, timeouts=self._timeouts
        ) as incoming:
            if not 200 <= incoming.status < 300:
                body = await incoming.head(_MAX_ERROR_BYTES)
                raise self._read_error(incoming.status, incoming.headers, body)
            body = await incoming.read(_MAX_BYTES)
        try:
            for secret in self._secrets:
                body = body.replace(secret, b"...")
            _check_syntax(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamError(
                "answered with something that is not a list of models", retryable=True
            ) from error
        return body
