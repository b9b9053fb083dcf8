"""``trunkline providers``: which there are, which are in use and why, and whether one answers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import typer

from trunkline.cli.config import ConfigOption, JSONOption
from trunkline.cli.output import print_json, print_table, warn

if TYPE_CHECKING:
    from trunkline.config import ProviderSettings, Settings

app = typer.Typer(help="List the providers, and test one.")

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The provider, as in groq.", show_default=False)
]


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as ``ls`` shows it.

    ``why`` says why it is not in use; ``key_source`` where its key comes from, never the key.
    """

    name: str
    title: str | None
    state: Literal["active", "inactive", "disabled"]
    why: str
    base_url: str
    key_source: str
    models: list[str]


@app.command("ls")
def ls(config: ConfigOption = None, as_json: JSONOption = False) -> None:
    """Lists the providers that are configured or known: state, models, and where the key comes from."""
    from trunkline.config import load

    settings = load(config, environ=os.environ)
    for warning in settings.warnings:
        warn(warning)
    rows = listed(settings)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("PROVIDER", "STATE", "KEY FROM", "MODELS", "REMARKS"),
        ((r.name, r.state, r.key_source or "–", str(len(r.models)), r.why) for r in rows),
    )


@app.command("test")
def try_out(name: NameArgument, config: ConfigOption = None) -> None:
    """Asks a provider for its list of models: can it be reached, and does it take the key?"""
    import asyncio
    import time

    from trunkline.cli.asking import lists
    from trunkline.config import load
    from trunkline.errors import TrunklineError, UpstreamError

    provider = active(load(config, environ=os.environ), name)
    started = time.perf_counter()
    models = asyncio.run(lists({name: provider}))[name]
    if isinstance(models, UpstreamError):
        raise TrunklineError(f"provider '{name}' {models.public}") from models
    ms = round((time.perf_counter() - started) * 1000)
    key = " and did not refuse the key" if provider.key else "; it was asked without a key"
    count = "1 model" if len(models) == 1 else f"{len(models)} models"
    typer.echo(f"provider '{name}' answered in {ms} ms: it lists {count}{key}")


def listed(settings: Settings) -> list[Listed]:
    """Returns those in use or configured, then those that are known."""
    from trunkline.config import known, lacks_key

    env_keys = settings.routing.env_keys
    configured = [_listed(name, provider) for name, provider in settings.providers.items()]
    others = [
        Listed(
            name=name,
            title=one.title,
            state="inactive",
            why=lacks_key(name, env_keys=env_keys),
            base_url=one.base_url,
            key_source="",
            models=sorted(known.offers(name)),
        )
        for name, one in known.providers().items()
        if name not in settings.providers
    ]
    return [*configured, *others]


def active(settings: Settings, name: str) -> ProviderSettings:
    """Returns a provider that can be asked; raises TrunklineError that says why it cannot."""
    from trunkline.config import known, lacks_key
    from trunkline.errors import TrunklineError

    provider = settings.providers.get(name)
    if provider is not None and provider.active:
        return provider
    if provider is not None:
        raise TrunklineError(f"provider '{name}' {provider.why_not(name)}")
    if name in known.providers():
        why = lacks_key(name, env_keys=settings.routing.env_keys)
        raise TrunklineError(f"provider '{name}' {why}")
    raise TrunklineError(
        f"unknown provider '{name}'; 'trunkline providers ls' shows which there are"
    )


def _listed(name: str, provider: ProviderSettings) -> Listed:
    from trunkline.config import known

    one = known.providers().get(name)
    state: Any = "inactive" if provider.enabled else "disabled"
    return Listed(
        name=name,
        title=one.title if one else None,
        state="active" if provider.active else state,
        why=provider.why_not(name),
        base_url=provider.base_url or (one.base_url if one else ""),
        key_source=provider.key_source,
        models=sorted(provider.models),
    )
