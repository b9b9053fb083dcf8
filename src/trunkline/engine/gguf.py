"""Reads the header of a GGUF file: metadata and where the tensors lie. Never the tensors themselves.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. A header may be hostile, so
every count is bounded before anything is allocated for it and no read goes beyond the file.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Collection, Iterator
from math import prod
from pathlib import Path

import msgspec

Scalar = int | float | bool | str

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip

_MAX_HEADER = 64 << 20  # bytes; gpt-oss has 14 MB, nearly all of it vocabulary
_MAX_ENTRIES = 100_000  # metadata entries, and tensors; real files have tens and hundreds
_MAX_NAME = 65_535  # bytes of a key or a tensor's name
_MAX_STRING = 16 << 20  # bytes; the longest in real files is a chat template
_MAX_ARRAY = 4 << 20  # elements; gpt-oss has 446,189 merges
_MAX_DIMENSIONS = 4
_MAX_ALIGNMENT = 1 << 20

# Elements and bytes of one block, by tensor type:
# https://github.com/ggml-org/ggml/blob/master/include/ggml.h
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8),
    28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip


class GGUFError(ValueError):
    """The file is not a whole, valid GGUF file; the message says why and names no path."""


class Header(msgspec.Struct, frozen=True):
    """What a GGUF file says about itself.

    ``values`` holds the metadata that are not arrays, ``strings`` the string arrays that were asked
    for. ``sizes`` holds the bytes of each tensor, by name. ``end`` is the offset in bytes at which
    the last tensor ends: a shorter file is truncated.
    """

    values: dict[str, Scalar]
    strings: dict[str, list[bytes]]
    sizes: dict[str, int]
    tensors: int
    end: int


def read_header(path: Path, *, arrays: Collection[str] = ()) -> Header:
    """Reads and checks the header of one file.

    ``arrays`` names the string arrays to keep. Raises GGUFError, or OSError if the file cannot be
    read.
    """
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        return _header(_Reader(file, size), arrays)


def _header(reader: _Reader, arrays: Collection[str]) -> Header:
    if reader.take(4) != _MAGIC:
        raise GGUFError("it is not a GGUF file")
    version = reader.scalar("<I")
    if version not in _VERSIONS:
        raise GGUFError(f"GGUF version {version} is unknown (big-endian files are not supported)")
    tensor_count = reader.count("tensors", _MAX_ENTRIES)
    entry_count = reader.count("metadata entries", _MAX_ENTRIES)
    values: dict[str, Scalar] = {}
    strings: dict[str, list[bytes]] = {}
    for _ in range(entry_count):
        key = reader.text("a metadata key", _MAX_NAME)
        kind = int(reader.scalar("<I"))
        if kind == _ARRAY:
            _read_array(reader, key, strings if key in arrays else None)
        else:
            values[key] = _read_value(reader, key, kind)
    tensors = [_read_tensor(reader) for _ in range(tensor_count)]
    alignment = values.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 0 < alignment <= _MAX_ALIGNMENT:
        raise GGUFError(f"the alignment {alignment!r} is not possible")
    start = -(-reader.position // alignment) * alignment
    last = max((offset + size for _, offset, size in tensors), default=0)
    return Header(
        values=values,
        strings=strings,
        sizes={name: size for name, _, size in tensors},
        tensors=tensor_count,
        end=start + last if tensors else reader.position,
    )


def _read_value(reader: _Reader, key: str, kind: int) -> Scalar:
    if kind == _STRING:
        return reader.text(f"the value of {key!r}", _MAX_STRING)
    if kind not in _SCALARS:
        raise GGUFError(f"{key!r} has the unknown type {kind}")
    return reader.scalar(_SCALARS[kind])


def _read_array(reader: _Reader, key: str, into: dict[str, list[bytes]] | None) -> None:
    kind = int(reader.scalar("<I"))
    count = reader.count(f"elements of {key!r}", _MAX_ARRAY)
    if kind == _STRING:
        texts: Iterator[bytes] = (reader.string(key, _MAX_STRING) for _ in range(count))
        if into is None:
            for _ in texts:
                pass
        else:
            into[key] = list(texts)
    elif kind in _SCALARS:
        reader.skip(count * struct.calcsize(_SCALARS[kind]))
    else:
        raise GGUFError(f"{key!r} is an array of the unknown type {kind}")


def _read_tensor(reader: _Reader) -> tuple[str, int, int]:
    """Returns a tensor's name, where it begins in bytes from the start of the data, and its size."""
    name = reader.text("a tensor's name", _MAX_NAME)
    dimension_count = int(reader.scalar("<I"))
    if dimension_count > _MAX_DIMENSIONS:
        raise GGUFError(f"tensor {name!r} has {dimension_count} dimensions")
    elements = prod(int(reader.scalar("<Q")) for _ in range(dimension_count))
    kind = int(reader.scalar("<I"))
    offset = int(reader.scalar("<Q"))
    block_elements, block_bytes = _BLOCKS.get(kind, (1, 0))  # newer types: llama.cpp will judge
    return name, offset, elements // block_elements * block_bytes


class _Reader:
    """Reads little-endian values from a file of known size."""

    def __init__(self, file: io.BufferedReader, size: int) -> None:
        self._file = file
        self._size = size
        self.position = 0

    def take(self, count: int) -> bytes:
        self._advance(count)
        return self._file.read(count)

    def skip(self, count: int) -> None:
        self._advance(count)
        self._file.seek(self.position)

    def _advance(self, count: int) -> None:
        self.position += count
        if self.position > self._size:
            raise GGUFError("it is truncated within its header")
        if self.position > _MAX_HEADER:
            raise GGUFError("its header is corrupt: it does not end")

    def scalar(self, layout: str) -> int | float | bool:
        (value,) = struct.unpack(layout, self.take(struct.calcsize(layout)))
        assert isinstance(value, int | float)
        return value

    def count(self, what: str, most: int) -> int:
        value = int(self.scalar("<Q"))
        if value > most:
            raise GGUFError(f"its header is corrupt: {value} {what}")
        return value

    def string(self, what: str, most: int) -> bytes:
        length = int(self.scalar("<Q"))
        if length > most:
            raise GGUFError(f"its header is corrupt: {what} has {length} bytes")
        return self.take(length)

    def text(self, what: str, most: int) -> str:
        try:
            return self.string(what, most).decode()
        except UnicodeDecodeError as error:
            raise GGUFError(f"its header is corrupt: {what} is not UTF-8") from error
