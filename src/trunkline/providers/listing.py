"""``GET {base_url}/models``: what a provider says that it offers."""

from __future__ import annotations

from collections.abc import Mapping

from trunkline.config import refreshed
from trunkline.errors import UpstreamError
from trunkline.providers.prices import Entry, entries
from trunkline.transport import Client, Timeouts

_MAX_BYTES = 32 << 20


async def listed(
    client: Client,
    base_url: str,
    *,
    key: str | None,
    headers: Mapping[str, str],
    timeouts: Timeouts,
) -> tuple[Entry, ...]:
    """Returns a provider's models, each with what the list says of its price and context.

    Raises UpstreamError that says in our words, as an end of the sentence "provider 'x' …", why there
    are none: it cannot be reached, does not take the key, or has no such list.
    """
    authorization = {"Authorization": f"Bearer {key}"} if key else {}
    async with client.send(
        refreshed.source_of(base_url),
        method="GET",
        headers={"Accept": "application/json", **authorization, **headers},
        timeouts=timeouts,
    ) as incoming:
        if not 200 <= incoming.status < 300:
            raise UpstreamError(_in_words(incoming.status), retryable=True, status=incoming.status)
        body = await incoming.read(_MAX_BYTES)
    try:
        return entries(body)
    except ValueError as error:
        raise UpstreamError(str(error), retryable=True) from error


def _in_words(status: int) -> str:
    match status:
        case 401 | 403:
            return f"does not accept the key (status {status})"
        case 402:
            return f"wants payment (status {status})"
        case 404 | 405 | 410 | 501:
            return (
                f"can be reached but lists no models at its address (status {status}): "
                "either base_url is wrong, or it has no such list, and whether it accepts the key is not known"
            )
        case 429:
            return f"is rate limited (status {status}): whether it accepts the key is not known"
        case _ if 300 <= status < 400:
            return f"answered with a redirect, which is not followed (status {status})"
        case _:
            return f"can be reached but failed with status {status}"
