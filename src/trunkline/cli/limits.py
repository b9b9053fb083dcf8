"""What a key may use: the options that say it, and what is told of it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer

from trunkline.cli.output import warn
from trunkline.store import Limits, Rate

Changes = dict[str, Any]
"""New values for fields of Limits: what one option, once it is read, amounts to."""

NONE = "none"
"""The value of each option that takes its limit away."""

_NAME = re.compile(r"[!-Z^-~]{1,512}")  # printable ASCII without spaces and brackets
_RATE = re.compile(r"([1-9][0-9]{0,8})/(s|min|h)")
_COUNT = re.compile(r"[1-9][0-9]{0,5}")
_SECONDS = {"s": 1, "min": 60, "h": 3600}
_UNITS = {seconds: unit for unit, seconds in _SECONDS.items()}


def _names(field: str) -> Callable[[str], Changes]:
    """Returns the reader of a list of names in which ``*`` stands for anything."""

    def read(text: str) -> Changes:
        if text == NONE:
            return {field: ()}
        found = [name.strip() for name in text.split(",")]
        for name in found:
            if not _NAME.fullmatch(name) or "?" in name:
                raise typer.BadParameter(f"{name!r} is no name; expected some such as 'a,b/*'")
        return {field: tuple(dict.fromkeys(found))}

    return read


def _prices(text: str) -> Changes:
    prompt, slash, completion = ("", "/", "") if text == NONE else text.partition("/")
    if not slash or text == "/":
        raise typer.BadParameter(
            f"{text!r} is no pair of prices; expected '0.15/0.60', '/0.60', '0.15/' or 'none'"
        )
    return {"max_input": _price(prompt), "max_output": _price(completion)}


def _price(text: str) -> int | None:
    from trunkline.config.values import nano_dollars

    if not text:
        return None
    try:
        return nano_dollars(Decimal(text))
    except InvalidOperation:
        raise typer.BadParameter(f"expected a price in USD, got {text!r}") from None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _concurrency(text: str) -> Changes:
    if text != NONE and not _COUNT.fullmatch(text):
        raise typer.BadParameter(f"{text!r} is no number from 1 to 999999, and not 'none'")
    return {"concurrency": None if text == NONE else int(text)}


def _rate(text: str) -> Changes:
    if text == NONE:
        return {"rate": None}
    found = _RATE.fullmatch(text)
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is no rate; expected one such as '5/s', '60/min', '1000/h' or 'none'"
        )
    return {"rate": Rate(int(found[1]), _SECONDS[found[2]])}


def merged(*changes: Changes | None) -> Changes:
    """Returns what several options amount to; None is one that was not given."""
    return {field: value for some in changes if some for field, value in some.items()}


def warn_of_unknown(limits: Limits, config: Path | None) -> None:
    """Warns of providers that nobody has heard of: a misspelt name would deny nobody."""
    from trunkline import config as configuration

    names = [name for name in (*limits.providers, *limits.deny_providers) if "*" not in name]
    if not names:
        return
    configured = configuration.load(config, environ=os.environ).providers
    known = {
        "local",
        *configuration.known.providers(),
        *configuration.known.routes(),
        *configured,
    }
    for name in names:
        if name not in known:
            warn(f"no provider '{name}' is known or configured; see 'trunkline providers ls'")


def public(limits: Limits) -> dict[str, Any]:
    """Returns what is limited, for programs; prices are decimal strings in USD per 1M tokens."""
    from trunkline.accounts import usd

    most = {"input": limits.max_input, "output": limits.max_output}
    facts = {
        "models": limits.models,
        "deny_models": limits.deny_models,
        "providers": limits.providers,
        "deny_providers": limits.deny_providers,
        "max_price": {name: usd(price) for name, price in most.items() if price is not None},
        "concurrency": limits.concurrency,
        "rate": _told_rate(limits.rate),
    }
    return {name: value for name, value in facts.items() if value}


def told(limits: dict[str, Any]) -> dict[str, str]:
    """Returns what is public of limits as the options would set it, by their names."""
    return {name.replace("_", "-"): _told(value) for name, value in limits.items()}


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value.get('input', '')}/{value.get('output', '')}"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _told_rate(rate: Rate | None) -> str:
    return "" if rate is None else f"{rate.requests}/{_UNITS[rate.seconds]}"


def _option(name: str, help: str, read: Callable[[str], Changes], metavar: str) -> Any:
    return typer.Option(name, help=help, parser=read, metavar=metavar, show_default=False)


ModelsOption = Annotated[
    Any, _option("--models", "Models it may ask for.", _names("models"), "NAMES")
]
DenyModelsOption = Annotated[
    Any, _option("--deny-models", "Models it may not ask for.", _names("deny_models"), "NAMES")
]
ProvidersOption = Annotated[
    Any, _option("--providers", "Who may answer it.", _names("providers"), "NAMES")
]
DenyProvidersOption = Annotated[
    Any, _option("--deny-providers", "Who may not.", _names("deny_providers"), "NAMES")
]
MaxPriceOption = Annotated[
    Any,
    _option(
        "--max-price",
        "The most that 1M prompt and completion tokens may cost in USD: 0.15/0.60.",
        _prices,
        "IN/OUT",
    ),
]
ConcurrencyOption = Annotated[
    Any, _option("--concurrency", "Requests that may run at a time.", _concurrency, "N")
]
RateOption = Annotated[
    Any, _option("--rate", "Requests that may begin: 5/s, 60/min, 1000/h.", _rate, "N/TIME")
]
