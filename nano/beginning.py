"""The weights that training begins with: a hand-written circuit that copies.

A model this small does not discover copying within an hour; given it, it learns within seconds what
to copy. Layer 0 carries the codes of the two tokens before each one. Layers 1, 3 and 5 look for the
place where the same tokens stood before, and bring the token that followed there. All of it stays
trainable. The stream is divided into five parts: a token's own code, those of the one and of the two
tokens before, and two that are copied from place to place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor

from nano.model import Model
from nano.tokenizer import SPACE

_EMBEDDING_SCALE = 0.3
_SHARED = 0.85  # of the code of " word" and "Word" is that of "word"
_FAST_PAIRS = 5  # rotary pairs that turn too fast to compare what stands far apart
_POSITION_PAIRS = 5
_POSITION_SHARPNESS = 16.0
_BLUR_OFFSET, _BLUR_SHARPNESS = 3.5, 4.0  # the tokens from one to about six before
_CARRIED, _BLURRED, _COPIED = 0.8, 1.6, 0.6
_MATCH = 7.0


@torch.no_grad()
def prepare(model: Model, tokenizer: Tokenizer, *, seed: int) -> None:
    """Writes the circuit into a fresh model."""
    shape = model.shape
    random = torch.Generator().manual_seed(seed)
    part = shape.head_width
    axes, _ = torch.linalg.qr(torch.randn(shape.width, shape.width, generator=random))
    own, before, before_that, around, *copied = (
        axes[:, start : start + part].T.contiguous() for start in range(0, shape.width, part)
    )
    codes = _codes(tokenizer, shape.vocabulary, shape.width, random)
    kept = torch.cat([own, *copied])  # the parts of the tokens before are empty yet
    model.embedding.weight.copy_(codes @ kept.T @ kept)
    model.norm.weight.fill_(0.15)
    for layer in model.layers:
        layer.experts.down.mul_(0.1)
        layer.attention.qkv.bias.zero_()
        layer.attention.out.bias.zero_()
    _carry(model, own, before, before_that, around)
    for index in (1, 3, 5):
        if index < shape.layers:
            _match(model, index, (own, before, before_that, around), copied, random)


def _codes(tokenizer: Tokenizer, count: int, width: int, random: torch.Generator) -> Tensor:
    """Returns one random code per token; those of a word with a space or a capital are alike."""
    codes = torch.randn(count, width, generator=random)
    vocabulary = tokenizer.get_vocab()
    for token, id_ in sorted(vocabulary.items(), key=lambda item: item[1]):
        bare = token.removeprefix(SPACE).lower()
        if bare != token and bare in vocabulary:
            rest = math.sqrt(1 - _SHARED**2)
            codes[id_] = _SHARED * codes[vocabulary[bare]] + rest * codes[id_]
    return codes * _EMBEDDING_SCALE


def _carry(model: Model, own: Tensor, before: Tensor, before_that: Tensor, around: Tensor) -> None:
    """Makes heads of layer 0 that bring the codes of tokens before."""
    shape, attention = model.shape, model.layers[0].attention
    weight, bias = attention.qkv.weight, attention.qkv.bias
    half = shape.head_width // 2
    rates = shape.rope_base ** (-torch.arange(0, shape.head_width, 2) / shape.head_width)
    sharp, blurred = torch.zeros(half), torch.zeros(half)
    sharp[:_POSITION_PAIRS] = math.sqrt(_POSITION_SHARPNESS * math.sqrt(shape.head_width))
    blurred[1:3] = math.sqrt(_BLUR_SHARPNESS * math.sqrt(shape.head_width))
    attention.out.weight.zero_()
    for head, offset, strength, place in (
        (0, 1.0, sharp, before),
        (1, 2.0, sharp, before_that),
        (2, _BLUR_OFFSET, blurred, around),
    ):
        kv = head // shape.sharing
        key, value, query = _rows(model, "k", kv), _rows(model, "v", kv), _rows(model, "q", head)
        weight[key], weight[query] = 0, 0
        bias[key] = torch.cat([strength, torch.zeros(half)])
        weight[value] = own
        angle = -rates * offset
        bias[query] = torch.cat([strength * angle.cos(), strength * angle.sin()])
        columns = slice(head * shape.head_width, (head + 1) * shape.head_width)
        attention.out.weight[:, columns] = (_CARRIED if place is not around else _BLURRED) * place.T


def _match(
    model: Model,
    index: int,
    parts: Sequence[Tensor],
    copied: Sequence[Tensor],
    random: torch.Generator,
) -> None:
    """Makes all heads of a layer look for a repetition and copy what follows it.

    Those of the first key-value head compare one token, the others two and what is around them.
    """
    shape, attention = model.shape, model.layers[index].attention
    weight = attention.qkv.weight
    own, before, before_that, around = parts
    attention.out.weight.mul_(0.1)
    for kv in range(shape.kv_heads):
        compared = (
            ((own, before, 1.0),)
            if kv == 0
            else ((own, before, 0.5), (before, before_that, 0.25), (around, around, 0.25))
        )
        here, there = _pattern(_slow_axes(shape.head_width), compared, random)
        weight[_rows(model, "k", kv)] = there
        weight[_rows(model, "v", kv)] = copied[kv]
        for head in range(kv * shape.sharing, (kv + 1) * shape.sharing):
            weight[_rows(model, "q", head)] = here
            columns = slice(head * shape.head_width, (head + 1) * shape.head_width)
            attention.out.weight[:, columns] += _COPIED * copied[kv].T


def _pattern(
    slow: Tensor, compared: Sequence[tuple[Tensor, Tensor, float]], random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Returns the query's and the key's weights, which meet on the slow axes.

    ``compared`` are a part here, a part there, and the share of the axes that compares them.
    """
    scale, axes, first = math.sqrt(_MATCH), len(slow), 0
    here, there = torch.zeros_like(compared[0][0]), torch.zeros_like(compared[0][0])
    mix, _ = torch.linalg.qr(torch.randn(len(here), len(here), generator=random))
    for ours, theirs, share in compared:
        some = slow[first : first + round(axes * share)]
        here[some] = scale * mix[: len(some)] @ ours
        there[some] = scale * mix[: len(some)] @ theirs
        first += len(some)
    return here, there


def _slow_axes(width: int) -> Tensor:
    slow = torch.arange(_FAST_PAIRS, width // 2)
    return torch.cat([slow, slow + width // 2])


def _rows(model: Model, kind: str, head: int) -> slice:
    shape = model.shape
    first = {"q": 0, "k": shape.heads, "v": shape.heads + shape.kv_heads}[kind] + head
    return slice(first * shape.head_width, (first + 1) * shape.head_width)
