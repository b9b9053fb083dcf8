"""Reasoning, sealed for callers who keep it themselves: the ``encrypted_content`` of reasoning items.

AES-256-GCM under a key of this purpose alone, bound to the account: what another account or installation was
given cannot be opened here, nor what was changed on its way. A sealed text can be opened as long as the
installation secret stays the same; nothing is stored for it.
"""

from __future__ import annotations

import base64
import binascii
import os
from functools import cached_property
from typing import TYPE_CHECKING

from trunkline.config import derive
from trunkline.errors import InvalidRequest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_LABEL = "trunkline responses encrypted_content"
_VERSION = "tl1."
_NONCE_BYTES = 12  # random: one key is good for 2^32 texts
_TAG_BYTES = 16
_MAX_SEALED = 1 << 24  # characters, of some three million tokens: no model thinks that long


class Seal:
    """Seals texts, and opens those that it sealed, from the installation secret."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @cached_property
    def _cipher(self) -> AESGCM:
        """Made, and imported, at the first use: most who run a router never ask for it."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(derive(self._secret, _LABEL))

    def seal(self, text: str, *, account_id: str) -> str:
        """Returns ``tl1.`` and URL-safe base64, different each time."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, text.encode(), _bound_to(account_id))
        return _VERSION + _written(nonce + sealed)

    def unseal(self, sealed: str, *, account_id: str, at: str) -> str:
        """Returns the text that was sealed for this account; ``at`` is the path of the field.

        Raises InvalidRequest if it was not sealed here, or not for this account, or was altered.
        """
        from cryptography.exceptions import InvalidTag

        try:
            if len(sealed) > _MAX_SEALED:
                raise ValueError("too long")
            opened = self._open(sealed, account_id)
        except (ValueError, InvalidTag) as error:
            raise InvalidRequest(
                f"'{at}' cannot be opened: it was altered, or was not made here for this account; "
                "send the item as it was received, or leave it out",
                param=at,
            ) from error
        return opened.decode()

    def _open(self, sealed: str, account_id: str) -> bytes:
        if not sealed.startswith(_VERSION):
            raise ValueError("of no version of ours")
        data = _read(sealed.removeprefix(_VERSION))
        if len(data) < _NONCE_BYTES + _TAG_BYTES:
            raise ValueError("too short")
        nonce, rest = data[:_NONCE_BYTES], data[_NONCE_BYTES:]
        return self._cipher.decrypt(nonce, rest, _bound_to(account_id))


def _bound_to(account_id: str) -> bytes:
    return f"{_VERSION}{account_id}".encode()


def _written(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _read(text: str) -> bytes:
    """Returns the bytes that are written like this and in no other way. Raises ValueError."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        data = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ValueError("not base64") from error
    if _written(data) != text:
        raise ValueError("not base64 as we write it")
    return data
