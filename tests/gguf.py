"""Cuts a GGUF file into parts, as llama.cpp's gguf-split does."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

U16, I32, STRING, ARRAY = 2, 5, 8, 9
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
ALIGNMENT = 32


class Metadata(NamedTuple):
    """``entries`` of them, as the bytes that stand in the file."""

    entries: int
    data: bytes


class Tensor(NamedTuple):
    name: bytes
    shape: bytes
    data: bytes


class Cursor:
    """Walks over a GGUF file, without the care that the engine's own reader takes."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, layout: str) -> int:
        return int(struct.unpack(layout, self.take(struct.calcsize(layout)))[0])

    def string(self) -> bytes:
        return self.take(self.number("<Q"))

    def skip_value(self, kind: int) -> None:
        if kind == STRING:
            self.string()
        elif kind == ARRAY:
            element, count = self.number("<I"), self.number("<Q")
            for _ in range(count):
                self.skip_value(element)
        else:
            self.take(SIZES[kind])


def split(path: Path, count: int) -> list[bytes]:
    """Returns the contents of ``count`` files that hold a model together; the first all metadata."""
    metadata, tensors = parsed(path)
    total = len(tensors)
    return [
        part(
            number,
            count,
            total,
            Metadata(0, b"") if number else metadata,
            tensors[number * total // count : (number + 1) * total // count],
        )
        for number in range(count)
    ]


def parsed(path: Path) -> tuple[Metadata, list[Tensor]]:
    """Returns the metadata and the tensors of a model in one file."""
    cursor = Cursor(path.read_bytes())
    cursor.take(8)
    tensor_count, entry_count = cursor.number("<Q"), cursor.number("<Q")
    begin = cursor.at
    for _ in range(entry_count):
        cursor.string()
        cursor.skip_value(cursor.number("<I"))
    metadata = Metadata(entry_count, cursor.data[begin : cursor.at])
    found = []
    for _ in range(tensor_count):
        name, begin = cursor.string(), cursor.at
        cursor.take(8 * cursor.number("<I") + 4)
        found.append((name, cursor.data[begin : cursor.at], cursor.number("<Q")))
    start = aligned(cursor.at)
    offsets = [offset for _, _, offset in found] + [len(cursor.data) - start]
    return metadata, [
        Tensor(name, shape, cursor.data[start + offset : start + end])
        for (name, shape, offset), end in zip(found, offsets[1:], strict=True)
    ]


def aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def string(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def part(number: int, count: int, total: int, metadata: Metadata, tensors: list[Tensor]) -> bytes:
    """Returns the content of one part, counted from 0, of a model with ``total`` tensors."""
    split_entries = (
        string(b"split.no") + struct.pack("<IH", U16, number)
        + string(b"split.count") + struct.pack("<IH", U16, count)
        + string(b"split.tensors.count") + struct.pack("<Ii", I32, total)
    )  # fmt: skip
    counts = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), metadata.entries + 3)
    header = counts + metadata.data + split_entries
    body = b""
    for tensor in tensors:
        header += string(tensor.name) + tensor.shape + struct.pack("<Q", len(body))
        body += tensor.data.ljust(aligned(len(tensor.data)), b"\0")
    return header.ljust(aligned(len(header)), b"\0") + body
