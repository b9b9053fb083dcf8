"""Fetches the files of a model: into partial files that a later pull continues, each checked whole."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol

from trunkline.engine.hub import Hiccup, Hub, Listing
from trunkline.engine.size import size
from trunkline.engine.weights import (
    MANIFEST,
    PARTIAL,
    HubFile,
    Manifest,
    Stored,
    Weights,
    alone,
    folder,
    opened,
    read_manifest,
    stored,
    write_manifest,
)
from trunkline.errors import PullError, StartError

DELAYS_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""The waits between tries in which nothing arrived; when they are used up, the pull gives up."""
# The hub's network delivers no more than 50 GB in one answer, however large the file:
# https://github.com/huggingface/xet-core/issues/238
_SLICE = 8 << 30
_SPARE = 64 << 20  # bytes left free, for the database beside the models
_BLOCK = 4 << 20
_LISTING_TRIES = 2  # who is offline should be told within seconds
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Progress(Protocol):
    """Who is told how a pull gets on."""

    def fetching(self, file: HubFile, have: int) -> None:
        """A file is being fetched, of which ``have`` bytes are there."""

    def checking(self, file: HubFile) -> None:
        """A file has arrived, and its checksum is being computed."""

    def at(self, done: int) -> None:
        """Of the file ``done`` bytes are there, or checked."""

    def waiting(self, why: str, delay_s: float) -> None:
        """The hub failed; it is asked again after the delay."""


def free_bytes(path: Path) -> int:
    """Returns what this user may still write where ``path`` lies."""
    return shutil.disk_usage(path).free


def pull(
    weights: Weights,
    home: Path,
    *,
    hub: Hub,
    progress: Progress,
    free: Callable[[Path], int] = free_bytes,
    delays_s: Sequence[float] = DELAYS_S,
) -> Stored:
    """Fetches what is missing of a model and returns what there is then: all of it.

    What an earlier pull has left is continued if the hub still has the same file. Raises PullError
    that says what is in the way and what to do.
    """
    with alone(home, weights):
        listing = _listing(hub, weights, _Patience(hub, progress, delays_s[:_LISTING_TRIES]))
        files = weights.files(listing.files)
        place = folder(home, weights)
        try:
            place.mkdir(mode=0o700, exist_ok=True)
            _drop_others(place, files)
            _check_space(weights, place, files, free)
            write_manifest(place, Manifest(weights.repository, listing.revision, files))
            for file in files:
                if not (place / file.name).exists():
                    _fetch(hub, listing, file, place, progress, _Patience(hub, progress, delays_s))
                    _verify(file, place, progress)
        except OSError as error:
            raise _unwritable(place, error) from error
        _check_usable(weights, place / files[0].name)
        return stored(home, weights)


class _Patience:
    """Waits between tries, longer each time; whatever arrives restores it."""

    def __init__(self, hub: Hub, progress: Progress, delays_s: Sequence[float]) -> None:
        self._hub = hub
        self._progress = progress
        self._delays_s = delays_s
        self._left = iter(delays_s)

    def restore(self) -> None:
        self._left = iter(self._delays_s)

    def wait(self, hiccup: Hiccup) -> None:
        """Waits before the next try. Raises PullError if there have been enough."""
        delay_s = next(self._left, None)
        if delay_s is None:
            raise PullError(
                f"{self._hub.endpoint} fails: {hiccup}; check the network and HF_ENDPOINT, then run "
                "the same command again: it continues what is there"
            ) from hiccup
        self._progress.waiting(str(hiccup), delay_s)
        time.sleep(delay_s)


def _listing(hub: Hub, weights: Weights, patience: _Patience) -> Listing:
    while True:
        try:
            return hub.listing(weights.repository)
        except Hiccup as hiccup:
            patience.wait(hiccup)


def _drop_others(place: Path, files: Sequence[HubFile]) -> None:
    """Deletes what an earlier pull has left of files that the hub has replaced since.

    The manifest stays until there is a newer one: it tells what the partial files are parts of.
    """
    manifest = read_manifest(place)
    before = () if manifest is None else manifest.files
    sizes = {file.name: file.size_bytes for file in files if file in before}
    for path in place.iterdir():
        partial = path.name.endswith(PARTIAL)
        size = sizes.get(path.name.removesuffix(PARTIAL))
        if path.name == MANIFEST:
            continue
        if size is None or (not partial and path.stat().st_size != size):
            path.unlink()


def _check_space(
    weights: Weights, place: Path, files: Sequence[HubFile], free: Callable[[Path], int]
) -> None:
    missing = sum(file.size_bytes - _have(place, file) for file in files)
    left = free(place)
    if missing and missing + _SPARE > left:
        raise PullError(
            f"{weights.name} needs {missing:,} more bytes ({size(missing)}) in {place}, "
            f"where {left:,} ({size(left)}) are free: free some space, or set "
            "TRUNKLINE_HOME to a folder on a larger disk"
        )


def _have(place: Path, file: HubFile) -> int:
    for path in (place / file.name, place / f"{file.name}{PARTIAL}"):
        if path.exists():
            return min(path.stat().st_size, file.size_bytes)
    return 0


def _fetch(
    hub: Hub,
    listing: Listing,
    file: HubFile,
    place: Path,
    progress: Progress,
    patience: _Patience,
) -> None:
    with (place / f"{file.name}{PARTIAL}").open("ab") as out:
        progress.fetching(file, out.tell())
        while (have := out.tell()) < file.size_bytes:
            stop = min(have + _SLICE, file.size_bytes)
            try:
                with closing(hub.read(listing, file, start=have, stop=stop)) as arriving:
                    for data in arriving:
                        out.write(data)
                        progress.at(out.tell())
                        patience.restore()
                if out.tell() == have:
                    raise Hiccup("it sent nothing")
            except Hiccup as hiccup:
                patience.wait(hiccup)
        out.flush()
        os.fsync(out.fileno())  # what is verified next should be what a power cut leaves


def _verify(file: HubFile, place: Path, progress: Progress) -> None:
    """Gives a file its name if its content is what the hub says; else deletes it."""
    partial = place / f"{file.name}{PARTIAL}"
    digest = hashlib.sha256()
    progress.checking(file)
    with partial.open("rb") as content:
        while block := content.read(_BLOCK):
            digest.update(block)
            progress.at(content.tell())
    if digest.hexdigest() != file.sha256:
        partial.unlink()
        raise PullError(
            f"{file.name} is not what the hub describes: its sha256 is {digest.hexdigest()}, not "
            f"{file.sha256}; the file was deleted, run the same command again to fetch it anew"
        )
    partial.replace(place / file.name)


def _check_usable(weights: Weights, path: Path) -> None:
    try:
        opened(weights, path)
    except StartError as error:
        raise PullError(f"{weights.name} is here as published, but: {error.message}") from error


def _unwritable(place: Path, error: OSError) -> PullError:
    if error.errno in _FULL:
        return PullError(
            f"no more can be written in {place} ({error.strerror}): free some space and run the same "
            "command again: it continues what is there"
        )
    return PullError(
        f"cannot write in {place}: {error.strerror}; set TRUNKLINE_HOME to a folder of yours"
    )
