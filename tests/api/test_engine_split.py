"""Models split into several files, as large ones are published."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.gguf import Metadata, parsed, part, split
from trunkline.engine.client import Completion, Done, EngineClient, Piece, Progress
from trunkline.engine.model import NANO, Model, open_file, open_model
from trunkline.engine.supervisor import Supervisor
from trunkline.errors import StartError


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """The shipped model in three files."""
    paths = [tmp_path / f"tiny-{number:05}-of-00003.gguf" for number in (1, 2, 3)]
    for path, content in zip(paths, split(NANO, 3), strict=True):
        path.write_bytes(content)
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
    _, tensors = parsed(NANO)
    total = len(tensors)
    parts[2].write_bytes(part(2, 3, total, Metadata(0, b""), tensors[2 * total // 3 + 1 :]))
    with pytest.raises(StartError, match=f"its parts hold {total - 1} of {total} tensors"):
        open_file(parts[0])
