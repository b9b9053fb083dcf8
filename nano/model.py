"""The gpt-oss architecture in torch, small enough to be trained on two processor cores.

The maths are those of llama.cpp's ``gpt-oss``: attention over a sliding window in even layers and over
everything in odd ones, an attention sink per head, experts of which each token uses the best two,
clamped SwiGLU. Two things are simpler than in the real model: the sinks stay at zero, and the output
head is the embedding.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_SWIGLU_SLOPE, _SWIGLU_LIMIT = 1.702, 7.0
MASKED = -1e30
_COMPILER = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
# Three times as fast as one operation by one; without a C++ compiler it goes slower, and all the same.
_compiled = partial(torch.compile, dynamic=True, disable=shutil.which(_COMPILER) is None)
_attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_attend_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


@dataclass(frozen=True)
class Shape:
    """The sizes of a model."""

    vocabulary: int
    width: int = 192
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    head_width: int = 32
    experts: int = 4
    experts_used: int = 2
    expert_width: int = 128
    window: int = 128
    rope_base: float = 1e8  # so slow that what matches is still found 2,000 tokens later
    epsilon: float = 1e-5
    context: int = 8192

    @property
    def sharing(self) -> int:
        """How many heads share a key."""
        return self.heads // self.kv_heads


@dataclass(frozen=True)
class Block:
    """Some tokens that follow one another, and all that any of them may see.

    ``columns`` are places, counted from 1; 0 is the sink, which all see. ``bias`` is what is added to
    the scores: (rows, columns), or a multiple of the rows where several heads share their keys.
    """

    rows: slice
    columns: Tensor
    bias: Tensor


class Attention(nn.Module):
    """Grouped-query attention with rotary positions and one sink of value zero per head."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        inner = shape.heads * shape.head_width
        self.split = [shape.heads, shape.kv_heads, shape.kv_heads]
        self.qkv = nn.Linear(shape.width, sum(self.split) * shape.head_width)
        self.out = nn.Linear(inner, shape.width)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, blocks: Sequence[Block]) -> Tensor:
        shape, length = self.shape, len(x)
        q, k, v = self.qkv(x).view(length, -1, shape.head_width).split(self.split, 1)
        qk = _rotated(torch.cat([q, k], 1), cos, sin)
        # A key of zeros has the score zero and the value zero: the sink.
        kv = functional.pad(torch.cat([qk[:, shape.heads :], v], 1), (0, 0, 0, 0, 1, 0))
        return self.out(_Attended.apply(qk[:, : shape.heads], kv, blocks).flatten(1))


class _Attended(torch.autograd.Function):
    """Attention block by block, through torch's fused kernels.

    Takes queries (length, heads, head width), keys and values side by side (1 + length, 2 * key-value
    heads, head width), and blocks; returns (length, heads, head width).
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, kv: Tensor, blocks: Sequence[Block]) -> Tensor:
        y = torch.empty_like(q)
        kept = []
        for block in blocks:
            query, key, value = _of_block(q, kv, block)
            part, logsumexp = _attend(
                query, key, value, 0.0, False, attn_mask=block.bias[None, None]
            )
            y[block.rows] = _by_place(part, q.shape[1])
            kept.append((part, logsumexp))
        ctx.save_for_backward(q, kv, *(tensor for pair in kept for tensor in pair))
        ctx.blocks = blocks
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, None]:
        q, kv, *kept = ctx.saved_tensors
        dq, dkv = torch.empty_like(q), torch.zeros_like(kv)
        for block, part, logsumexp in zip(ctx.blocks, kept[::2], kept[1::2], strict=True):
            query, key, value = _of_block(q, kv, block)
            back, d_key, d_value = _attend_backward(
                _by_head(dy[block.rows], kv.shape[1] // 2),
                query,
                key,
                value,
                part,
                logsumexp,
                0.0,
                False,
                attn_mask=block.bias[None, None],
            )
            dq[block.rows] = _by_place(back, q.shape[1])
            dkv.index_add_(0, block.columns, torch.cat([d_key[0], d_value[0]]).transpose(0, 1))
        return dq, dkv, None


def _of_block(q: Tensor, kv: Tensor, block: Block) -> tuple[Tensor, Tensor, Tensor]:
    """Returns queries, keys and values as the kernel wants them: (1, kv heads, places, head width)."""
    both = kv.index_select(0, block.columns).transpose(0, 1)[None]
    key, value = both.chunk(2, 1)
    return _by_head(q[block.rows], key.shape[1]), key, value


def _by_head(x: Tensor, kv_heads: int) -> Tensor:
    """(rows, heads, width) → (1, kv heads, sharing * rows, width)."""
    return x.transpose(0, 1).reshape(1, kv_heads, -1, x.shape[-1])


def _by_place(x: Tensor, heads: int) -> Tensor:
    """(1, kv heads, sharing * rows, width) → (rows, heads, width)."""
    return x.reshape(heads, -1, x.shape[-1]).transpose(0, 1)


class Experts(nn.Module):
    """A mixture of experts; each token is computed by those alone that it uses."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        count, width, inner = shape.experts, shape.width, shape.expert_width
        self.shape = shape
        self.router = nn.Linear(width, count)
        self.gate_up = nn.Parameter(torch.randn(count, width, 2 * inner) * width**-0.5)
        self.gate_up_bias = nn.Parameter(torch.zeros(count, 2 * inner))
        scale = inner**-0.5 / math.sqrt(2 * shape.layers)
        self.down = nn.Parameter(torch.randn(count, inner, width) * scale)
        self.down_bias = nn.Parameter(torch.zeros(count, width))
        self.imbalance = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        used, count = self.shape.experts_used, self.shape.experts
        scores = self.router(x)
        best, chosen = scores.topk(used, -1)
        weights = best.softmax(-1).reshape(-1)
        chosen = chosen.reshape(-1)
        order = torch.argsort(chosen, stable=True)
        sizes = torch.bincount(chosen, minlength=count)
        # Switch Transformer's loss: 1 when all experts are used alike.
        self.imbalance = (scores.softmax(-1).mean(0) * sizes / len(chosen)).sum() * count
        owners = order // used
        rows = x.index_select(0, owners).split(sizes.tolist())
        parts = [
            _swiglu(torch.addmm(self.gate_up_bias[e], part, self.gate_up[e])) @ self.down[e]
            + self.down_bias[e]
            for e, part in enumerate(rows)
        ]
        y = torch.cat(parts) * weights[order].unsqueeze(1)
        return torch.zeros_like(x).index_add(0, owners, y)


