"""The gpt-oss architecture in torch, small enough to be trained on two processor cores.

The maths are those of llama.cpp's ``gpt-oss``: attention over a sliding window in even layers and over
everything in odd ones, an attention sink per head, experts of which each token uses the best two,
clamped SwiGLU. Two things are simpler than in the real model: the sinks stay at zero, and the output
head is the embedding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_SWIGLU_SLOPE, _SWIGLU_LIMIT = 1.702, 7.0
MASKED = -1e30


@dataclass(frozen=True)
class Shape:
    """The sizes of a model."""

    vocabulary: int
    width: int = 160
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    head_width: int = 32
    experts: int = 4
    experts_used: int = 2
    expert_width: int = 160
    window: int = 128
    rope_base: float = 1e8  # so slow that what matches is still found 2,000 tokens later
    epsilon: float = 1e-5
    context: int = 8192


class Attention(nn.Module):
    """Grouped-query attention with rotary positions and one sink of value zero per head."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        inner = shape.heads * shape.head_width
        self.split = [inner, shape.kv_heads * shape.head_width, shape.kv_heads * shape.head_width]
        self.qkv = nn.Linear(shape.width, sum(self.split))
        self.out = nn.Linear(inner, shape.width)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        batch, length, _ = x.shape
        heads = (batch, length, -1, self.shape.head_width)
        q, k, v = (part.view(heads).transpose(1, 2) for part in self.qkv(x).split(self.split, -1))
        group = self.shape.heads // self.shape.kv_heads
        # A key of zeros has the score zero and the value zero: the sink.
        k = functional.pad(_rotated(k, cos, sin), (0, 0, 1, 0)).repeat_interleave(group, 1)
        v = functional.pad(v, (0, 0, 1, 0)).repeat_interleave(group, 1)
        y = functional.scaled_dot_product_attention(_rotated(q, cos, sin), k, v, attn_mask=mask)
        return self.out(y.transpose(1, 2).reshape(batch, length, -1))


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


class Layer(nn.Module):
    """Attention, then experts, each on the normalised stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.width, shape.epsilon)
        self.attention = Attention(shape)
        self.experts_norm = nn.RMSNorm(shape.width, shape.epsilon)
        self.experts = Experts(shape)

    def attend(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """Returns the stream after attention; its shape is (batch, length, width)."""
        return x + self.attention(self.attention_norm(x), cos, sin, mask)

    def consult(self, x: Tensor) -> Tensor:
        """Returns the stream after the experts; its last dimension is the width."""
        flat = self.experts_norm(x).reshape(-1, x.shape[-1])
        return x + self.experts(flat).view(x.shape)


class Model(nn.Module):
    """Token ids and who may see whom → the logits of the tokens that follow."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, shape.epsilon)

    def forward(
        self, ids: Tensor, positions: Tensor, visible: Tensor, rows: Tensor, places: Tensor
    ) -> Tensor:
        """Returns the logits, of shape (wanted, vocabulary), after the wanted places.

        Args:
            ids, positions: (batch, length).
            visible: (batch, length, length), True where a token (row) may see another (column).
            rows, places: (wanted), which of the batch and where in it.
        """
        everything, window = self._masks(positions, visible)
        cos, sin = self._rope(positions)
        x = self.embedding(ids)
        for index, layer in enumerate(self.layers):
            x = layer.attend(x, cos, sin, everything if index % 2 else window)
            if layer is self.layers[-1]:
                x = x[rows, places]  # nobody looks at the others any more
            x = layer.consult(x)
        return self.norm(x) @ self.embedding.weight.T

    def imbalance(self) -> Tensor:
        """Returns how unevenly the last batch used the experts: 1 is even."""
        return torch.stack([layer.experts.imbalance for layer in self.layers]).mean()

    def _masks(self, positions: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        positions = positions.int()
        near = positions.unsqueeze(2) - positions.unsqueeze(1) < self.shape.window
        return _bias(visible), _bias(visible & near)

    def _rope(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        width = self.shape.head_width
        rates = self.shape.rope_base ** (-torch.arange(0, width, 2) / width)
        angles = (positions.unsqueeze(-1) * rates).unsqueeze(1)
        return angles.cos(), angles.sin()


def _bias(visible: Tensor) -> Tensor:
    """Returns what is added to the scores: (batch, 1, length, 1 + length), the sink first."""
    bias = torch.zeros(visible.shape).masked_fill_(~visible, MASKED)
    return functional.pad(bias, (1, 0)).unsqueeze(1)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def _swiglu(x: Tensor) -> Tensor:
    gate, up = x.chunk(2, -1)
    gate, up = gate.clamp(max=_SWIGLU_LIMIT), up.clamp(-_SWIGLU_LIMIT, _SWIGLU_LIMIT)
    return (up + 1) * gate * torch.sigmoid(_SWIGLU_SLOPE * gate)
