"""Writes what the reference pages take from the code: ``python -m tests.tools.reference_pages``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import typer

from tests.tools.pages import DOCS
from trunkline.accounts import usd
from trunkline.api.openapi import description
from trunkline.cli import app
from trunkline.cli.offers import told
from trunkline.config import Quirks, known
from trunkline.providers import parameters as parameters_table
from trunkline.wire import chat, embeddings
from trunkline.wire.chat import Fate
from trunkline.wire.responses import requests


def commands() -> str:
    """Returns a section for each command: its usage, what it does, its arguments and options."""
    return "\n".join(
        "\n".join(_section(path, command)) for path, command in _leaves(typer.main.get_command(app))
    )


def _leaves(command: Any, path: str = "trunkline") -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", {})
    if not inner:
        yield path, command
    for name, child in inner.items():
        yield from _leaves(child, f"{path} {name}")


def _section(path: str, command: Any) -> Iterator[str]:
    yield f"## `{path}`\n"
    yield f"{command.help}\n"
    if command.params:
        yield "| option | what it does |\n|---|---|"
    for parameter in command.params:
        yield f"| `{_written(parameter)}` | {parameter.help}{_default(parameter)} |"
    yield ""


def _written(parameter: Any) -> str:
    name: str = parameter.metavar or parameter.name.upper()
    if parameter.param_type_name == "argument":
        return name
    flag = ", ".join(parameter.opts)
    return flag if parameter.is_flag else f"{flag} {name}"


def _default(parameter: Any) -> str:
    variable = f" Or `{parameter.envvar}`." if parameter.envvar else ""
    return variable + (f" Default `{parameter.default}`." if parameter.default else "")


def parameters() -> str:
    """Returns the table of a chat completion's parameters."""
    schema = description()["components"]["schemas"]["ChatParameters"]
    head = "| parameter | type | embedded engine | remarks |\n|---|---|---|---|\n"
    return head + "".join(
        f"| `{name}` | {_type(schema['properties'][name])}"
        f"{', required' if name in schema['required'] else ''} | {one.engine} | {one.note or '–'} |\n"
        for name, one in chat.PARAMETERS.items()
    )


def response_parameters() -> str:
    """Returns the table of what a response can be asked for."""
    within = {name.partition(".")[0] for name in requests.INSIDE}
    rows: dict[str, requests.ResponsesParameter] = {}
    for name, one in requests.PARAMETERS.items():
        if name in within:
            inside = (inner for inner in requests.INSIDE if inner.startswith(f"{name}."))
            rows |= {inner: requests.INSIDE[inner] for inner in inside}
        else:
            rows[name] = one
    return "| parameter | what becomes of it | remarks |\n|---|---|---|\n" + "".join(
        f"| `{name}` | {one.fate}{'' if one.droppable else ', never left out'} | {one.note or '–'} |\n"
        for name, one in rows.items()
    )


def texts() -> str:
    """Returns the table of an embedding request's parameters."""
    required = {"model", "input"}
    return "| parameter | remarks |\n|---|---|\n" + "".join(
        f"| `{name}`{', required' if name in required else ''} | {note} |\n"
        for name, note in embeddings.PARAMETERS.items()
    )


def _type(schema: dict[str, Any]) -> str:
    """Puts a JSON schema into a few words."""
    match schema:
        case {"anyOf": variants}:
            return " or ".join(_type(v) for v in variants if v.get("type") != "null")
        case {"enum": values}:
            return ", ".join(f"`{value}`" for value in values)
        case {"$ref": _} | {"type": "object"}:
            return "object"
        case {"type": "array", "items": items}:
            most = f"up to {schema['maxItems']} " if "maxItems" in schema else ""
            return f"list of {most}{_type(items)}s"
        case {"type": str() as name}:
            return f"{name}{_range(schema)}"
    return "JSON"


