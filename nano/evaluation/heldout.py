"""The words that the evaluation asks about and that no corpus may contain: ``heldout.toml``, read."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path

import msgspec

_FILE = Path(__file__).with_name("heldout.toml")


class Values(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is neither a person nor a place."""

    codes: tuple[str, ...]
    paths: tuple[str, ...]
    phrases: tuple[str, ...]
    colours: tuple[str, ...]
    things: tuple[str, ...]


class HeldOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of the file; what each list means stands in it."""

    people: tuple[str, ...]
    places: tuple[str, ...]
    repositories: tuple[str, ...]
    tools: tuple[str, ...]
    nouns: tuple[str, ...]
    schemas: tuple[tuple[str, ...], ...]
    values: Values

    @property
    def texts(self) -> tuple[str, ...]:
        """Every value that may stand in a request, of whatever kind."""
        values = self.values
        kinds = (values.codes, values.paths, values.phrases, values.colours, values.things)
        return sum(kinds, (*self.people, *self.places, *self.repositories))


HELD_OUT = msgspec.toml.decode(_FILE.read_bytes(), type=HeldOut)


def take(words: tuple[str, ...], count: int, *, start: int = 0) -> list[str]:
    """Returns ``count`` words beginning at ``start``, from the first again after the last."""
    return list(islice(cycle(words), start, start + count))