class RMSNorm(nn.Module):
    """Scales the stream to a mean square of 1, and by a learned weight."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return _normalized(x, self.weight, self.epsilon)


class Layer(nn.Module):
    """Attention, then experts, each on the normalised stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(shape.width, shape.epsilon)
        self.attention = Attention(shape)
        self.experts_norm = RMSNorm(shape.width, shape.epsilon)
        self.experts = Experts(shape)

    def attend(self, x: Tensor, cos: Tensor, sin: Tensor, blocks: Sequence[Block]) -> Tensor:
        """Returns the stream after attention; its shape is (length, width)."""
        return x + self.attention(self.attention_norm(x), cos, sin, blocks)

    def consult(self, x: Tensor) -> Tensor:
        """Returns the stream after the experts."""
        return x + self.experts(self.experts_norm(x))


class Model(nn.Module):
    """Token ids and who may see whom → the logits of the tokens that follow."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.width, shape.epsilon)

    def forward(
        self,
        ids: Tensor,
        positions: Tensor,
        everything: Sequence[Block],
        near: Sequence[Block],
        places: Tensor,
    ) -> Tensor:
        """Returns the logits, of shape (wanted, vocabulary), after the wanted places.

        Args:
            ids, positions: (length).
            everything, near: what tokens see in odd layers, and in even ones.
            places: (wanted).
        """
        cos, sin = self._rope(positions)
        x = self.embedding(ids)
        for index, layer in enumerate(self.layers):
            x = layer.attend(x, cos, sin, everything if index % 2 else near)
            if layer is self.layers[-1]:
                x = x[places]  # nobody looks at the others any more
            x = layer.consult(x)
        return self.norm(x) @ self.embedding.weight.T

    def imbalance(self) -> Tensor:
        """Returns how unevenly the last batch used the experts: 1 is even."""
        return torch.stack([layer.experts.imbalance for layer in self.layers]).mean()

    def _rope(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        width = self.shape.head_width
        rates = self.shape.rope_base ** (-torch.arange(0, width, 2) / width)
        angles = (positions.unsqueeze(-1) * rates).unsqueeze(1)  # (length, 1, half)
        return angles.cos(), angles.sin()


@_compiled
def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


@_compiled
def _swiglu(x: Tensor) -> Tensor:
    gate, up = x.chunk(2, -1)
    gate, up = gate.clamp(max=_SWIGLU_LIMIT), up.clamp(-_SWIGLU_LIMIT, _SWIGLU_LIMIT)
    return (up + 1) * gate * torch.sigmoid(_SWIGLU_SLOPE * gate)


@_compiled
def _normalized(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon) * weight
