"""The one way out to addresses that a caller chose: images, files, MCP servers.

Everything that such an address or the server behind it could be used for is refused here: where it
leads (`target`, `addresses`, `dial`), what is sent along (`headers`), how much comes back and how long
that takes. Providers' addresses are the operator's, and `Client`'s.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from trunkline.errors import EgressError
from trunkline.transport import pool
from trunkline.transport.addresses import Allowed
from trunkline.transport.dial import Deadlines, Dialer, Lookups, Resolve
from trunkline.transport.exchange import Bounds, Channel
from trunkline.transport.headers import checked
from trunkline.transport.pool import Pool
from trunkline.transport.target import Target

if TYPE_CHECKING:
    import httpx2  # noqa: TID251  # what the MCP SDK speaks; imported once it is used

_BOUNDS = Bounds()
_DEADLINES = Deadlines()
_MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}")
# What stores say of files whose type nobody told them.
_ANYTHING = frozenset({"", "application/octet-stream", "binary/octet-stream"})


class Fetched(NamedTuple):
    """What a URL holds. ``content_type`` is the server's claim, without parameters; "" if it is odd."""

    body: bytes
    content_type: str


class Guard:
    """One per process. To be closed by whoever made it; what it lent breaks off then.

    ``allow`` is the setting ``[egress] allow``. ``resolve`` and ``tls`` take the place of the system's
    resolver and trust.
    """

    def __init__(
        self,
        *,
        allow: Sequence[str] = (),
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = Allowed(allow)
        self._resolve = resolve or Lookups()
        self._tls = (lambda: tls) if tls is not None else pool.tls
        self._channels: set[Channel] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes every connection."""
        for channel in list(self._channels):
            channel.close()
        await asyncio.sleep(0)  # the loop closes the sockets

    async def fetch(
        self,
        url: str,
        *,
        max_bytes: int,
        accept: Sequence[str],
        deadlines: Deadlines = _DEADLINES,
    ) -> Fetched:
        """Returns what a URL holds: ``max_bytes`` at most, of the kind that the media types ``accept`` are of.

        A server that says ``image/jpg`` is taken to mean an image, and one that does not know the type
        of what it has, anything: look at the bytes. Raises EgressError.
        """
        target = Target.parse(url)
        try:
            async with asyncio.timeout(deadlines.total_s):
                for _ in range(_MAX_REDIRECTS + 1):
                    found = await self._fetched(target, max_bytes, accept, deadlines)
                    if isinstance(found, Fetched):
                        return found
                    target = found
        except TimeoutError as error:
            raise EgressError(
                f"the server took longer than {deadlines.total_s:g} s", reason="timeout"
            ) from error
        raise EgressError(
            f"the server redirects more than {_MAX_REDIRECTS} times", reason="redirect"
        )

    async def client(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        bounds: Bounds = _BOUNDS,
        deadlines: Deadlines = _DEADLINES,
    ) -> httpx2.AsyncClient:
        """Returns a client for one server, to be closed by the caller; raises EgressError.

        It goes to the origin of ``url`` and nowhere else, so that ``headers``, which are the caller's
        and sent with each request, cannot get to anybody else. Its connections are its own: what one
        account is answered cannot end up at another. It keeps no cookies and follows no redirect. Its
        requests raise ``httpx2.TransportError`` whose ``__cause__`` is an EgressError.
        """
        target, fields = Target.parse(url), checked(headers or {})
        # Off the loop: the first import takes a tenth of a second.
        lend = await asyncio.to_thread(_lend)
        return lend(self._channel(target, bounds, deadlines), fields)

    async def _fetched(
        self, target: Target, max_bytes: int, accept: Sequence[str], deadlines: Deadlines
    ) -> Fetched | Target:
        """Returns what a target holds, or where it redirects. Each time the name is judged anew."""
        channel = self._channel(target, Bounds(body_bytes=max_bytes), deadlines)
        try:
            answer = await channel.ask("GET", target, [("Accept", ", ".join(accept))])
            location = answer.headers.get("location")
            if answer.status in _REDIRECTS and location is not None:
                return target.redirected(location)
            if answer.status != 200:
                raise EgressError(
                    f"the server answers with status {answer.status}",
                    reason="status",
                    status=answer.status,
                )
            kind = _media_type(answer.headers.get("content-type", ""))
            if not _acceptable(kind, accept):
                raise EgressError(
                    f"the server has something else there than {', '.join(accept)}", reason="type"
                )
            return Fetched(b"".join([read async for read in answer.reads()]), kind)
        finally:
            channel.close()

    def _channel(self, target: Target, bounds: Bounds, deadlines: Deadlines) -> Channel:
        dialer = Dialer(
            allowed=self._allowed, resolve=self._resolve, tls=self._tls, deadlines=deadlines
        )
        channel = Channel(
            Pool(dialer),
            target.origin,
            bounds=bounds,
            deadlines=deadlines,
            on_close=self._channels.discard,
        )
        self._channels.add(channel)
        return channel


def _media_type(field: str) -> str:
    """Returns the type without its parameters, "" for what is none: it may end up in a message."""
    kind = field.partition(";")[0].strip().lower()
    return kind if _TYPE.fullmatch(kind) else ""


def _acceptable(kind: str, accept: Sequence[str]) -> bool:
    """Compares the types before the slash: what servers write behind it is often another word."""
    return kind in _ANYTHING or kind.partition("/")[0] in {
        each.partition("/")[0] for each in accept
    }


def _lend() -> Callable[[Channel, Mapping[str, str]], httpx2.AsyncClient]:
    from trunkline.transport.httpx import lend

    return lend
