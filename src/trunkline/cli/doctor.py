"""``trunkline doctor``: checks what the router needs, and says what to do about what is missing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from trunkline.cli.config import ConfigOption, JSONOption
from trunkline.cli.output import print_json, print_table

if TYPE_CHECKING:
    from trunkline.config import Settings
    from trunkline.engine.weights import Stored, Weights

_LITTLE_SPACE, _NO_SPACE = 1 << 30, 64 << 20  # bytes free in the home folder
_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True)
class Check:
    """What was found; ``fix`` says what to do if it is not ok."""

    name: str
    state: Literal["ok", "warn", "fail"]
    detail: str
    fix: str = ""


def doctor(config: ConfigOption = None, as_json: JSONOption = False) -> None:
    """Checks Python, engine, model, database, port, disk and keys; exits 1 if a check fails."""
    checks = list(examine(config))
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        print_table(
            ("", "CHECK", "FOUND"),
            ((check.state, check.name, _sentence(check)) for check in checks),
        )
    if any(check.state == "fail" for check in checks):
        raise typer.Exit(1)


def examine(config: Path | None) -> Iterator[Check]:
    """Yields the checks in the order in which a start would meet what they look at."""
    from trunkline import config as configuration
    from trunkline.errors import ConfigError

    home = configuration.home(os.environ)
    yield python()
    try:
        settings = configuration.load(config, environ=os.environ)
    except ConfigError as error:
        yield Check("configuration", "fail", "; ".join(error.problems), "correct the named keys")
    else:
        yield configured(settings)
        yield from engine(settings)
        yield from pulled_models(settings, home)
        yield database(settings, home)
        yield port(settings.server.host, settings.server.port)
        yield from providers(settings)
    yield disk(home)
    yield from private_files(home)


def python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _PYTHON:
        return Check("python", "fail", found, "install Python 3.11 or newer")
    return Check("python", "ok", found)


def configured(settings: Settings) -> Check:
    if settings.warnings:
        return Check("configuration", "warn", "; ".join(settings.warnings), "follow the advice")
    return Check("configuration", "ok", str(settings.file or "defaults, no file"))


def engine(settings: Settings) -> Iterator[Check]:
    """Checks the engine's wheel and, if that is fine, its model."""
    if not settings.engine.enabled:
        yield Check("engine", "ok", "switched off by [engine] enabled")
        return
    wheel = engine_wheel()
    yield wheel
    if wheel.state == "ok":
        yield model(settings)


def engine_wheel() -> Check:
    """Checks that xllamacpp has a version we know and loads; a process of its own tries that."""
    import subprocess
    from importlib.metadata import version

    from trunkline.engine.model import available

    if reason := available():
        return Check("engine", "warn", reason, "serve with providers only, or use such a platform")
    found, wanted = version("xllamacpp"), _required("xllamacpp")
    if not _within(found, wanted):
        fix = f"pip install 'xllamacpp{wanted}'"
        return Check("engine", "fail", f"xllamacpp {found}; needed is {wanted}", fix)
    tried = subprocess.run(
        [sys.executable, "-c", "import xllamacpp"], capture_output=True, text=True, check=False
    )
    if tried.returncode != 0:
        reason = (tried.stderr.strip().splitlines() or [f"exit status {tried.returncode}"])[-1]
        fix = "pip install --force-reinstall xllamacpp"
        return Check("engine", "fail", f"xllamacpp {found} does not load: {reason}", fix)
    return Check("engine", "ok", f"xllamacpp {found}")


def model(settings: Settings) -> Check:
    from trunkline.engine.model import nano, open_model
    from trunkline.errors import StartError

    path = settings.engine.model
    try:
        found = open_model(Path(path), name=settings.engine.name or None) if path else nano()
    except StartError as error:
        return Check("model", "fail", error.message)
    return Check("model", "ok", f"{found.card.name}: {found.file.size_bytes / 1e6:,.1f} MB")


def pulled_models(settings: Settings, home: Path) -> Iterator[Check]:
    """Checks what has been pulled: whole, usable, and small enough for the memory."""
    from trunkline.engine import weights

    for wanted in weights.published().values():
        found = weights.stored(home, wanted)
        if found.state != "absent":
            yield _pulled(settings, wanted, found)


