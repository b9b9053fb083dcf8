"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from io import TextIOWrapper
from typing import Any

_UNBOUNDED = 10_000  # columns: a pipe has no edge at which to cut


def print_json(value: Any) -> None:
    """Prints one value as indented JSON."""
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints rows under their headings; the last column wraps at the terminal's edge."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in table.columns[:-1]:
        column.no_wrap = True
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    width = None if sys.stdout.isatty() else _UNBOUNDED
    Console(width=width, highlight=False).print(table)


def tolerate(*streams: object) -> None:
    """Makes streams write a question mark for what their encoding lacks, instead of failing."""
    for stream in streams:
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def warn(message: str) -> None:
    """Tells the operator something on stderr."""
    print(f"trunkline: warning: {message}", file=sys.stderr)
