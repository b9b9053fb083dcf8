"""``trunkline keys``: make, list, show, limit and revoke API keys, also while a server runs."""

from __future__ import annotations

import asyncio
import datetime
import os
import re
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from trunkline import ids
from trunkline.cli.config import ConfigOption, JSONOption
from trunkline.cli.database import open_configured
from trunkline.cli.limits import (
    NONE,
    ConcurrencyOption,
    DenyModelsOption,
    DenyProvidersOption,
    MaxPriceOption,
    ModelsOption,
    ProvidersOption,
    RateOption,
    merged,
    public,
    told,
    warn_of_unknown,
)
from trunkline.cli.output import print_json, print_table
from trunkline.errors import TrunklineError
from trunkline.store import NO_LIMITS, Key

app = typer.Typer(help="Make, list, show, limit and revoke API keys.")

_COLUMNS = ("id", "account", "name", "begins", "state", "created", "expires", "limits")
_SPAN = re.compile(r"([1-9]\d{0,5})([dh])")


def moment(text: str) -> datetime.datetime:
    """Reads when a key ends: in ``30d`` or ``12h``, or at an ISO date or time, in UTC unless it says else.

    Raises:
        typer.BadParameter: it is none of these, or past.
    """
    if span := _SPAN.fullmatch(text):
        hours = int(span[1]) * (24 if span[2] == "d" else 1)
        return ids.now() + datetime.timedelta(hours=hours)
    try:
        at = datetime.datetime.fromisoformat(text)
        at = (at if at.tzinfo else at.replace(tzinfo=datetime.UTC)).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter("expected '30d', '12h' or a date such as 2027-01-31") from None
    if at <= ids.now():
        raise typer.BadParameter(f"'{text}' is past")
    return at


def account_name(text: str) -> str:
    """Reads the name of an account.

    Raises:
        typer.BadParameter: it is empty, or nothing that a table could show.
    """
    if not text.strip() or not text.isprintable():
        raise typer.BadParameter("expected a name of printable characters")
    return text


AccountOption = Annotated[
    str, typer.Option("--account", help="Account that owns the key.", parser=account_name)
]
OnlyAccountOption = Annotated[
    str | None, typer.Option("--account", help="Only this account's.", show_default=False)
]
ExpiryOption = Annotated[
    Any,
    typer.Option(
        "--expires",
        help="When it ends: 30d, 12h or an ISO date (UTC).",
        metavar="D",
        parser=moment,
        show_default=False,
    ),
]
KeyArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="Id, a unique beginning of it, or a key.", show_default=False
    ),
]


@app.command("create")
def create(
    name: Annotated[str, typer.Option("--name", help="What it is for.", show_default=False)] = "",
    account: AccountOption = "default",
    expires: ExpiryOption = None,
    models: ModelsOption = None,
    deny_models: DenyModelsOption = None,
    providers: ProvidersOption = None,
    deny_providers: DenyProvidersOption = None,
    max_price: MaxPriceOption = None,
    concurrency: ConcurrencyOption = None,
    rate: RateOption = None,
    as_json: JSONOption = False,
    config: ConfigOption = None,
) -> None:
    """Makes a key and prints it, this once."""
    from trunkline import accounts

    changes = merged(models, deny_models, providers, deny_providers, max_price, concurrency, rate)
    limits = msgspec.structs.replace(NO_LIMITS, **changes)
    warn_of_unknown(limits, config)

    async def run() -> accounts.NewKey:
        async with open_configured(config) as store:
            return await accounts.create(
                store, name=name, account=account, expires_at=expires, limits=limits
            )

    made = asyncio.run(run())
    if as_json:
        print_json({"key": made.key, **_public(made.record, account)})
        return
    typer.echo(made.key)
    typer.echo(f"{made.record.id} of account '{account}'; the key is not shown again", err=True)


@app.command("ls")
def ls(
    account: OnlyAccountOption = None,
    as_json: JSONOption = False,
    config: ConfigOption = None,
) -> None:
    """Lists keys, the oldest first; never the keys themselves."""

    async def run() -> list[dict[str, Any]]:
        async with open_configured(config) as store:
            names = _names(await store.accounts.all_accounts(), account)
            keys = await store.keys.of_all_accounts()
        return [_public(key, names[key.account_id]) for key in keys if key.account_id in names]

    found = asyncio.run(run())
    if as_json:
        print_json(found)
    else:
        print_table(_COLUMNS, map(_row, found))


