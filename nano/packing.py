"""Samples → batches. Samples that begin alike share the computation of what they share.

The samples of a scene are merged into a tree of tokens: each token sees those on its way to the root
and none beside it, so that every sample is computed as if it stood alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from nano.corpus.dialogue import Sample
from trunkline.wire.harmony import Marker, Piece


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
    """Trees side by side; the fields are what ``Model.forward`` takes.

    ``rows`` and ``places`` say where something is to be learned, ``targets`` what.
    """

    ids: Tensor
    positions: Tensor
    visible: Tensor
    rows: Tensor
    places: Tensor
    targets: Tensor


class Encoder:
    """Pieces → token ids, as the engine makes them: texts are tokenized one by one."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._markers = {marker: tokenizer.token_to_id(marker.value) for marker in Marker}

    def __call__(self, pieces: Iterable[Piece]) -> list[int]:
        ids: list[int] = []
        for piece in pieces:
            if isinstance(piece, Marker):
                ids.append(self._markers[piece])
            else:
                ids += self._tokenizer.encode(piece, add_special_tokens=False).ids
        return ids


def tree(samples: Sequence[Sample], encode: Encoder) -> Tree:
    """Merges samples as far as they begin alike."""
    tokens: list[int] = []
    parents: list[int] = []
    depths: list[int] = []
    children: dict[tuple[int, int], int] = {}
    lessons: list[tuple[int, int]] = []
    for sample in samples:
        prompt = encode(sample.prompt)
        place = -1
        for index, token in enumerate(prompt + encode(sample.completion)):
            child = children.get((place, token))
            if child is None:
                child = children[(place, token)] = len(tokens)
                tokens.append(token)
                parents.append(place)
                depths.append(index)
            if index >= len(prompt):
                lessons.append((place, token))
            place = child
    return Tree(tokens, parents, depths, lessons)


def batches(trees: Iterable[Tree], *, tokens: int, longest: int, random: Random) -> Iterator[Batch]:
    """Returns batches of about so many tokens, of trees of like size, in random order.

    Trees with more than ``longest`` tokens are left out.
    """
    fitting = [tree_ for tree_ in trees if len(tree_.tokens) <= longest]
    fitting.sort(key=lambda tree_: len(tree_.tokens))
    groups: list[list[Tree]] = [[]]
    for tree_ in fitting:
        if groups[-1] and (len(groups[-1]) + 1) * len(tree_.tokens) > tokens:
            groups.append([])
        groups[-1].append(tree_)
    random.shuffle(groups)
    return (stacked(group) for group in groups)


def stacked(trees: Sequence[Tree]) -> Batch:
    """Returns trees side by side, filled up to the longest."""
    count, length = len(trees), max(len(tree_.tokens) for tree_ in trees)
    ids = np.zeros((count, length), np.int64)
    positions = np.zeros((count, length), np.int64)
    visible = np.zeros((count, length, length), np.bool_)
    lessons: list[tuple[int, int, int]] = []
    for row, tree_ in enumerate(trees):
        size = len(tree_.tokens)
        ids[row, :size] = tree_.tokens
        positions[row, :size] = tree_.depths
        visible[row, :size, :size] = _ancestors(tree_.parents)
        lessons += [(row, place, target) for place, target in tree_.lessons]
    rows, places, targets = torch.tensor(lessons).T
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(positions),
        torch.from_numpy(visible),
        rows,
        places,
        targets,
    )


def _ancestors(parents: Sequence[int]) -> NDArray[np.bool_]:
    seen = np.zeros((len(parents), len(parents)), np.bool_)
    for place, parent in enumerate(parents):
        if parent >= 0:
            seen[place] = seen[parent]
        seen[place, place] = True
    return seen
