"""Writes the tables of docs/reference/configuration.md: ``python -m tests.tools.config_page``."""

from __future__ import annotations

from pathlib import Path

from trunkline import config

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"
_TABLES = {
    **config.SECTIONS,
    "providers.NAME": config.ProviderSettings,
    "providers.NAME.models.MODEL": config.ModelSettings,
    "providers.NAME.quirks": config.Quirks,
    "mcp.servers.NAME": config.MCPServerSettings,
}


def with_tables(page: str) -> str:
    """Returns the page with the table of each section put between its two comments."""
    for section in _TABLES:
        start, end = f"<!-- keys of {section} -->\n", f"<!-- end of {section} -->\n"
        before, _, rest = page.partition(start)
        _, found, after = rest.partition(end)
        assert found, f"{PAGE.name} lacks {start!r} … {end!r}"
        page = f"{before}{start}{_table(section)}{end}{after}"
    return page


def _table(section: str) -> str:
    keys = config.describe(_TABLES[section])
    if section not in config.SECTIONS:
        head = "| key | type | default | what it does |\n|---|---|---|---|\n"
        return head + "".join(_row(key) for key in keys)
    head = "| key | type | default | environment variable | what it does |\n|---|---|---|---|---|\n"
    return head + "".join(_row(key, config.variable(section, key.name)) for key in keys)


def _row(key: config.Key, variable: str | None = None) -> str:
    default = "required" if key.required else f"`{key.default}`" if key.default else "not set"
    cells = [f"`{key.name}`", key.type, default, f"`{variable}`" if variable else None]
    shown = [cell for cell in (*cells, key.description) if cell]
    return f"| {' | '.join(shown)} |\n"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
