"""The command line: thin calls into the layers below.

What is slow to import is imported inside the functions: a command pays for what it uses, and
``trunkline --help`` for nothing.
"""

from __future__ import annotations

from typing import Annotated

import typer

from trunkline.cli import (
    catalog,
    chat,
    config,
    detect,
    doctor,
    explain,
    keys,
    mcp,
    models,
    providers,
    run,
    serve,
)

app = typer.Typer(
    help="One OpenAI-compatible endpoint in front of every provider, and of the engine on this machine.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from trunkline import __version__

        typer.echo(f"trunkline {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Takes the options that stand before a command."""


app.command("serve")(serve.serve)
app.command("run")(run.run)
app.command("chat")(chat.chat)
app.command("init")(config.init)
app.add_typer(models.app, name="models")
app.add_typer(providers.app, name="providers")
providers.app.command("detect")(detect.detect)
app.add_typer(mcp.app, name="mcp")
app.add_typer(catalog.app, name="catalog")
app.add_typer(config.app, name="config")
app.command("doctor")(doctor.doctor)
app.add_typer(keys.app, name="keys")
app.command("explain")(explain.explain)
