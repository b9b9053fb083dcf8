"""Reading GGUF headers, above all bad ones."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.engine.gguf import GGUFError, read_header
from trunkline.engine.model import NANO

U32, STRING, ARRAY = 4, 8, 9


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def entry(key: bytes, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def array(kind: int, count: int, values: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, count) + values


def tensor(name: bytes, dimensions: tuple[int, ...], kind: int, offset: int) -> bytes:
    shape = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
    return text(name) + shape + struct.pack("<IQ", kind, offset)


def gguf(
    *, entries: tuple[bytes, ...] = (), tensors: tuple[bytes, ...] = (), version: int = 3
) -> bytes:
    counts = struct.pack("<4sIQQ", b"GGUF", version, len(tensors), len(entries))
    return counts + b"".join(entries) + b"".join(tensors)


SMALL = gguf(
    entries=(
        entry(b"general.alignment", U32, struct.pack("<I", 64)),
        entry(b"general.name", STRING, text(b"small")),
        entry(b"sizes", ARRAY, array(U32, 3, struct.pack("<3I", 1, 2, 3))),
        entry(b"words", ARRAY, array(STRING, 2, text(b"one") + text(b"two"))),
        entry(b"others", ARRAY, array(STRING, 1, text(b"three"))),
    ),
    tensors=(tensor(b"a", (32, 2), 8, 0), tensor(b"b", (5,), 0, 128)),
)


def write(folder: Path, data: bytes) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(data)
    return path


def test_a_header_tells_its_values_the_arrays_asked_for_and_where_the_data_end(tmp_path):
    header = read_header(write(tmp_path, SMALL), arrays={"words"})
    assert header.values == {"general.alignment": 64, "general.name": "small"}
    assert header.strings == {"words": [b"one", b"two"]}
    assert header.tensors == 2
    assert header.sizes == {"a": 2 * (32 + 2), "b": 5 * 4}
    assert header.end == -(-len(SMALL) // 64) * 64 + 128 + 5 * 4


def test_the_shipped_model_is_as_long_as_its_header_says():
    header = read_header(NANO)
    assert header.values["general.architecture"] == "gpt-oss"
    assert header.end == NANO.stat().st_size


def test_a_header_cut_anywhere_is_refused(tmp_path):
    for length in range(len(SMALL)):
        path = write(tmp_path, SMALL[:length])
        with pytest.raises(GGUFError, match=r"truncated within its header"):
            read_header(path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"PK\x03\x04 a zip file", "not a GGUF file"),
        (gguf(version=1), "version 1 is unknown"),
        (struct.pack(">4sIQQ", b"GGUF", 3, 0, 0), "big-endian"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 2**63, 0), "9223372036854775808 tensors"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 0, 2**32), "4294967296 metadata entries"),
        (gguf(entries=(struct.pack("<Q", 2**40),)), "a metadata key has 1099511627776 bytes"),
        (gguf(entries=(entry(b"k", STRING, struct.pack("<Q", 2**40)),)), "has 1099511627776 bytes"),
        (gguf(entries=(entry(b"k", ARRAY, array(U32, 2**60)),)), "elements of 'k'"),
        (gguf(entries=(entry(b"k", ARRAY, array(ARRAY, 1)),)), "array of the unknown type 9"),
        (gguf(entries=(entry(b"k", 99, b""),)), "'k' has the unknown type 99"),
        (gguf(entries=(entry(b"\xff", U32, b"\0" * 4),)), "not UTF-8"),
        (gguf(entries=(entry(b"general.alignment", U32, b"\0" * 4),)), "alignment 0"),
        (gguf(tensors=(tensor(b"t", (1,) * 5, 0, 0),)), "5 dimensions"),
    ],
)
def test_a_corrupt_header_is_refused_with_the_reason(tmp_path, data, reason):
    with pytest.raises(GGUFError, match=reason):
        read_header(write(tmp_path, data))


@given(st.integers(min_value=0, max_value=len(SMALL) - 1), st.binary(min_size=1, max_size=16))
def test_no_overwritten_bytes_raise_anything_else(tmp_path_factory, place, noise):
    data = SMALL[:place] + noise + SMALL[place + len(noise) :]
    path = write(tmp_path_factory.getbasetemp(), data)
    try:
        header = read_header(path)
    except GGUFError:
        return
    assert header.end > 0
