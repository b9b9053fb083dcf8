"""The home folder: the secret from which an installation's keys are derived, and its first API key."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from trunkline.errors import ConfigError, StartError

KEY_FILE = "key"  # in the home folder
MIN_KEY = 16  # characters of a first API key, as for TRUNKLINE_BOOTSTRAP_KEY
_MIN_SECRET = 16


def home(environ: Mapping[str, str]) -> Path:
    """Returns the folder of all data: $TRUNKLINE_HOME or the platform's user data folder."""
    if folder := environ.get("TRUNKLINE_HOME"):
        return Path(folder).expanduser().absolute()
    return platformdirs.user_data_path("trunkline", appauthor=False)


def make_home(home: Path) -> None:
    """Makes the folder of all data, open to its owner only, unless it is there. Raises StartError."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(
            f"cannot make the folder {home}: {error.strerror}; set TRUNKLINE_HOME to a folder of yours"
        ) from error


def secret(home: Path, environ: Mapping[str, str]) -> bytes:
    """Returns the installation secret: $TRUNKLINE_SECRET, or the file ``secret`` in the home folder.

    The first call makes the file, readable by its owner only; of several starters at once one
    makes it and all return the same. Use it only through ``derive``.
    """
    if text := environ.get("TRUNKLINE_SECRET"):
        return _checked(text, "TRUNKLINE_SECRET")
    path = home / "secret"
    try:
        create_private(path, f"{secrets.token_hex(32)}\n".encode())
        return _checked(path.read_text(encoding="utf-8").strip(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text"
        raise StartError(
            f"cannot make or read {path}: {reason}; set TRUNKLINE_HOME to a folder of yours"
        ) from error


def derive(secret: bytes, label: str) -> bytes:
    """Returns the 32-byte key for one purpose: HKDF-SHA256 (RFC 5869) with the label as info."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=32, salt=None, info=label.encode()).derive(secret)


def first_key(home: Path) -> str | None:
    """Returns the API key in ``home/key``, None if there is no such file.

    Raises:
        StartError: the file cannot be read, or holds no key.
    """
    path = home / KEY_FILE
    try:
        key = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise StartError(f"cannot read '{path}': {reason}") from error
    if len(key) < MIN_KEY:
        raise StartError(f"'{path}' holds no key; delete it")
    return key


def create_private(path: Path, content: bytes) -> bool:
    """Writes a new file that only its owner may read; returns False if it exists already.

    The file appears whole or not at all, and its folder is made at need. Raises OSError.
    """
    if path.exists():
        return False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _draft(path, content) as draft:
        try:
            path.hardlink_to(draft)  # unlike a rename, it fails if another was first
        except FileExistsError:
            return False
    return True


def replace_private(path: Path, content: bytes) -> None:
    """Writes a file that only its owner may read, in place of any that is there. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _draft(path, content) as draft:
        draft.replace(path)


def readable_by_others(path: Path) -> bool:
    """Whether group or others may read a file; False where the system has no such bits."""
    if os.name == "nt":
        return False
    return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _checked(text: str, source: str) -> bytes:
    if len(text) < _MIN_SECRET:
        raise ConfigError(
            f"{source}: expected a secret of at least {_MIN_SECRET} characters, as from 'openssl rand -hex 32'"
        )
    return text.encode()


@contextmanager
def _draft(path: Path, content: bytes) -> Iterator[Path]:
    """Writes a private file beside ``path``; what is left of it in the end is removed."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)
