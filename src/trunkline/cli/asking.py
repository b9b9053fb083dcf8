"""Several providers asked at once for their lists of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trunkline.config import ProviderSettings
    from trunkline.errors import UpstreamError
    from trunkline.providers.prices import Entry
    from trunkline.transport import Client

_PATIENCE_S = 15.0


async def lists(
    providers: Mapping[str, ProviderSettings],
) -> dict[str, tuple[Entry, ...] | UpstreamError]:
    """Returns what each provider lists, or why it lists nothing; no failure hinders the others."""
    import asyncio

    from trunkline.transport import Client

    async with Client() as client, asyncio.TaskGroup() as group:
        asked = {
            name: group.create_task(_listed(client, provider))
            for name, provider in providers.items()
        }
    return {name: task.result() for name, task in asked.items()}


async def _listed(client: Client, provider: ProviderSettings) -> tuple[Entry, ...] | UpstreamError:
    from trunkline.errors import UpstreamError
    from trunkline.providers.listing import listed
    from trunkline.transport import Timeouts

    try:
        return await listed(
            client,
            provider.base_url,
            key=provider.key.reveal() if provider.key else None,
            headers=provider.headers,
            timeouts=Timeouts(
                connect_s=_PATIENCE_S,
                first_chunk_s=_PATIENCE_S,
                idle_s=_PATIENCE_S,
                total_s=2 * _PATIENCE_S,
            ),
        )
    except UpstreamError as error:
        return error