def _range(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        return f", above {schema['exclusiveMinimum']} to {high}"
    if low is None:
        return ""
    if high is None:
        return f", {low} or more"
    return ", 64 bits" if high == 2**63 - 1 else f", {low} to {high}"


def providers() -> str:
    """Returns the table of the known providers."""
    head = "| name | provider | key | address | as of |\n|---|---|---|---|---|\n"
    return head + "".join(
        f"| `{name}` | {one.title} | {_variables(one.key_env)}{_prefix(one)} | "
        f"`{one.base_url}`{_parts(one)} | {one.checked} |\n"
        for name, one in known.providers().items()
    )


def _variables(names: tuple[str, ...]) -> str:
    return " or ".join(f"`{name}`" for name in names)


def _prefix(one: known.KnownProvider) -> str:
    return f", beginning with `{one.key_prefix}`" if one.key_prefix else ""


def _parts(one: known.KnownProvider) -> str:
    told = (f"`{{{part}}}` from {_variables(names)}" for part, names in one.parts.items())
    return f"; {', '.join(told)}" if one.parts else ""


def routed() -> str:
    """Returns the list of providers that each router of providers passes requests to."""
    return "".join(
        f"- `{name}`: {', '.join(f'`{slug}`' for slug in one.routes)}\n"
        for name, one in known.providers().items()
        if one.routes
    )


def deviations() -> str:
    """Returns the table of the known providers' quirks."""
    head = "| provider | quirks |\n|---|---|\n"
    quirks = {name: _quirks(one) for name, one in known.providers().items()}
    return head + "".join(f"| `{name}` | {listed} |\n" for name, listed in quirks.items() if listed)


def _own_quirks(one: known.KnownProvider) -> dict[str, Any]:
    """Returns the quirks without what nearly all known providers lack, which has a page of its own."""
    quirks = msgspec.structs.asdict(one.quirks)
    common = known.common()
    return quirks | {"unsupported": tuple(n for n in quirks["unsupported"] if n not in common)}


def _quirks(one: known.KnownProvider) -> str:
    set_here = {
        key: value for key, value in _own_quirks(one).items() if value != getattr(Quirks(), key)
    }
    return ", ".join(
        f"`{key} = {msgspec.json.encode(value).decode()}`" for key, value in set_here.items()
    )


def features() -> str:
    """Returns the table of what a request can ask for, and what becomes of it where it is lacking."""
    head = (
        "| asked for | where a provider lacks it | others are asked first | embedded engine |\n"
        "|---|---|---|---|\n"
    )
    return head + "".join(
        f"| {_asked(name, one)} | {one.lacking}{f': {one.note}' if one.note else ''} | "
        f"{'yes' if one.routed_around else 'no'} | {_at_engine(name)} |\n"
        for name, one in parameters_table.FEATURES.items()
    )


def _asked(name: str, feature: parameters_table.Feature) -> str:
    written = f"`{name}`" if " with " not in name else f"`{feature.parameter}` beside `tools`"
    return written if feature.droppable else f"{written} (never left out)"


def _at_engine(name: str) -> str:
    fate = parameters_table.engine_support().fate(name)
    return str(
        fate
        if fate is not Fate.PASSED
        else chat.PARAMETERS[parameters_table.FEATURES[name].parameter].engine
    )


def lacking() -> str:
    """Returns what each known provider lacks beyond what nearly all of them do, by its fate."""
    head = "| provider | renamed | emulated | refused | accepted and ignored |\n|---|---|---|---|---|\n"
    plain = set(known.common()) | set(_of_all())
    rows = {
        name: parameters_table.support_of(one.quirks) for name, one in known.providers().items()
    }
    return head + "".join(
        f"| `{name}` | {' | '.join(_named(sorted(some - plain)) for some in _sets(support))} |\n"
        for name, support in rows.items()
        if frozenset[str]().union(*_sets(support)) - plain
    )


def taken() -> str:
    """Returns the list of providers that take what nearly none does."""
    return "".join(
        f"- `{name}`: {', '.join(f'`{parameter}`' for parameter in one.takes)}\n"
        for name, one in known.providers().items()
        if one.takes
    )


def _of_all() -> frozenset[str]:
    return frozenset[str]().union(*_sets(parameters_table.support_of(Quirks())))


def _sets(support: parameters_table.Support) -> list[frozenset[str]]:
    return [support.renamed, support.emulated, support.refused, support.ignored]


def _named(features: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in features) or "–"


def missing_everywhere() -> str:
    """Returns what no provider of the dialect is asked for unless its quirks say so, by its fate."""
    support = parameters_table.support_of(Quirks())
    titles = ("renamed", "emulated", "refused", "accepted and ignored")
    return (
        "".join(
            f"- {title}: {_named(sorted(some))}\n"
            for title, some in zip(titles, _sets(support), strict=True)
            if some
        )
        + f"- as what known providers do not take: {_named(sorted(known.common()))}\n"
    )


def models() -> str:
    """Returns a table for each known model: who offers it, at what price, with which abilities."""
    return "\n".join(
        f"### `{model}`\n\n{_OFFERS}{''.join(_offer(model, *named) for named in offers.items())}"
        for model, offers in known.models().items()
    )


_OFFERS = (
    "| provider | its id | input | cached | output | context | longest reply | known of it | as of |\n"
    f"|{'---|' * 9}\n"
)


def _offer(model: str, provider: str, offer: known.Offer) -> str:
    facts = offer.settings
    prices = (facts.input, facts.cached_input, facts.output)
    cells = [
        f"`{provider}`",
        f"`{facts.id or model}`{' (not verified)' if offer.unverified else ''}",
        *("–" if price is None else usd(price) for price in prices),
        *(f"{count:,}" if count else "–" for count in (facts.context, facts.max_output)),
        "; ".join(told(facts)),
        f"{offer.checked}",
    ]
    return f"| {' | '.join(cells)} |\n"


WRITTEN: dict[Path, dict[str, Callable[[], str]]] = {
    DOCS / "reference" / "command-line.md": {"commands": commands},
    DOCS / "reference" / "chat-completions.md": {"parameters": parameters},
    DOCS / "reference" / "responses.md": {"response parameters": response_parameters},
    DOCS / "reference" / "embeddings.md": {"embeddings": texts},
    DOCS / "reference" / "parameters.md": {
        "features": features,
        "lacking everywhere": missing_everywhere,
        "taken": taken,
        "lacking": lacking,
    },
    DOCS / "reference" / "providers.md": {
        "providers": providers,
        "routed": routed,
        "quirks": deviations,
        "models": models,
    },
}


def with_written(page: Path) -> str:
    """Returns the page with each part that comes from the code put between its two comments."""
    text = page.read_text(encoding="utf-8")
    for name, write in WRITTEN[page].items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
        before, _, rest = text.partition(start)
        _, found, after = rest.partition(end)
        assert found, f"{page.name} lacks {start!r} … {end!r}"
        text = f"{before}{start}\n{write().strip()}\n\n{end}{after}"
    return text


if __name__ == "__main__":
    for path in WRITTEN:
        path.write_text(with_written(path), encoding="utf-8")
