"""Models split into several files, as large ones are published."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import NamedTuple

import pytest

from trunkline.engine.client import Completion, Done, EngineClient, Piece, Progress
from trunkline.engine.model import NANO, Model, open_file, open_model
from trunkline.engine.supervisor import Supervisor
from trunkline.errors import StartError

U16, I32, STRING, ARRAY = 2, 5, 8, 9
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
ALIGNMENT = 32


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


def parsed(path: Path) -> tuple[int, bytes, list[Tensor]]:
    """Returns the number of metadata entries, their bytes, and the tensors."""
    cursor = Cursor(path.read_bytes())
    cursor.take(8)
    tensor_count, entry_count = cursor.number("<Q"), cursor.number("<Q")
    begin = cursor.at
    for _ in range(entry_count):
        cursor.string()
        cursor.skip_value(cursor.number("<I"))
    metadata = cursor.data[begin : cursor.at]
    found = []
    for _ in range(tensor_count):
        name, begin = cursor.string(), cursor.at
        cursor.take(8 * cursor.number("<I") + 4)
        found.append((name, cursor.data[begin : cursor.at], cursor.number("<Q")))
    start = aligned(cursor.at)
    offsets = [offset for _, _, offset in found] + [len(cursor.data) - start]
    return (
        entry_count,
        metadata,
        [
            Tensor(name, shape, cursor.data[start + offset : start + end])
            for (name, shape, offset), end in zip(found, offsets[1:], strict=True)
        ],
    )


def aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def string(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def part(
    number: int, count: int, total: int, entries: tuple[int, bytes], tensors: list[Tensor]
) -> bytes:
    split = (
        string(b"split.no") + struct.pack("<IH", U16, number)
        + string(b"split.count") + struct.pack("<IH", U16, count)
        + string(b"split.tensors.count") + struct.pack("<Ii", I32, total)
    )  # fmt: skip
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), entries[0] + 3) + entries[1] + split
    body = b""
    for tensor in tensors:
        header += string(tensor.name) + tensor.shape + struct.pack("<Q", len(body))
        body += tensor.data.ljust(aligned(len(tensor.data)), b"\0")
    return header.ljust(aligned(len(header)), b"\0") + body


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """The shipped model in three files."""
    entry_count, metadata, tensors = parsed(NANO)
    shares = [tensors[:30], tensors[30:60], tensors[60:]]
    paths = [tmp_path / f"tiny-{number:05}-of-00003.gguf" for number in (1, 2, 3)]
    for number, (path, share) in enumerate(zip(paths, shares, strict=True)):
        entries = (0, b"") if number else (entry_count, metadata)
        path.write_bytes(part(number, 3, len(tensors), entries, share))
    return paths


def reply(model: Model) -> list[Progress | Piece | Done]:
    """What a model says to a short prompt, with its confidence in every token."""

    async def main():
        supervisor = Supervisor(model)
        async with supervisor, EngineClient(supervisor.endpoint, slots=1, queue=1) as client:
            await supervisor.started()
            start = (await client.wait_ready()).markers["<|start|>"]
            completion = Completion(prompt=[start, "user"], temperature=0, max_tokens=8, n_probs=1)
            async with client.complete(completion) as reads:
                return [piece async for read in reads for piece in read]

    return asyncio.run(main())


def test_any_part_opens_the_whole_model(parts):
    for path in parts:
        model = open_model(path)
        assert model.card.name == "local/tiny"
        assert (model.file.path, model.file.parts) == (parts[0], tuple(parts))


def test_a_split_model_says_what_the_whole_one_says(parts):
    assert reply(open_model(parts[0])) == reply(open_model(NANO))


def test_missing_parts_are_named(parts):
    parts[0].unlink()
    parts[2].unlink()
    missing = r"split into 3 files and lacks tiny-00001-of-00003\.gguf, tiny-00003-of-00003\.gguf$"
    with pytest.raises(StartError, match=missing):
        open_file(parts[1])


def test_parts_that_were_mixed_up_are_refused(parts):
    swapped = parts[1].read_bytes()
    parts[1].write_bytes(parts[2].read_bytes())
    parts[2].write_bytes(swapped)
    with pytest.raises(StartError, match=r"tiny-00002-of-00003\.gguf .*split\.no 2, not 1"):
        open_file(parts[0])


def test_a_part_that_was_renamed_is_refused(parts):
    with pytest.raises(StartError, match="one of 3 parts by its content and one of 1 by its name"):
        open_file(parts[0].rename(parts[0].with_name("tiny.gguf")))


def test_a_truncated_part_is_named(parts):
    parts[1].write_bytes(parts[1].read_bytes()[:-100])
    with pytest.raises(
        StartError, match=r"tiny-00002-of-00003\.gguf cannot be used: it is truncated"
    ):
        open_file(parts[0])


def test_parts_of_another_split_are_noticed(parts):
    _, _, tensors = parsed(NANO)
    parts[2].write_bytes(part(2, 3, len(tensors), (0, b""), tensors[61:]))
    with pytest.raises(StartError, match="its parts hold 78 of 79 tensors"):
        open_file(parts[0])
