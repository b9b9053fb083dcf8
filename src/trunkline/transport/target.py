"""A URL that a caller chose, in the one spelling that is dialled.

Parsers disagree about odd URLs, and what one of them checks another one may dial differently. So there
is one parser here, stricter than the others: what it does not understand is refused, and what it returns
is what the request is written from.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Self
from urllib.parse import quote, urljoin

import idna

from trunkline.errors import EgressError
from trunkline.transport.client import Address
from trunkline.transport.pool import Origin

MAX_URL_CHARS = 8192
"""As long as most servers take a request line; signed addresses of object stores are over 2,000."""

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<target>[^#]*)(?:#.*)?"
)
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]@]+)(?::(?P<port>[0-9]*))?")
_NO_CHARACTER = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029]")
_LABELS = re.compile(
    r"(?!.{254})[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_SAFE_IN_TARGET = "!$%&'()*+,-./:;=?@[]_~"

_LEAST_FREE_PORT = 1024
# Of the ports from 1024 up, those of other protocols, which could be made to take a request for
# something else: what browsers refuse, too (https://fetch.spec.whatwg.org/#bad-port).
_OTHER_PROTOCOLS = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6679, 6697, 10080}
    | set(range(6665, 6670))
)


class Target:
    """Where a URL leads.

    Attributes:
        origin: whether over TLS, the host in lower case and ASCII without a dot behind it, the port.
        path: what is asked for there, the query with it.
    """

    __slots__ = ("origin", "path")

    def __init__(self, origin: Origin, path: str) -> None:
        self.origin = origin
        self.path = path

    @classmethod
    def parse(cls, url: str) -> Self:
        """Takes a URL apart; raises EgressError, whose message does not quote it."""
        if len(url) > MAX_URL_CHARS:
            raise _refused(f"the URL is longer than {MAX_URL_CHARS} characters")
        if _NO_CHARACTER.search(url):
            raise _refused("the URL has a space, a backslash or a control character in it")
        found = _URL.fullmatch(url)
        scheme = found["scheme"].lower() if found else None
        if found is None or scheme not in ("https", "http"):
            raise _refused("the URL must begin with 'https://'")
        if "@" in found["authority"]:
            raise _refused("the URL has a user or a password in it; send credentials in headers")
        parts = _AUTHORITY.fullmatch(found["authority"])
        if parts is None:
            raise _refused("the URL has no valid host")
        tls = scheme == "https"
        return cls(
            Origin(tls, _host(parts["host"]), _port(parts["port"], tls)), _path(found["target"])
        )

    def redirected(self, location: str) -> Self:
        """Returns where a redirect leads; raises EgressError unless that is on the same origin."""
        try:
            target = type(self).parse(urljoin(str(self), location))
        except (EgressError, ValueError):
            target = None
        if target is None or target.origin != self.origin:
            raise EgressError(
                "the server redirects elsewhere; give the URL that it leads to", reason="redirect"
            )
        return target

    @property
    def address(self) -> Address:
        """The URL as the client below takes it."""
        origin = self.origin
        return Address(origin, _netloc(origin), self.path, authorization=None)

    def __str__(self) -> str:
        return f"{'https' if self.origin.tls else 'http'}://{_netloc(self.origin)}{self.path}"


def _host(text: str) -> str:
    if text.startswith("["):
        return _ipv6(text[1:-1])
    host = (text if text.isascii() else _ascii(text)).lower().removesuffix(".")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        return _ipv4(host)
    if not _LABELS.fullmatch(host):
        raise _refused("the URL has no valid host")
    return host


def _ascii(name: str) -> str:
    """Spells an international name as DNS does."""
    try:
        host = idna.encode(name, uts46=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise _refused("the URL has no valid host") from error
    if _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]):
        raise _refused("the URL has an address in other digits than 0 to 9")
    return host


def _ipv6(text: str) -> str:
    try:
        address = IPv6Address(text)
    except AddressValueError as error:
        raise _refused("the URL has no valid IPv6 address in its brackets") from error
    if address.scope_id is not None:
        raise _refused("the URL has an IPv6 address with a zone")
    return str(address)


def _ipv4(text: str) -> str:
    """Takes four decimal numbers and no other spelling, of which resolvers know many."""
    try:
        return str(IPv4Address(text))
    except AddressValueError as error:
        raise _refused("the URL has an IPv4 address that is not of four decimal numbers") from error


def _port(text: str | None, tls: bool) -> int:
    standard = 443 if tls else 80
    if not text:
        return standard
    port = int(text) if len(text) <= 5 else 0
    if port in (80, 443) or (_LEAST_FREE_PORT <= port <= 65535 and port not in _OTHER_PROTOCOLS):
        return port
    raise _refused("the URL has a port that is not 80, 443, or one from 1024 up that the web uses")


def _path(target: str) -> str:
    try:
        path = quote(target, safe=_SAFE_IN_TARGET)
    except UnicodeEncodeError as error:
        raise _refused("the URL has half a character in it") from error
    return path if path.startswith("/") else f"/{path}"


def _netloc(origin: Origin) -> str:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return host if origin.port == (443 if origin.tls else 80) else f"{host}:{origin.port}"


def _refused(message: str) -> EgressError:
    return EgressError(message, reason="url")
