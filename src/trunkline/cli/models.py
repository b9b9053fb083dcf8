"""``trunkline models``: pull real weights, list, show and remove what is here; list who offers what."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.cli.config import ConfigOption, JSONOption
from trunkline.cli.output import print_json, print_table, warn
from trunkline.cli.progress import shown
from trunkline.engine.size import size

if TYPE_CHECKING:
    from pathlib import Path

    from trunkline.cli.offers import Offered
    from trunkline.config import EngineSettings, Settings
    from trunkline.engine.model import Figures

app = typer.Typer(help="Pull real weights for the engine; list models, show and remove them.")


def _complete(incomplete: str) -> list[str]:
    from trunkline.engine.weights import published

    return [name for name in published() if name.startswith(incomplete)]


NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="The model, as in openai/gpt-oss-20b.", autocompletion=_complete
    ),
]
_STATES = {"absent": "can be pulled", "built-in": "built in", "pulled": "pulled"}


@app.command("pull")
def pull(name: NameArgument, config: ConfigOption = None) -> None:
    """Fetches a model's weights from the hub, or what is missing of them, and checks them."""
    from trunkline.engine import memory, weights
    from trunkline.engine.hub import Hub
    from trunkline.engine.pull import pull as fetch

    home, wanted, hub = _home(), weights.find(name), Hub()
    need = memory.need_of(wanted.figures, _settings(config).engine)
    if problem := memory.shortage(name, need, memory.available()):
        warn(problem)
    _tell(f"pulling {wanted.repository} of {hub.endpoint} into {weights.folder(home, wanted)}")
    try:
        with shown() as progress:
            found = fetch(wanted, home, hub=hub, progress=progress)
    except KeyboardInterrupt:
        _tell("interrupted; the same command continues what is there")
        raise
    _tell(memory.speed(wanted.figures))
    _tell(f"'trunkline serve' offers it as {name}:local, from its next start on")
    typer.echo(found.path)


@app.command("ls")
def ls(config: ConfigOption = None, as_json: JSONOption = False) -> None:
    """Lists the engine's models, here or to be pulled, and those of the providers in use."""
    from trunkline.cli.offers import COLUMNS, by_model, in_use
    from trunkline.engine.weights import published

    home, offers = _home(), in_use(_settings(config))
    entries = [_built_in(), *(_entry(name, home) for name in published())]
    if as_json:
        offered = by_model(offers)
        hosted = [_Entry.hosted(name) for name in offered if name not in {e.name for e in entries}]
        print_json([e.public(offered.get(e.name, ())) for e in (*entries, *hosted)])
        return
    print_table(
        ("MODEL", "STATE", "SIZE", "WHAT IT IS"),
        ((e.name, e.told_state(), size(e.size_bytes), e.description) for e in entries),
    )
    if offers:
        typer.echo("\nAt providers, USD per 1M tokens:\n")
        print_table(COLUMNS, (offered.row() for offered in offers))


@app.command("show")
def show(name: NameArgument, config: ConfigOption = None, as_json: JSONOption = False) -> None:
    """Shows a model: who offers it; its files, the memory it takes as configured, its speed."""
    from trunkline.cli.offers import offers_of
    from trunkline.engine.weights import published
    from trunkline.errors import TrunklineError

    settings = _settings(config)
    offers = offers_of(name, settings)
    if not offers and name not in published() and name != _built_in().name:
        raise TrunklineError(
            f"nobody is known to offer '{name}'; 'trunkline models ls' shows what runs here, "
            "and 'trunkline providers ls --json' what providers offer"
        )
    more: dict[str, Any] = {}
    rows: dict[str, str] = {}
    if offers and name not in published():
        entry = _Entry.hosted(name)
    else:
        entry = _built_in() if name == _built_in().name else _entry(name, _home())
        more, rows = _measured(entry, settings.engine)
    if as_json:
        print_json(entry.public(offers) | more)
        return
    if rows:
        print_table(("MODEL", entry.name), ((what, value) for what, value in rows.items() if value))
    if rows and offers:
        typer.echo()
    if offers:
        _print_offers(offers)