@app.command("show")
def show(
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]",
            help="Tells of that key instead: an id, a unique beginning of it, or a key.",
            show_default=False,
        ),
    ] = None,
    as_json: JSONOption = False,
    config: ConfigOption = None,
) -> None:
    """Prints the first key of this installation, and nothing else."""
    if key is not None:
        _tell(*_found(key, config), as_json=as_json)
        return
    first = _first_key()
    if as_json:
        print_json({"key": first})
    else:
        typer.echo(first)


def _first_key() -> str:
    from trunkline import config

    home = config.home(os.environ)
    key = config.first_key(home)
    if key is None:
        raise TrunklineError(
            f"no first key in '{home}'; 'trunkline serve' makes it, 'trunkline keys create' another"
        )
    return key


def _found(start: str, config: Path | None) -> tuple[Key, str]:
    """Returns the key that is meant, and its account's name."""
    from trunkline import accounts

    async def run() -> tuple[Key, str]:
        async with open_configured(config) as store:
            found = await accounts.find(store, start)
            return found, _names(await store.accounts.all_accounts(), None)[found.account_id]

    return asyncio.run(run())


def _tell(key: Key, account: str, *, as_json: bool) -> None:
    if as_json:
        print_json(_public(key, account))
        return
    shown = _public(key, account)
    facts = dict(zip(_COLUMNS[:-1], _row(shown), strict=False))
    for name, value in {**facts, **told(shown["limits"])}.items():
        typer.echo(f"{name:<14} {value}")


@app.command("limit")
def limit(
    key: KeyArgument,
    models: ModelsOption = None,
    deny_models: DenyModelsOption = None,
    providers: ProvidersOption = None,
    deny_providers: DenyProvidersOption = None,
    max_price: MaxPriceOption = None,
    concurrency: ConcurrencyOption = None,
    rate: RateOption = None,
    as_json: JSONOption = False,
    config: ConfigOption = None,
) -> None:
    """Changes what a key may use, option by option; running servers heed it within a second."""
    from trunkline import accounts

    changes = merged(models, deny_models, providers, deny_providers, max_price, concurrency, rate)
    if not changes:
        raise typer.BadParameter(f"give what to change, such as '--rate 60/min' or '--rate {NONE}'")

    async def run() -> tuple[Key, str]:
        async with open_configured(config) as store:
            changed = await accounts.limit(
                store, key, lambda limits: msgspec.structs.replace(limits, **changes)
            )
            return changed, _names(await store.accounts.all_accounts(), None)[changed.account_id]

    changed, account = asyncio.run(run())
    warn_of_unknown(changed.limits, config)
    _tell(changed, account, as_json=as_json)


@app.command("revoke")
def revoke(
    key: KeyArgument,
    config: ConfigOption = None,
) -> None:
    """Ends a key for good; running servers refuse it within a second."""
    from trunkline import accounts

    async def run() -> Key:
        async with open_configured(config) as store:
            return await accounts.revoke(store, key)

    typer.echo(f"revoked {asyncio.run(run()).id}", err=True)


def _names(everyone: Any, only: str | None) -> dict[str, str]:
    """Returns the names of accounts by id, of one account if one is asked for."""
    names = {account.id: account.name for account in everyone if only in (None, account.name)}
    if only is not None and not names:
        raise TrunklineError(f"no account '{only}'; 'trunkline keys create --account' makes one")
    return names


def _public(key: Key, account: str) -> dict[str, Any]:
    return {
        "id": key.id,
        "account": account,
        "name": key.name,
        "prefix": key.prefix,
        "state": _state(key),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "limits": public(key.limits),
    }


def _state(key: Key) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= ids.now():
        return "expired"
    return "valid"


def _row(key: dict[str, Any]) -> tuple[str, ...]:
    times = (_minute(key["created_at"]), _minute(key["expires_at"]))
    limits = " ".join(f"{name}={value}" for name, value in told(key["limits"]).items())
    begins = f"{key['prefix']}…"
    return (key["id"], key["account"], key["name"], begins, key["state"], *times, limits or "none")


def _minute(at: datetime.datetime | None) -> str:
    return "never" if at is None else f"{at:%Y-%m-%d %H:%M}"
