"""Readers of single values: each takes what TOML gave and returns the setting.

Each raises ValueError with what is expected, as in "expected a URL such as …".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

POLICIES = frozenset({"fastest", "cheapest", "preferred", "local"})
_RESERVED = POLICIES | {"trunkline"}
_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_HOST = re.compile(r"(?!.{254})[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_-]{1,63})*\.?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS = frozenset({"host", "content-length", "content-type", "connection", "transfer-encoding"})
_NANO = 1_000_000_000


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a string, got {shown(value)}")
    return value


def nonempty_text(value: Any) -> str:
    if not text(value).strip():
        raise ValueError("expected a string that is not empty")
    return str(value)


def name_or_empty(value: Any) -> str:
    if re.search(r"\s", text(value)):
        raise ValueError(f"expected a name without spaces, got {shown(value)}")
    return str(value)


def texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected a list of strings, got {shown(value)}")
    return tuple(text(item) for item in value)


def http_url(value: Any) -> str:
    """Reads an http or https address without credentials or fragment."""
    try:
        url = urlsplit(text(value))
        valid = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        valid = False
    if not valid or re.search(r"[\s\x00-\x1f]", value):
        raise ValueError("expected a URL such as 'https://api.example.com/v1'")
    if url.username is not None or url.fragment:
        raise ValueError("expected a URL without credentials and without '#'")
    return str(value)


def base_url(value: Any) -> str:
    """Reads an address to which paths are appended; a trailing slash is dropped."""
    url = http_url(value)
    if "?" in url:
        raise ValueError("expected a URL without '?': paths are appended to it")
    return url.rstrip("/")


def host_names(value: Any) -> tuple[str, ...]:
    for name in texts(value):
        if not _is_host(name):
            raise ValueError(f"expected host names without scheme and port, got {shown(name)}")
    return tuple(name.lower() for name in value)


def networks_or_hosts(value: Any) -> tuple[str, ...]:
    for item in texts(value):
        if "/" in item:
            _network(item)
        elif not _is_host(item):
            raise ValueError(
                f"expected networks such as '10.0.0.0/8' or host names, got {shown(item)}"
            )
    return tuple(item.lower() for item in value)


def provider_names(value: Any) -> tuple[str, ...]:
    for name in texts(value):
        check_provider_name(name)
    return tuple(value)


def check_provider_name(name: str) -> None:
    if name in _RESERVED:
        raise ValueError(f"{name!r} is reserved: a model name may end in ':{name}'; choose another")
    if not _SLUG.fullmatch(name):
        raise ValueError(
            f"expected a name of lower-case letters, digits and '-', got {shown(name)}"
        )


def check_server_label(name: str) -> None:
    if not _LABEL.fullmatch(name):
        raise ValueError(f"expected a name of letters, digits, '-' and '_', got {shown(name)}")


def check_model_name(name: str) -> None:
    if not name or re.search(r"\s", name):
        raise ValueError(f"expected a model name without spaces, got {shown(name)}")


def headers(value: Any) -> dict[str, str]:
    """Reads extra request headers; those that frame the request are ours."""
    if not isinstance(value, dict):
        raise ValueError(f"expected a table of strings, got {shown(value)}")
    for name, content in value.items():
        if not _HEADER.fullmatch(name):
            raise ValueError(f"{shown(name)} is not a header name")
        if name.lower() in _OURS:
            raise ValueError(f"the header {name!r} is set by the router; remove it")
        if not isinstance(content, str) or not content.isascii() or not content.isprintable():
            raise ValueError(f"expected printable ASCII as the value of the header {name!r}")
    return dict(value)


def nano_dollars(value: Any) -> int:
    """Reads a price in USD exactly, as an integer of 10⁻⁹ USD."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError(f"expected a price in USD, got {shown(value)}")
    amount = Decimal(value)
    if not amount.is_finite() or not 0 <= amount <= 1_000_000:
        raise ValueError(f"expected a price in USD, 0 to 1000000, got {shown(value)}")
    nano = amount * _NANO
    if nano != nano.to_integral_value():
        raise ValueError(f"expected a price of at most 9 decimals, got {shown(value)}")
    return int(nano)


def some_of(*choices: str) -> Callable[[Any], tuple[str, ...]]:
    """Returns the reader of a list of these words."""

    def read(value: Any) -> tuple[str, ...]:
        for item in texts(value):
            if item not in choices:
                raise ValueError(f"expected a {list_of(*choices)}, got {shown(item)}")
        return tuple(value)

    return read


def list_of(*choices: str) -> str:
    """Names the type of a list of these words."""
    return f"list of {', '.join(choices)}"


def truth_or_day(value: Any) -> bool | date:
    if isinstance(value, bool) or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    raise ValueError(f"expected true, false or a date such as 2026-12-31, got {shown(value)}")


def shown(value: Any) -> str:
    """Renders a value for a message, as TOML would write it and not too long."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | Decimal):
        return str(value)
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a table"
    rendered = repr(str(value))
    return rendered if len(rendered) <= 60 else f"{rendered[:57]}…'"


def _network(item: str) -> None:
    try:
        ipaddress.ip_network(item)
    except ValueError:
        try:
            fixed = ipaddress.ip_network(item, strict=False)
        except ValueError:
            raise ValueError(
                f"expected a network such as '10.0.0.0/8', got {shown(item)}"
            ) from None
        raise ValueError(
            f"{shown(item)} has bits set behind its prefix; did you mean '{fixed}'?"
        ) from None


def _is_host(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return bool(_HOST.fullmatch(name))
    return True
