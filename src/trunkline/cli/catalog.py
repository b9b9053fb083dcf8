"""``trunkline catalog``: ask the providers what their models cost today."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.cli.config import ConfigOption, JSONOption
from trunkline.cli.output import print_json, print_table, warn

if TYPE_CHECKING:
    from trunkline.config import ProviderSettings, Settings
    from trunkline.providers.refresh import Change, Merged, Refusal

app = typer.Typer(help="Keep prices and contexts up to date.")


@app.callback()
def _catalog() -> None:
    """Keeps ``refresh`` a command of its own while it is the only one."""


@app.command("refresh")
def refresh(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PROVIDER]...",
            help="Whom to ask; all active ones without.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change.")
    ] = False,
    config: ConfigOption = None,
    as_json: JSONOption = False,
) -> None:
    """Asks the active providers for their prices and contexts; they hold from the next start on."""
    import asyncio

    from trunkline.cli.asking import lists
    from trunkline.config import home, load, refreshed
    from trunkline.errors import TrunklineError, UpstreamError
    from trunkline.ids import now
    from trunkline.providers.refresh import merged

    settings = load(config, environ=os.environ)
    asked = _asked(settings, names or ())
    answers = asyncio.run(lists(asked))
    at = now().replace(microsecond=0)
    failed = {n: a.public for n, a in answers.items() if isinstance(a, UpstreamError)}
    merges = {
        name: merged(name, asked[name], answer, settings.refreshed.get(name), at=at)
        for name, answer in answers.items()
        if not isinstance(answer, UpstreamError)
    }
    file = home(os.environ) / refreshed.FILE
    if merges and not dry_run:
        try:
            refreshed.write(
                file.parent, settings.refreshed | {n: m.refreshed for n, m in merges.items()}
            )
        except OSError as error:
            raise TrunklineError(f"cannot write {file}: {error.strerror}") from error
    if as_json:
        print_json(_public(merges, failed, file=None if dry_run or not merges else str(file)))
    else:
        _print(merges, written=f"in {file}" if not dry_run else "")
    for name, why in failed.items():
        warn(f"provider '{name}' {why}; what is known of it stays")
    if failed:
        raise typer.Exit(1)


def _asked(settings: Settings, names: Sequence[str]) -> dict[str, ProviderSettings]:
    from trunkline.cli.providers import active
    from trunkline.errors import TrunklineError

    if names:
        return {name: active(settings, name) for name in names}
    found = {n: p for n, p in settings.providers.items() if p.active and p.models}
    if not found:
        raise TrunklineError(
            "no provider is active; 'trunkline providers ls' shows what each lacks"
        )
    return found


def _public(
    merges: Mapping[str, Merged], failed: Mapping[str, str], *, file: str | None
) -> dict[str, Any]:
    return {
        "file": file,
        "asked": {
            name: {"at": m.refreshed.at, "source": m.refreshed.source, "not_listed": m.gone}
            for name, m in merges.items()
        },
        "changes": [
            {
                "provider": change.provider,
                "model": change.model,
                "fact": _public_name(change.fact),
                "before": _public_value(change.fact, change.before),
                "now": _public_value(change.fact, change.now),
                "configured": _public_value(change.fact, change.configured),
            }
            for change in _changes(merges)
        ],
        "refused": [
            {
                "provider": refusal.provider,
                "model": refusal.model,
                "fact": _public_name(refusal.fact),
                "said": refusal.said,
                "why": refusal.why,
            }
            for refusal in _refused(merges)
        ],
        "failed": failed,
    }


def _print(merges: Mapping[str, Merged], *, written: str) -> None:
    changes = list(_changes(merges))
    if changes:
        print_table(("MODEL", "PROVIDER", "FACT", "BEFORE", "NOW", "REMARK"), map(_row, changes))
    for refusal in _refused(merges):
        warn(
            f"{refusal.model} at {refusal.provider}: {_told(refusal.fact)} {refusal.said} is not "
            f"believed: {refusal.why}; [providers.{refusal.provider.partition(':')[0]}] models can say it"
        )
    for name, merge in merges.items():
        for model in merge.gone:
            warn(f"provider '{name}' does not list {model}; what is known of it stays")
    if merges:
        what = f"{len(changes)} changes" if changes else "nothing changed"
        typer.echo(f"{what}; {f'written {written}' if written else 'nothing written'}", err=True)


def _row(change: Change) -> tuple[str, ...]:
    here = change.configured
    remark = "" if here is None else f"the configuration's {_shown(change.fact, here)} holds"
    return (
        change.model,
        change.provider,
        _told(change.fact),
        _shown(change.fact, change.before),
        _shown(change.fact, change.now),
        remark,
    )


def _changes(merges: Mapping[str, Merged]) -> Iterator[Change]:
    return (change for merge in merges.values() for change in merge.changes)


def _refused(merges: Mapping[str, Merged]) -> Iterator[Refusal]:
    return (refusal for merge in merges.values() for refusal in merge.refused)


def _told(fact: str) -> str:
    return fact.replace("_", " ").replace("max ", "longest ")


def _shown(fact: str, value: int | None) -> str:
    if value is None:
        return "–"
    public = _public_value(fact, value)
    return public if isinstance(public, str) else f"{value:,}"


def _public_name(fact: str) -> str:
    from trunkline.providers.refresh import PRICES

    return f"{fact}_usd" if fact in PRICES else fact


def _public_value(fact: str, value: int | None) -> str | int | None:
    """Returns a price as a decimal of USD per 1M tokens, a count as it is."""
    from trunkline.accounts import usd
    from trunkline.providers.refresh import PRICES

    return usd(value) if value is not None and fact in PRICES else value
