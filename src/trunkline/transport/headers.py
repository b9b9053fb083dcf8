"""Header fields that a caller wants sent along, and which of them may be."""

from __future__ import annotations

import re
from collections.abc import Mapping

from trunkline.errors import EgressError

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""What names of fields are made of (RFC 9110, 5.6.2)."""

_MAX_FIELDS = 32
_MAX_VALUE_BYTES = 8 << 10
_MAX_BYTES = 32 << 10
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
# They frame the message, belong to the connection or to the protocol above, or say on whose behalf.
_OURS = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "last-event-id",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-real-ip",
    }
)
_OUR_PREFIXES = ("accept", "content-", "mcp-", "proxy-", "sec-", "x-forwarded-")


def checked(headers: Mapping[str, str]) -> dict[str, str]:
    """Returns a caller's header fields if all of them may be sent; raises EgressError.

    The names that it may quote are the caller's own; values, which may be secrets, are not quoted.
    """
    if len(headers) > _MAX_FIELDS:
        raise _refused(f"more than {_MAX_FIELDS} headers")
    seen: set[str] = set()
    for name, value in headers.items():
        lower = name.lower()
        if not TOKEN.fullmatch(name):
            raise _refused("one of the headers has a name that is none")
        if lower in _OURS or lower.startswith(_OUR_PREFIXES):
            raise _refused(f"the header '{lower[:64]}' is set by the router; remove it")
        if lower in seen:
            raise _refused(f"the header '{lower[:64]}' is given twice")
        if not _VALUE.fullmatch(value):
            raise _refused(
                f"the header '{lower[:64]}' must be printable ASCII, without spaces around"
            )
        if len(value) > _MAX_VALUE_BYTES:
            raise _refused(f"the header '{lower[:64]}' is longer than {_MAX_VALUE_BYTES} bytes")
        seen.add(lower)
    if sum(len(name) + len(value) for name, value in headers.items()) > _MAX_BYTES:
        raise _refused(f"the headers are longer than {_MAX_BYTES} bytes together")
    return dict(headers)


def _refused(message: str) -> EgressError:
    return EgressError(message, reason="header")
