"""Samples → batches. Samples that begin alike share the computation of what they share.

The samples of a scene are merged into a tree of tokens: each token sees those on its way to the root
and none beside it, so that every sample is computed as if it stood alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from nano.corpus.dialogue import Sample
from nano.model import MASKED, Block, Shape
from trunkline.wire.harmony import Marker, Piece

_BLOCK = 192  # rows that are attended together
_SLIPS, _AFTER_SLIP = 0.2, 16  # how often; how many tokens are learned afterwards
_WAITING = 24  # trees that a batch is chosen from


@dataclass(frozen=True)
class Tree:
    """Tokens in an order in which each follows its parent (-1 for the root's).

    ``lessons`` are pairs of a place and the token that should follow there.
    """

    tokens: list[int]
    parents: list[int]
    depths: list[int]
    lessons: list[tuple[int, int]]


@dataclass(frozen=True)
class Batch:
    """Trees one after the other; the fields are what ``Model.forward`` takes.

    ``places`` says where something is to be learned, ``targets`` what. Layers that see everything
    look through ``everything``, those with a window through ``near``.
    """

    ids: Tensor
    positions: Tensor
    everything: list[Block]
    near: list[Block]
    places: Tensor
    targets: Tensor


class Encoder:
    """Pieces → token ids, as the engine makes them: texts are tokenized one by one."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._markers = {marker: tokenizer.token_to_id(marker.value) for marker in Marker}
        self._text = lru_cache(1024)(self._encoded)  # the samples of a scene share their texts

    def __call__(self, pieces: Iterable[Piece]) -> list[int]:
        ids: list[int] = []
        for piece in pieces:
            if isinstance(piece, Marker):
                ids.append(self._markers[piece])
            else:
                ids += self._text(piece)
        return ids

    def _encoded(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def tree(samples: Sequence[Sample], encode: Encoder, *, slips: Random | None = None) -> Tree:
    """Merges samples as far as they begin alike.

    With ``slips`` some completions are there a second time, with a few tokens repeated by mistake:
    what is learned is how to go on after that, so that one slip does not become an endless loop.
    """
    grown = Tree([], [], [], [])
    children: dict[tuple[int, int], int] = {}
    for sample in samples:
        prompt, completion = encode(sample.prompt), encode(sample.completion)
        _grow(grown, children, prompt + completion, len(prompt))
        if slips is not None and slips.random() < _SLIPS:
            slipped, learned_from = _slipped(slips, completion)
            _grow(grown, children, prompt + slipped, len(prompt) + learned_from)
    return grown


def _grow(
    grown: Tree, children: dict[tuple[int, int], int], tokens: Sequence[int], learned_from: int
) -> None:
    place = -1
    for index, token in enumerate(tokens):
        child = children.get((place, token))
        if child is None:
            child = children[(place, token)] = len(grown.tokens)
            grown.tokens.append(token)
            grown.parents.append(place)
            grown.depths.append(index)
        if index >= learned_from:
            grown.lessons.append((place, token))
        place = child


def _slipped(random: Random, completion: list[int]) -> tuple[list[int], int]:
    """Returns a completion in which a piece is repeated, and where it goes on aright."""
    end = random.randint(1, len(completion) - 1)
    piece = completion[max(0, end - random.choice((1, 1, 2, 3, 4))) : end]
    repeated = [*completion[:end], *(piece * random.choice((1, 1, 2, 3)))]
    return [*repeated, *completion[end : end + _AFTER_SLIP]], len(repeated)


def batches(trees: Iterable[Tree], shape: Shape, *, tokens: int, longest: int) -> Iterator[Batch]:
    """Returns batches of nearly so many tokens, so that they take like long.

    Trees with more than ``longest`` tokens are left out.
    """
    waiting: list[Tree] = []
    for tree_ in trees:
        if len(tree_.tokens) <= longest:
            waiting.append(tree_)
        if len(waiting) == _WAITING:
            room, group, rest = tokens, [], []
            for one in waiting:
                if len(one.tokens) <= room:
                    group.append(one)
                    room -= len(one.tokens)
                else:
                    rest.append(one)
            yield packed(group, shape)
            waiting = rest


def packed(trees: Sequence[Tree], shape: Shape) -> Batch:
    """Returns trees one after the other."""
    everything: list[Block] = []
    near: list[Block] = []
    places: list[int] = []
    start = 0
    for tree_ in trees:
        depths, seen = np.array(tree_.depths, np.int16), _ancestors(tree_.parents)
        size = len(depths)
        count = -(-size // _BLOCK)
        for number in range(count):
            rows = slice(size * number // count, size * (number + 1) // count)
            close = depths[rows, None] - depths[None, :] < shape.window
            everything.append(_block(rows, seen[rows], start, shape.sharing))
            near.append(_block(rows, seen[rows] & close, start, shape.sharing))
        places += [start + place for place, _ in tree_.lessons]
        start += size
    return Batch(
        torch.tensor([token for tree_ in trees for token in tree_.tokens]),
        torch.tensor([depth for tree_ in trees for depth in tree_.depths]),
        everything,
        near,
        torch.tensor(places),
        torch.tensor([target for tree_ in trees for _, target in tree_.lessons]),
    )


def _block(rows: slice, seen: NDArray[np.bool_], start: int, sharing: int) -> Block:
    columns = seen.any(0).nonzero()[0]
    bias = np.zeros((len(seen), 1 + len(columns)), np.float32)
    bias[:, 1:][~seen[:, columns]] = MASKED
    return Block(
        slice(start + rows.start, start + rows.stop),
        torch.from_numpy(np.concatenate([[0], 1 + start + columns])),
        torch.from_numpy(np.tile(bias, (sharing, 1))),
    )


def _ancestors(parents: Sequence[int]) -> NDArray[np.bool_]:
    seen = np.zeros((len(parents), len(parents)), np.bool_)
    for place, parent in enumerate(parents):
        if parent >= 0:
            seen[place] = seen[parent]
        seen[place, place] = True
    return seen
