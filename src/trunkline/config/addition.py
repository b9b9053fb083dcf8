"""Tables added to a configuration file whose every line stays as its writer left it."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from trunkline.config.secrets import create_private, replace_private
from trunkline.errors import ConfigError


def table(name: str, values: Mapping[str, Any], *, comment: str = "") -> str:
    """Renders a table; values are strings, integers and booleans.

    >>> print(table(key("providers", "a b"), {"local": True}), end="")
    [providers."a b"]
    local = true
    """
    lines = [f"# {comment}"] if comment else []
    lines += [f"[{name}]", *(f"{key} = {_value(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def key(*names: str) -> str:
    """Renders a dotted key, quoting the parts that need it."""
    return ".".join(name if _is_bare(name) else _value(name) for name in names)


def add(file: Path, tables: str) -> None:
    """Adds tables to the end of a file, or makes the file.

    The rest of it stays as it is: comments, order, line ends, permissions. Raises ConfigError that
    shows what to add by hand if the file has no room for them, as where a table is written inline.
    """
    try:
        if not file.exists():
            create_private(file, tables.encode())
            return
        path = file.resolve()  # a link stays one
        before = path.read_bytes().decode()
        after = _joined(before, tables)
        tomllib.loads(after)
        mode = stat.S_IMODE(path.stat().st_mode)
        replace_private(path, after.encode())
        path.chmod(mode)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{file}: has no room for these tables; add them by hand:\n{tables}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text"
        raise ConfigError(f"cannot write {file}: {reason}") from error


def _joined(before: str, tables: str) -> str:
    line_end = "\r\n" if "\r\n" in before else "\n"
    gap = "" if not before or before.endswith("\n") else line_end
    return f"{before}{gap}{line_end if before else ''}{tables.replace(chr(10), line_end)}"


def _value(value: str | int | bool) -> str:
    # What JSON escapes TOML does too; what it leaves, as 0x7f, must not come here.
    return msgspec.json.encode(value).decode()


def _is_bare(name: str) -> bool:
    return bool(name) and all(c.isascii() and (c.isalnum() or c in "-_") for c in name)
