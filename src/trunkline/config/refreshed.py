"""What providers said of their prices and contexts when they were last asked: a file in the home folder.

It lies over the shipped catalogue (known.py) and under the configuration. ``trunkline catalog
refresh`` writes it; it is read at every start.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from trunkline.config.secrets import replace_private

if TYPE_CHECKING:
    from trunkline.config.settings import ModelSettings

FILE = "catalog.json"  # in the home folder


class Facts(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What a provider said of a model; None where it said nothing. Prices are nano-dollars per 1M tokens."""

    input: int | None = None
    cached_input: int | None = None
    output: int | None = None
    context: int | None = None
    max_output: int | None = None


class Refreshed(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What one provider said, and when and where.

    ``models`` is by public name; ``through`` holds what a router of providers said of each provider
    that it passes requests to.
    """

    at: datetime
    source: str
    models: dict[str, Facts] = {}
    through: dict[str, dict[str, Facts]] = {}

    def of(self, base_url: str) -> bool:
        """Whether it was said at this address: a provider pointed elsewhere is another one."""
        return self.source == source_of(base_url)


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: Literal[1] = 1
    providers: dict[str, Refreshed] = {}


def source_of(base_url: str) -> str:
    """Returns the address at which a provider lists its models."""
    return f"{base_url.rstrip('/')}/models"


def read(home: Path) -> dict[str, Refreshed]:
    """Returns what providers said, by provider; nothing if there is no file.

    Raises ValueError that says what is wrong with the file.
    """
    path = home / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File).providers
    except (FileNotFoundError, NotADirectoryError):  # who needs the home says what is wrong with it
        return {}
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not a catalogue of this version") from error


def write(home: Path, providers: Mapping[str, Refreshed]) -> Path:
    """Writes the file anew, whole or not at all; returns its path. Raises OSError."""
    document = msgspec.json.encode(_File(providers=dict(providers)))
    replace_private(home / FILE, msgspec.json.format(document, indent=1) + b"\n")
    return home / FILE


def over(settings: ModelSettings, facts: Facts | None) -> ModelSettings:
    """Lays what was said over what is known of a model."""
    return msgspec.structs.replace(settings, **_said(facts)) if facts else settings


def under(settings: ModelSettings, facts: Facts | None) -> ModelSettings:
    """Lays what was said under what a configuration says of a model."""
    lacking = {k: v for k, v in _said(facts).items() if getattr(settings, k) is None}
    return msgspec.structs.replace(settings, **lacking) if lacking else settings


def _said(facts: Facts | None) -> dict[str, int]:
    return (
        {k: v for k, v in msgspec.structs.asdict(facts).items() if v is not None} if facts else {}
    )
