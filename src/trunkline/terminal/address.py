"""Which router a command talks to, and with which key.

A key goes only to the server that it belongs to. This home's key is sent to this machine and to the
address that this home's configuration names; any other server needs a key that was given for it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from trunkline import config
from trunkline.config import values
from trunkline.errors import ConfigError, ServerRefused, TrunklineError
from trunkline.terminal.api import API

if TYPE_CHECKING:
    from trunkline.config import Settings

_UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # where such a server is reached


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line and the environment say; None stands for what they do not.

    ``config`` is the path of ``--config``.
    """

    url: str | None
    key: str | None
    config: Path | None


@dataclass(frozen=True, slots=True)
class Connection:
    """A server that answers and takes the key, and the models that it offers."""

    api: API
    models: list[str]


@contextmanager
def connected(
    wanted: Wanted,
    environ: Mapping[str, str],
    *,
    on_start: Callable[[str], None] = lambda _: None,
) -> Iterator[Connection]:
    """Finds the running router, or runs one for as long as the context lasts.

    ``on_start`` is told why one has to be started, before that is done.

    Raises:
        ConfigError: the address or the configuration is not valid, or a key is missing.
        TrunklineError: the server that was named cannot be used, or one's own does not start.
    """
    home = config.home(environ)
    settings = config.load(wanted.config, environ=environ)
    if wanted.url is not None:
        yield _named(wanted.url, wanted.key, settings, home)
        return
    found = _running(wanted.key, settings, home)
    if isinstance(found, Connection):
        yield found
        return
    from trunkline.terminal.own import running

    on_start(found)
    with running(wanted.config) as own:
        # A home whose keys are all made by hand keeps none of them.
        key = config.first_key(home) or wanted.key or _home_key(home)
        api = API(own.url, key, ended=own.ended)
        yield Connection(api, api.models())


def model_names(wanted: Wanted, environ: Mapping[str, str], *, timeout_s: float) -> list[str]:
    """Returns the models of the router that is running; starts none. Raises TrunklineError."""
    home = config.home(environ)
    settings = config.load(wanted.config, environ=environ)
    url = normal(wanted.url) if wanted.url is not None else configured_url(settings)
    if url is None or (wanted.url is None and not API(url).healthy(timeout_s=timeout_s)):
        return []
    key = wanted.key or (_home_key(home) if belongs_to_home(url, settings) else None)
    return API(url, key).models(timeout_s=timeout_s)


def configured_url(settings: Settings) -> str | None:
    """Returns where this home's router listens, None if each start takes another port."""
    host, port = settings.server.host, settings.server.port
    if port == 0:
        return None
    host = _UNSPECIFIED.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def normal(url: str) -> str:
    """Returns a server's address without ``/v1``, with which clients are configured.

    Raises:
        ConfigError: it is no http or https address.
    """
    try:
        return values.base_url(url.strip()).removesuffix("/v1")
    except ValueError as error:
        raise ConfigError(f"--url or TRUNKLINE_URL: {error}") from None


def belongs_to_home(url: str, settings: Settings) -> bool:
    """Whether this home's key may go there: to this machine, or where the home's router listens."""
    return _is_loopback(urlsplit(url).hostname or "") or url == configured_url(settings)


def _named(url: str, key: str | None, settings: Settings, home: Path) -> Connection:
    url = normal(url)
    if key is None:
        if not belongs_to_home(url, settings):
            raise ConfigError(
                f"no key for {url}: give it with --key or TRUNKLINE_KEY; "
                "the key of this home is only sent to its own router"
            )
        key = _home_key(home)
    api = API(url, key)
    try:
        return Connection(api, api.models())
    except ServerRefused as error:
        if error.status != 401:
            raise
        raise TrunklineError(
            f"{url} does not take this key; give one of its own with --key or TRUNKLINE_KEY"
        ) from error


def _running(key: str | None, settings: Settings, home: Path) -> Connection | str:
    """Returns the connection to the router where this home's listens, or why there is none."""
    url = configured_url(settings)
    if url is None or not API(url).healthy():
        return "no router is running"
    if key is not None:
        return _named(url, key, settings, home)
    known = config.first_key(home)
    try:
        if known is not None:
            api = API(url, known)
            return Connection(api, api.models())
    except ServerRefused as error:
        if error.status != 401:
            raise
    return f"the router at {url} belongs to another home"


def _home_key(home: Path) -> str:
    key = config.first_key(home)
    if key is None:
        raise ConfigError(
            f"this home ({home}) holds no key; give one with --key or TRUNKLINE_KEY, "
            "'trunkline keys create' makes it"
        )
    return key


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