def _pulled(settings: Settings, wanted: Weights, found: Stored) -> Check:
    from trunkline.engine import memory, weights
    from trunkline.engine.size import size
    from trunkline.errors import StartError

    name = f"model {wanted.name}"
    again = f"trunkline models pull {wanted.name}"
    if found.path is None:
        here = f"incomplete, {size(found.have_bytes)} of {size(found.size_bytes)}"
        return Check(name, "warn", here, f"'{again}' continues it")
    try:
        file = weights.opened(wanted, found.path).file
    except StartError as error:
        return Check(
            name, "warn", error.message, f"'trunkline models rm {wanted.name}', then '{again}'"
        )
    need = memory.need_of(file, settings.engine)
    if problem := memory.shortage(wanted.name, need, memory.available()):
        return Check(name, "warn", problem)
    return Check(name, "ok", f"pulled, {size(file.size_bytes)}; takes {size(need.total)} of memory")


def database(settings: Settings, home: Path) -> Check:
    """Opens the database as a start would, unless that would make it."""
    import asyncio

    from trunkline.config import database_url
    from trunkline.errors import TrunklineError

    url = database_url(settings, home)
    if not settings.database.url and not (home / "trunkline.db").exists():
        return Check("database", "ok", f"the first start makes {home / 'trunkline.db'}")
    try:
        asyncio.run(_open(url, settings))
    except TrunklineError as error:
        return Check("database", "fail", error.message)
    return Check(
        "database", "ok", "Postgres" if url.startswith("postgres") else url.split("///")[-1]
    )


async def _open(url: str, settings: Settings) -> None:
    from trunkline.store import open_store

    async with open_store(url, pool_size=1, busy_timeout_s=settings.database.busy_timeout_s):
        pass


def port(host: str, port: int) -> Check:
    """Checks that the port can be listened on, or that a router of ours has it."""
    import socket

    where = f"{host}:{port}"
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        if version := _running(host, port):
            return Check("port", "ok", f"{where} is served by trunkline {version}")
        reason = error.strerror or str(error)
        return Check("port", "fail", f"{where}: {reason}", "choose another with --port or [server]")
    return Check("port", "ok", f"{where} is free")


def _running(host: str, port: int) -> str | None:
    """Returns the version of the router that answers there, if one does."""
    import http.client
    import json

    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/health")
        version = json.loads(connection.getresponse().read(65_536))["version"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()
    return str(version)


def providers(settings: Settings) -> Iterator[Check]:
    for name, provider in settings.providers.items():
        where = f"provider {name}"
        if not provider.enabled:
            yield Check(where, "ok", "disabled")
        elif provider.lacks:
            yield Check(where, "warn", f"inactive: it {provider.lacks}")
        elif not provider.active:
            variable = provider.api_key_env
            yield Check(where, "warn", "inactive: it has no key", f"set {variable} to its key")
        else:
            yield Check(where, "ok", provider.base_url)


def disk(home: Path) -> Check:
    """Checks that the home folder, or the nearest that exists above it, can be written and has room."""
    import shutil

    folder = next(folder for folder in (home, *home.parents) if folder.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        fix = "set TRUNKLINE_HOME to a folder of yours"
        return Check("disk", "fail", f"{folder} cannot be written", fix)
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1e9:,.1f} GB free for {home}"
    if free < _LITTLE_SPACE:
        return Check("disk", "fail" if free < _NO_SPACE else "warn", detail, "free some space")
    return Check("disk", "ok", detail)


def private_files(home: Path) -> Iterator[Check]:
    """Checks the first key and the installation secret: there, and readable by their owner only."""
    from trunkline.config import readable_by_others

    for name, file in (("first key", home / "key"), ("secret", home / "secret")):
        if not file.exists():
            yield Check(name, "ok", f"the first start makes {file}")
        elif readable_by_others(file):
            yield Check(name, "warn", f"{file} is readable by others", f"chmod 600 {file}")
        else:
            yield Check(name, "ok", str(file))


def _required(package: str) -> str:
    """Returns the range of versions that our own metadata asks for, as in ">=2026.10,<2027"."""
    import re
    from importlib.metadata import requires

    for requirement in requires("trunkline") or ():
        if match := re.match(rf"{package}\s*([<>=!~.,\d\s]+)", requirement):
            return match[1].strip()
    return ""


def _within(version: str, wanted: str) -> bool:
    """Whether a version of plain numbers satisfies a range of ">=" and "<"."""
    have = _numbers(version)
    for bound in filter(None, wanted.split(",")):
        limit = _numbers(bound)
        if bound.startswith(">=") and have < limit:
            return False
        if bound.startswith("<") and have >= limit:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    import re

    return tuple(map(int, re.findall(r"\d+", version)))


def _sentence(check: Check) -> str:
    return f"{check.detail}: {check.fix}" if check.fix else check.detail
