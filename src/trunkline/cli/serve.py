"""``trunkline serve``: starts the router, and says how to use it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.cli.config import ConfigOption

if TYPE_CHECKING:
    from trunkline.config import ProviderSettings
    from trunkline.serving import Started

_QUESTION = "What is the capital of France?"


def serve(
    config: ConfigOption = None,
    host: Annotated[
        str | None, typer.Option("--host", metavar="HOST", help="Address to listen on.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", metavar="PORT", help="Port to listen on; 0 takes a free one."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", help="Router processes sharing the port."),
    ] = None,
    db: Annotated[
        str | None,
        typer.Option("--db", metavar="URL", help="Database: a postgresql:// or sqlite:/// URL."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", metavar="FILE.gguf", help="A gpt-oss GGUF file for the embedded engine."
        ),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Answer every model name with the built-in test model.")
    ] = False,
) -> None:
    """Starts the router. Flags win over the environment, and that over the file."""
    from trunkline import app, log, serving
    from trunkline import config as configuration

    overrides: dict[str, Any] = {
        "server.host": host,
        "server.port": port,
        "server.workers": workers,
        "database.url": db,
        "engine.model": None if model is None else str(model),
    }
    settings = configuration.load(config, environ=os.environ, overrides=overrides)
    log.configure(level=settings.server.log_level, format=settings.server.log_format)
    for warning in settings.warnings:
        log.get_logger().warning("configuration", message=warning)
    home = configuration.home(os.environ)
    configuration.make_home(home)
    serving.serve(
        app.set_up(settings, home, demo=demo),
        bootstrap_key=os.environ.get("TRUNKLINE_BOOTSTRAP_KEY"),
        announce=_announce,
    )


def _announce(started: Started) -> None:
    sys.stdout.write(banner(started))
    sys.stdout.flush()


def banner(started: Started) -> str:
    """Returns what the operator sees when requests are accepted."""
    from trunkline import __version__

    setup = started.setup
    lines = [f"Trunkline {__version__} serves {started.url}/v1", ""]
    lines += [f"  {name:<10} {value}" for name, value in _facts(started).items()]
    lines += ["", "Try it:", "", *_curl(started), ""]
    if setup.demo:
        lines[1:1] = ["", "DEMO: the built-in test model answers for every model name."]
    return "\n".join(lines) + "\n"


def _facts(started: Started) -> dict[str, str]:
    setup, providers = started.setup, started.setup.settings.providers
    card = setup.model.card if setup.model else None
    facts = {"engine": f"off: {setup.without_engine}"}
    if card is not None:
        facts["engine"] = card.name + (f" ({card.description})" if card.description else "")
    if setup.pulled:
        names = ", ".join(model.card.name for model in setup.pulled)
        facts["pulled"] = f"{names} (loaded with the first request)"
    active = {name: p for name, p in providers.items() if p.active and not setup.demo}
    facts["providers"] = _listed(active) or "none active; see 'trunkline providers ls'"
    if started.key.created and "TRUNKLINE_BOOTSTRAP_KEY" not in os.environ:
        facts["key"] = f"{started.key.key} (kept in {setup.home / 'key'})"
    elif started.key.key is None:
        facts["key"] = "not in this home; make one with 'trunkline keys create'"
    else:
        facts["key"] = f"$({_program()} keys show)"
    return facts


def _listed(providers: Mapping[str, ProviderSettings]) -> str:
    """Names each provider and where its key comes from, one a line; never the key."""
    return f"\n{' ' * 13}".join(
        f"{name} (key from {provider.key_source})" if provider.key else f"{name} (no key)"
        for name, provider in providers.items()
    )


def _curl(started: Started) -> list[str]:
    model = next(iter(started.catalog.models()), None)
    if model is None:
        return ["  trunkline init, then add a provider"]
    if started.key.created and "TRUNKLINE_BOOTSTRAP_KEY" not in os.environ:
        key = started.key.key
    else:
        key = f"$({_program()} keys show)"
    return [
        f"  curl {started.url}/v1/chat/completions \\",
        f'    -H "Authorization: Bearer {key}" \\',
        '    -H "Content-Type: application/json" \\',
        f'    -d \'{{"model": "{model}", "messages": [{{"role": "user", "content": "{_QUESTION}"}}]}}\'',
    ]


def _program() -> str:
    """Returns how this program is called from another terminal, in another folder."""
    here = Path(sys.argv[0]).absolute()
    found = shutil.which("trunkline")
    if here.name == "__main__.py":  # python -m trunkline
        name = f"{shlex.quote(sys.executable)} -m trunkline"
    elif found is not None and Path(found).resolve() == here.resolve():
        name = "trunkline"
    else:
        name = shlex.quote(str(here))
    home = os.environ.get("TRUNKLINE_HOME")
    return f"TRUNKLINE_HOME={shlex.quote(str(Path(home).absolute()))} {name}" if home else name
