"""``trunkline init`` and ``trunkline config``: write, check and show the configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.cli.output import print_json, print_table, warn

if TYPE_CHECKING:
    from trunkline.config import ProviderSettings, Settings

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Configuration file.", show_default=False),
]
JSONOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

app = typer.Typer(help="Check and show the configuration.")


def init(
    path: Annotated[Path, typer.Option("--path", metavar="FILE", help="Where to write it.")] = Path(
        "trunkline.toml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Writes a configuration file that explains every key."""
    from trunkline.cli.template import config_file
    from trunkline.config import create_private, replace_private
    from trunkline.errors import TrunklineError

    content = config_file().encode()
    try:
        if force:
            replace_private(path, content)
        elif not create_private(path, content):
            raise TrunklineError(f"{path} exists; --force replaces it")
    except OSError as error:
        raise TrunklineError(f"cannot write {path}: {error.strerror}") from error
    typer.echo(path)


@app.command()
def check(config: ConfigOption = None, as_json: JSONOption = False) -> None:
    """Checks the configuration, and says where it comes from and which providers are active."""
    from trunkline.config import load
    from trunkline.errors import ConfigError

    try:
        settings = load(config, environ=os.environ)
    except ConfigError as error:
        if not as_json:
            raise
        print_json({"ok": False, "problems": error.problems})
        raise typer.Exit(error.exit_code) from None
    if as_json:
        print_json(_checked(settings))
    else:
        _print_checked(settings)


@app.command()
def show(config: ConfigOption = None, as_json: JSONOption = False) -> None:
    """Shows what is in force and where each value comes from; secrets are hidden."""
    from trunkline.config import load

    rows = _rows(load(config, environ=os.environ))
    if as_json:
        print_json([{"key": key, "value": value, "source": source} for key, value, source in rows])
    else:
        print_table(
            ("KEY", "VALUE", "FROM"), ((key, _toml(value), source) for key, value, source in rows)
        )


def state(provider: ProviderSettings) -> str:
    """Says in a few words whether requests may go to a provider, and if not why."""
    if provider.active:
        return "active"
    if not provider.enabled:
        return "disabled"
    return provider.lacks or f"no key: set {provider.api_key_env}"


def _checked(settings: Settings) -> dict[str, Any]:
    return {
        "ok": True,
        "file": str(settings.file) if settings.file else None,
        "sources": settings.sources,
        "providers": [
            {
                "name": name,
                "base_url": provider.base_url,
                "active": provider.active,
                "state": state(provider),
                "key_source": provider.key_source,
                "models": sorted(provider.models),
            }
            for name, provider in settings.providers.items()
        ],
        "warnings": settings.warnings,
    }


def _print_checked(settings: Settings) -> None:
    for warning in settings.warnings:
        warn(warning)
    typer.echo(f"the configuration is valid: {settings.file or 'no file, only defaults'}")
    if variables := sorted(set(settings.sources.values()) - {str(settings.file)}):
        typer.echo(f"set by the environment: {', '.join(variables)}")
    if settings.providers:
        typer.echo()
        print_table(
            ("PROVIDER", "STATE", "MODELS", "URL"),
            (
                (name, state(provider), str(len(provider.models)), provider.base_url)
                for name, provider in settings.providers.items()
            ),
        )


def _rows(settings: Settings) -> list[tuple[str, Any, str]]:
    """Returns (dotted key, value, source) of every key that has an environment variable."""
    from trunkline.config import SECTIONS, Secret, describe

    rows = []
    for section, struct in SECTIONS.items():
        for key in describe(struct):
            dotted = f"{section}.{key.name}"
            value = getattr(getattr(settings, section), key.name)
            if isinstance(value, Secret):
                value = str(value) if value else ""
            rows.append((dotted, value, settings.sources.get(dotted, "default")))
    return rows


def _toml(value: Any) -> str:
    import msgspec

    return "" if value is None else msgspec.json.encode(value).decode()
