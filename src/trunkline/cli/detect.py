"""``trunkline providers detect``: the inference servers of this machine, and their way into the file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from trunkline.cli.config import ConfigOption, JSONOption
from trunkline.cli.output import print_json, print_table

if TYPE_CHECKING:
    from trunkline.config import Settings
    from trunkline.providers.detect import Found, Model

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def detect(
    ports: Annotated[
        list[int] | None,
        typer.Option(
            "--port",
            metavar="PORT",
            help="Look at this port only; can be repeated.",
            min=1,
            max=65535,
        ),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Add what is found to the configuration file.")
    ] = False,
    config: ConfigOption = None,
    as_json: JSONOption = False,
) -> None:
    """Finds Ollama, LM Studio, vLLM, SGLang and llama.cpp on this machine's usual ports."""
    import asyncio

    from trunkline.config import FILE_NAME, load
    from trunkline.providers.detect import PORTS
    from trunkline.providers.detect import detect as look

    settings = load(config, environ=os.environ)
    ports = ports or [*PORTS]
    found = asyncio.run(look(ports, keys=dict(_keys(ports, settings))))
    names = _names(found, settings)
    tables = "\n".join(text for one in found if (text := _tables(one, names[one.port], settings)))
    file = settings.file or Path.cwd() / FILE_NAME
    written = write and bool(tables)
    if written:
        from trunkline.config import addition

        addition.add(file, tables)
    if as_json:
        print_json(
            {
                "servers": [_public(one, names[one.port], settings) for one in found],
                "file": str(file) if written else None,
            }
        )
    else:
        _print(found, names, settings)
    _tell(found, tables, file=file, written=written)


def _print(found: Iterable[Found], names: dict[int, str], settings: Settings) -> None:
    print_table(
        ("SERVER", "ADDRESS", "PROVIDER", "MODEL", "ITS ID", "CONTEXT", "REMARKS"),
        (
            (
                one.title,
                one.base_url,
                names[one.port],
                model.name if model else "–",
                model.id if model else "–",
                f"{model.context:,}" if model and model.context else "–",
                one.why if not model else _remark(one, model, names, settings),
            )
            for one in found
            for model in (one.models or (None,))
        ),
    )


def _remark(one: Found, model: Model, names: dict[int, str], settings: Settings) -> str:
    return "" if model in _new(one, names[one.port], settings) else "configured"


def _tell(found: list[Found], tables: str, *, file: Path, written: bool) -> None:
    if not found:
        typer.echo("found none of them", err=True)
    elif written:
        typer.echo(f"added to {file}; it holds from the next start on", err=True)
    elif tables:
        typer.echo(f"--write adds this to {file}:\n\n{tables}", err=True, nl=False)
    else:
        typer.echo("nothing to add to the configuration", err=True)


def _public(one: Found, name: str, settings: Settings) -> dict[str, Any]:
    return {
        "server": one.title,
        "provider": name,
        "base_url": one.base_url,
        "why": one.why,
        "models": [
            {
                "name": model.name,
                "id": model.id,
                "context": model.context,
                "configured": model not in _new(one, name, settings),
            }
            for model in one.models
        ],
    }


def _keys(ports: Iterable[int], settings: Settings) -> Iterator[tuple[int, str]]:
    """Yields each port that a provider with a key is configured at, and the key."""
    for port in ports:
        for provider in settings.providers.values():
            if provider.key and _is_at(provider.base_url, port):
                yield port, provider.key.reveal()


def _names(found: Iterable[Found], settings: Settings) -> dict[int, str]:
    """Returns each server's name as a provider: the configured one, or a free one."""
    names: dict[int, str] = {}
    for one in found:
        here = next(
            (n for n, p in settings.providers.items() if _is_at(p.base_url, one.port)), None
        )
        taken = {*settings.providers, *names.values()}
        names[one.port] = here or (one.name if one.name not in taken else f"{one.name}-{one.port}")
    return names


def _new(one: Found, name: str, settings: Settings) -> list[Model]:
    """Returns the models that are not configured yet."""
    provider = settings.providers.get(name)
    if provider is None:
        return list(one.models)
    ids = {settings.id or model for model, settings in provider.models.items()}
    return [m for m in one.models if m.id not in ids and m.name not in provider.models]


def _tables(one: Found, name: str, settings: Settings) -> str:
    from trunkline.config import addition
    from trunkline.ids import now

    models = _new(one, name, settings)
    if not models:
        return ""
    comment = f"{one.title}, found on this machine on {now().date()}."
    texts = []
    if name not in settings.providers:
        # 'reserve': its models join ':local', and no policy unless that line is taken out.
        values = {"base_url": one.base_url, "local": True, "reserve": True}
        texts.append(addition.table(addition.key("providers", name), values, comment=comment))
        comment = ""
    for model in models:
        facts = {"id": model.id} | ({"context": model.context} if model.context else {})
        at = addition.key("providers", name, "models", model.name)
        texts.append(addition.table(at, facts, comment=comment))
        comment = ""
    return "\n".join(texts)


def _is_at(base_url: str, port: int) -> bool:
    url = urlsplit(base_url)
    return url.hostname in _LOOPBACK and (url.port or 80) == port