def _measured(entry: _Entry, engine: EngineSettings) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns what the engine would make of a model, for programs and for people."""
    from trunkline.engine import memory

    figures = entry.figures()
    need, available = memory.need_of(figures, engine), memory.available()
    more = {
        "context": figures.context,
        "memory_bytes": need.total,
        "memory_available_bytes": available,
        "read_bytes_per_token": figures.read_bytes,
    }
    context = min(engine.context, figures.context)
    rows = {
        "what it is": entry.description,
        "state": entry.told_state(),
        "size": size(entry.size_bytes),
        "source": entry.repository,
        "files": "\n".join(entry.files),
        "context": f"{figures.context:,} tokens; configured are {engine.slots} slots of {context:,}",
        "memory": f"about {size(need.total)}: {memory.told(need)}",
        "available": "not known" if available is None else size(available),
        "fits": memory.shortage(entry.name, need, available) or "yes",
        "speed": memory.speed(figures) if entry.repository else "",
    }
    return more, rows


def _print_offers(offers: Sequence[Offered]) -> None:
    from trunkline.cli.offers import SOURCED

    typer.echo(f"{offers[0].model} at providers, USD per 1M tokens:\n")
    print_table(
        (*SOURCED[1:], "IN USE"),
        (
            (*offered.sourced_row()[1:], f"no: {offered.why}" if offered.why else "yes")
            for offered in offers
        ),
    )


@app.command("rm")
def rm(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Removes a pulled model's files, and what a pull has left unfinished."""
    from trunkline.engine import weights
    from trunkline.errors import TrunklineError

    home = _home()
    if name == _built_in().name:
        raise TrunklineError(f"'{name}' is built in; only what was pulled can be removed")
    wanted = weights.find(name)
    found = weights.stored(home, wanted)
    if found.state == "absent":
        raise TrunklineError(f"'{name}' is not here; 'trunkline models ls' shows what is")
    if not yes:
        _ask(f"remove {name}, {size(found.have_bytes)} in {found.folder}?")
    _tell(f"removed {size(weights.remove(home, wanted))}")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A model as these commands show it; ``repository`` is empty for the built-in one."""

    name: str
    description: str
    state: str
    size_bytes: int
    have_bytes: int
    files: tuple[str, ...]
    repository: str = ""
    path: Path | None = None

    def told_state(self) -> str:
        return _STATES.get(self.state) or f"incomplete: {size(self.have_bytes)} are here"

    @staticmethod
    def hosted(name: str) -> _Entry:
        """Returns a model that only providers offer."""
        return _Entry(
            name=name, description="", state="hosted", size_bytes=0, have_bytes=0, files=()
        )

    def public(self, offers: Iterable[Offered] = ()) -> dict[str, Any]:
        return {
            "name": self.name,
            "state": self.state,
            "size_bytes": self.size_bytes,
            "have_bytes": self.have_bytes,
            "files": self.files,
            "repository": self.repository or None,
            "description": self.description,
            "deployments": [offered.public() for offered in offers],
        }

    def figures(self) -> Figures:
        """Returns what the files' headers tell, or what is written down of files not here yet."""
        from trunkline.engine import model, weights

        return model.open_file(self.path) if self.path else weights.find(self.name).figures


def _built_in() -> _Entry:
    from trunkline.engine.model import nano

    card, file = (found := nano()).card, found.file
    return _Entry(
        name=card.name,
        description=card.description,
        state="built-in",
        size_bytes=file.size_bytes,
        have_bytes=file.size_bytes,
        files=(str(file.path),),
        path=file.path,
    )


def _entry(name: str, home: Path) -> _Entry:
    from trunkline.engine import weights

    wanted = weights.find(name)
    found = weights.stored(home, wanted)
    files = found.manifest.files if found.manifest else ()
    return _Entry(
        name=name,
        description=wanted.description,
        state=found.state,
        size_bytes=found.size_bytes,
        have_bytes=found.have_bytes,
        files=tuple(str(found.folder / file.name) for file in files),
        repository=wanted.repository,
        path=found.path,
    )


def _home() -> Path:
    from trunkline import config

    home = config.home(os.environ)
    config.make_home(home)
    return home


def _settings(path: Path | None) -> Settings:
    from trunkline.config import load

    return load(path, environ=os.environ)


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here; say --yes")
    typer.confirm(question, abort=True, err=True)


def _tell(line: str) -> None:
    typer.echo(line, err=True)
