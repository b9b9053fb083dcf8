"""The real weights: which models can be pulled, and what of them lies in the home folder.

Fetching them is pull.py's.
"""

from __future__ import annotations

import difflib
import re
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from trunkline.engine.model import Figures, Model, ModelCard, open_file
from trunkline.errors import PullError, StartError
from trunkline.log import get_logger

WEIGHTS = Path(__file__).with_name("models") / "weights.toml"
PARTIAL = ".partial"
"""Ends the name of a file that is not whole, or whose checksum has not been verified."""
MANIFEST = "manifest.json"

State = Literal["absent", "incomplete", "pulled"]

log = get_logger()


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published model: its public ``name``, and where the hub has it.

    ``file`` is the stem of its files' names; see ``files``.
    """

    name: str = ""
    description: str
    repository: str
    file: str
    knowledge_cutoff: str
    figures: Figures

    def files(self, listed: list[HubFile]) -> tuple[HubFile, ...]:
        """Returns this model's files among those of its repository, in order.

        They are STEM.gguf or, of a split one, all STEM-0000N-of-0000M.gguf, in any case of letters.
        Raises PullError if there is neither, or not every part.
        """
        pattern = re.compile(
            rf"(?P<stem>{re.escape(self.file)})(-\d{{5}}-of-(?P<count>\d{{5}}))?\.gguf",
            re.IGNORECASE,
        )
        spelled: dict[tuple[int, str], list[HubFile]] = {}
        for file in sorted(listed):
            if match := pattern.fullmatch(file.name):
                spelled.setdefault((int(match["count"] or 1), match["stem"]), []).append(file)
        for (count, _), files in sorted(spelled.items()):
            if len(files) == count:
                return tuple(files)
        shown = (file.name for file in listed if file.name.isprintable())  # on a terminal
        names = ", ".join(name for name in shown if name.endswith(".gguf"))
        raise PullError(
            f"the repository {self.repository} has no {self.file}.gguf, whole or in parts; it has "
            f"{names or 'no GGUF file'}: update trunkline, or use another file with serve --model"
        )


class HubFile(msgspec.Struct, frozen=True, order=True):
    """A file of a repository, as the hub describes it."""

    name: str
    size_bytes: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Manifest(msgspec.Struct, frozen=True):
    """What is being pulled, or was: kept beside the files, as ``manifest.json``."""

    repository: str
    revision: str
    files: tuple[HubFile, ...]


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of a model in ``folder``; ``have_bytes`` of ``size_bytes``.

    ``path`` is the first of its files, None unless it has been pulled whole.
    """

    state: State
    folder: Path
    size_bytes: int
    have_bytes: int
    manifest: Manifest | None = None

    @property
    def path(self) -> Path | None:
        if self.state != "pulled" or self.manifest is None:
            return None
        return self.folder / self.manifest.files[0].name


@cache
def published() -> dict[str, Weights]:
    """Returns what can be pulled, by name."""
    tables = tomllib.loads(WEIGHTS.read_text(encoding="utf-8"))
    return {
        name: msgspec.structs.replace(weights, name=name)
        for name, weights in msgspec.convert(tables, dict[str, Weights]).items()
    }


def find(name: str) -> Weights:
    """Returns the model of that name. Raises PullError with the closest names if there is none."""
    known = published()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}"
    raise PullError(f"no model '{name}' can be pulled; {hint}")


def folder(home: Path, weights: Weights) -> Path:
    """Returns where a model's files lie, or would."""
    return home.joinpath("models", *weights.name.split("/"))


def stored(home: Path, weights: Weights) -> Stored:
    """Looks at what there is of a model, without opening it."""
    place = folder(home, weights)
    manifest = read_manifest(place)
    if manifest is None:
        begun = place.is_dir() and any(place.iterdir())
        return Stored(
            state="incomplete" if begun else "absent",
            folder=place,
            size_bytes=weights.figures.size_bytes,
            have_bytes=0,
        )
    have = [_size(place / file.name) for file in manifest.files]
    whole = have == [file.size_bytes for file in manifest.files]
    partial = [_size(place / f"{file.name}{PARTIAL}") or 0 for file in manifest.files]
    return Stored(
        state="pulled" if whole else "incomplete",
        folder=place,
        size_bytes=sum(file.size_bytes for file in manifest.files),
        have_bytes=sum(size or 0 for size in have) + (0 if whole else sum(partial)),
        manifest=manifest,
    )


def pulled(home: Path) -> list[Model]:
    """Opens the models that have been pulled whole; what cannot be used is logged and left out."""
    models = []
    for weights in published().values():
        path = stored(home, weights).path
        if path is None:
            continue
        try:
            models.append(opened(weights, path))
        except StartError as error:
            log.warning("pulled_model_unusable", model=weights.name, error=error.message)
    return models


def opened(weights: Weights, path: Path) -> Model:
    """Opens a pulled model. Raises StartError as ``open_file`` does."""
    card = ModelCard(
        name=weights.name,
        description=weights.description,
        knowledge_cutoff=weights.knowledge_cutoff,
    )
    return Model(card, open_file(path))


def remove(home: Path, weights: Weights) -> int:
    """Deletes what there is of a model and returns how many bytes it had.

    Raises PullError as ``alone`` does, or if the files cannot be deleted.
    """
    place = folder(home, weights)
    with alone(home, weights):
        had = stored(home, weights).have_bytes
        try:
            shutil.rmtree(place)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise PullError(f"cannot delete {place}: {error.strerror}") from error
    return had


@contextmanager
def alone(home: Path, weights: Weights) -> Iterator[None]:
    """Keeps other pulls and removals of this model out.

    Raises PullError if one is running, or if the folder cannot be written to.
    """
    from filelock import FileLock, Timeout

    place = folder(home, weights)
    lock = FileLock(place.with_name(f".{place.name}.lock"), blocking=False)
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = lock.acquire()
    except Timeout as error:
        raise PullError(
            f"{weights.name} is being pulled by another process; wait for it"
        ) from error
    except OSError as error:
        raise PullError(
            f"cannot write in {place.parent}: {error.strerror}; "
            "set TRUNKLINE_HOME to a folder of yours"
        ) from error
    with held:
        yield


def read_manifest(place: Path) -> Manifest | None:
    """Returns what is being pulled into a folder, or was; None if that is not known."""
    try:
        return msgspec.json.decode((place / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        return None


def write_manifest(place: Path, manifest: Manifest) -> None:
    """Notes what is being pulled, in one step. Raises OSError."""
    draft = place / f"{MANIFEST}{PARTIAL}"
    draft.write_bytes(msgspec.json.encode(manifest))
    draft.replace(place / MANIFEST)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
