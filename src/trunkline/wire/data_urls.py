"""Data URLs (RFC 2397), and what the bytes in them are."""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from trunkline.errors import InvalidRequest

IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
"""What images may be: what the models that see take in common."""

_HEAD = re.compile(
    r"data:(?P<type>[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+)?(?:;[^;,]*?)*?(?P<base64>;\s*base64)?",
    re.IGNORECASE,
)
_MAX_HEAD_CHARS = 500
_BLANK = b"\xef\xbb\xbf \t\r\n\0"  # what some programs write before the mark of a PDF
_SPACES = re.compile(r"[ \t\r\n\f]+")


class Media(NamedTuple):
    """Bytes with their type, "" if nobody tells."""

    type: str
    body: bytes

    @property
    def url(self) -> str:
        """The data URL of it."""
        return f"data:{self.type};base64,{base64.b64encode(self.body).decode()}"


def decoded(url: str, *, max_bytes: int, param: str) -> Media:
    """Takes a data URL apart; raises InvalidRequest, also for more than ``max_bytes`` bytes.

    Base64 may lack its padding, be percent-encoded and broken into lines, as browsers take it.
    """
    comma = url.find(",", 0, _MAX_HEAD_CHARS)
    head = _HEAD.fullmatch(url[:comma]) if comma > 0 else None
    if head is None:
        raise _invalid(param, "is no data URL such as 'data:image/png;base64,…'")
    text = url[comma + 1 :]
    body = (
        from_base64(text, max_bytes=max_bytes, param=param)
        if head["base64"]
        else _percent_decoded(text, max_bytes, param)
    )
    return Media((head["type"] or "").lower(), body)


def from_base64(text: str, *, max_bytes: int, param: str) -> bytes:
    """Decodes base64 as data URLs have it; raises InvalidRequest."""
    if "%" in text:
        text = unquote_to_bytes(text).decode("latin-1")
    text = _SPACES.sub("", text).rstrip("=")
    if len(text) * 3 // 4 > max_bytes:
        raise _too_large(param, max_bytes)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _invalid(param, "is not valid base64") from error


def image(body: bytes, *, param: str) -> Media:
    """Returns an image with the type that its bytes have, whatever was claimed; raises InvalidRequest."""
    kind = sniffed(body)
    if kind not in IMAGE_TYPES:
        raise _invalid(param, "must be an image in PNG, JPEG, GIF or WebP")
    return Media(kind, body)


def sniffed(body: bytes) -> str:
    """Returns the type of an image or a PDF by its first bytes, "" for all others."""
    if body.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if body.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if body.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "image/webp"
    if body[:1024].lstrip(_BLANK).startswith(b"%PDF-"):
        return "application/pdf"
    return ""


def _percent_decoded(text: str, max_bytes: int, param: str) -> bytes:
    if len(text) > 3 * max_bytes:
        raise _too_large(param, max_bytes)
    try:
        body = unquote_to_bytes(text)
    except UnicodeEncodeError as error:
        raise _invalid(param, "has half a character in it") from error
    if len(body) > max_bytes:
        raise _too_large(param, max_bytes)
    return body


def _too_large(param: str, max_bytes: int) -> InvalidRequest:
    return _invalid(param, f"holds more than {max_bytes} bytes")


def _invalid(param: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{param}: {what}", param=param)
