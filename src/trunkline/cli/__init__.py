"""The command line: thin calls into the layers below.

The modules here import only Typer and the standard library at their top, and the rest inside their
functions: a command pays for what it uses, and ``trunkline --help`` for nothing.
"""

from __future__ import annotations

from typing import Annotated

import typer

from trunkline.cli import config, doctor

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


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


app.command("init")(config.init)
app.add_typer(config.app, name="config")
app.command("doctor")(doctor.doctor)
