"""OpenAI's Embeddings, which most providers speak unchanged: the identity, checked and re-encoded."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Raw

from trunkline.errors import UpstreamError
from trunkline.providers.base import Call, Decoder, Outgoing, Whole
from trunkline.wire.embeddings import vectors_of

_OURS = ("provider",)  # fields that speak to the router, not to the model
_FLOAT_BYTES = 4
_UNSUPPORTED = "unsupported_parameter"

_encode = msgspec.json.encode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_objects = msgspec.json.Decoder(list[dict[str, Raw]]).decode
_decode_floats = msgspec.json.Decoder(list[float]).decode
_decode_text = msgspec.json.Decoder(str).decode

ReadError = Callable[[int, Mapping[str, str], bytes], UpstreamError]


class OpenAIEmbeddings:
    """The adapter of ``/embeddings``.

    ``takes_encoding`` says whether the provider knows ``encoding_format``; whatever it does with it,
    the caller gets the encoding that it asked for. ``read_error`` is the chat dialect's way to read
    an answer that is an error: providers have one for both.
    """

    def __init__(
        self, *, read_error: ReadError, key: str | None = None, takes_encoding: bool = True
    ) -> None:
        self._read_error = read_error
        self._takes_encoding = takes_encoding
        self._headers = {"Content-Type": "application/json"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"

    def request(self, call: Call, /) -> Outgoing:
        """Swaps the model; every other field goes as it came."""
        body = {name: raw for name, raw in call.body.items() if name not in _OURS}
        body["model"] = Raw(_encode(call.model))
        if not self._takes_encoding:
            body.pop("encoding_format", None)
        return Outgoing("/embeddings", _encode(body), self._headers)

    def reply(self, call: Call, body: bytes, /) -> Whole:
        try:
            answer = _decode_object(body)
            if bytes(answer.get("error", b"null")) != b"null":
                raise self._late_error(body)
            entries = _decode_objects(answer["data"])
            vectors = [entry["embedding"] for entry in entries]
            _check(call, vectors)
            if all(bytes(vector)[:1] == _first_byte(call) for vector in vectors):
                return Whole((body,))
            for entry in entries:
                entry["embedding"] = _encoded(call, entry["embedding"])
            answer["data"] = Raw(_encode(entries))
            return Whole((_encode(answer),))
        except _NOT_EMBEDDINGS as error:
            raise UpstreamError(
                "answered with something that is not a list of embeddings", retryable=True
            ) from error

    def decoder(self, _call: Call, /) -> Decoder:
        raise UpstreamError("streams no embeddings", retryable=False)

    def recovered(self, _call: Call, _status: int, _body: bytes, /) -> Whole | None:
        return None

    def error(self, status: int, headers: Mapping[str, str], body: bytes, /) -> UpstreamError:
        return self._read_error(status, headers, body)

    def _late_error(self, body: bytes) -> UpstreamError:
        """Reads an error that came with a status of success."""
        error = self._read_error(200, {}, body)
        if error.status is not None and error.status >= 400:
            return error
        return UpstreamError("reported an error in its reply", retryable=True)


_NOT_EMBEDDINGS = (
    *(msgspec.DecodeError, UnicodeDecodeError, RecursionError),
    *(KeyError, binascii.Error, struct.error, OverflowError),
)


def _check(call: Call, vectors: list[Raw]) -> None:
    """Holds an answer against what was asked: a vector for each text, of the length that was wanted."""
    expected = vectors_of(call.body["input"])
    if len(vectors) != expected:
        raise UpstreamError(
            f"answered with {len(vectors)} embeddings where {expected} were asked for",
            retryable=True,
        )
    length = len(_floats(vectors[0]))
    if not length:
        raise UpstreamError("answered with an empty embedding", retryable=True)
    wanted = call.body.get("dimensions")
    if wanted is not None and int(bytes(wanted)) != length:
        said = f"its vectors have {length} dimensions, whatever 'dimensions' asks for"
        raise UpstreamError(
            said,
            retryable=False,
            status=400,
            public=f"the provider cannot serve this: {said}",
            code=_UNSUPPORTED,
            param="dimensions",
            limit=True,
        )


def _first_byte(call: Call) -> bytes:
    return b'"' if _wants_base64(call) else b"["


def _wants_base64(call: Call) -> bool:
    return bytes(call.body.get("encoding_format", b"")) == b'"base64"'


def _encoded(call: Call, vector: Raw) -> Raw:
    floats = _floats(vector)
    if not all(map(math.isfinite, floats)):
        raise UpstreamError("answered with an embedding that holds no numbers", retryable=True)
    if not _wants_base64(call):
        return Raw(_encode(floats))
    packed = struct.pack(f"<{len(floats)}f", *floats)
    return Raw(_encode(base64.b64encode(packed).decode()))


def _floats(vector: Raw) -> list[float]:
    if bytes(vector)[:1] != b'"':
        return _decode_floats(vector)
    packed = base64.b64decode(_decode_text(vector), validate=True)
    return list(struct.unpack(f"<{len(packed) // _FLOAT_BYTES}f", packed))
