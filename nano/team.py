"""Several processes that train one model together, each on a core of its own.

Two processes with one thread each learn nearly twice as much as one process with two: most of what a
model this small computes is too small to be shared by threads. The parameters lie in memory that all
share. In each step every worker computes the gradients of a batch of its own; then each one updates
its part of the parameters by the mean of all gradients.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional

from nano.model import Model
from nano.optimizer import Optimizer
from nano.packing import Batch

WORKERS = 2
MATRIX_RATE, RATE = 0.008, 2.5e-3
BALANCE = 0.01
GRADIENT_NORM = 1.0
_PATIENCE_S = 600.0  # that one worker has with the others


class Team:
    """What the workers share. Made before they are; its checkpoints begin with ``saved``."""

    def __init__(self, model: Model, saved: Path, *, resume: bool) -> None:
        model.share_memory()
        self.model = model
        self.saved = saved
        self.resume = resume
        size = sum(parameter.numel() for parameter in model.parameters())
        self.gradients = [torch.zeros(size).share_memory_() for _ in range(WORKERS)]
        self.barrier = torch.multiprocessing.get_context("spawn").Barrier(WORKERS)


class Worker:
    """One of the processes. ``done`` are the steps that the checkpoint had behind it."""

    def __init__(self, team: Team, rank: int) -> None:
        self.rank = rank
        self.model = team.model
        self.done = 0
        self._team = team
        self._path = team.saved.with_suffix(f".{rank}.pt")
        self._optimizer = Optimizer(
            team.model, matrix_rate=MATRIX_RATE, rate=RATE, part=(rank, WORKERS)
        )
        self._gradient = torch.zeros_like(team.gradients[rank])
        start = 0
        for parameter in team.model.parameters():
            end = start + parameter.numel()
            parameter.grad = self._gradient[start:end].view(parameter.shape)
            start = end
        if team.resume and self._path.exists():
            self._load()

    def learn(self, batch: Batch, scale: float) -> float:
        """Learns from a batch at this share of the full rates; returns its loss."""
        shared = self._team.gradients
        loss = self._backward(batch)
        shared[self.rank].copy_(self._gradient)
        self._wait()
        torch.mean(torch.stack(shared), 0, out=self._gradient)
        self._gradient.mul_((GRADIENT_NORM / self._gradient.norm()).clamp(max=1.0))
        self._optimizer.step(scale)
        self._wait()
        return loss

    def save(self, step: int) -> None:
        """Writes this worker's part of a checkpoint."""
        state = {"optimizer": self._optimizer.state(), "step": step}
        if self.rank == 0:
            state["model"] = self.model.state_dict()
        torch.save(state, self._path)

    def _load(self) -> None:
        state = torch.load(self._path)
        if self.rank == 0:
            self.model.load_state_dict(state["model"])
        self._optimizer.load_state(state["optimizer"])
        self.done = state["step"]
        self._wait()

    def _backward(self, batch: Batch) -> float:
        model = self.model
        self._gradient.zero_()
        logits = model(batch.ids, batch.positions, batch.everything, batch.near, batch.places)
        loss = functional.cross_entropy(logits, batch.targets)
        (loss + BALANCE * model.imbalance()).backward()
        return loss.item()

    def _wait(self) -> None:
        self._team.barrier.wait(_PATIENCE_S)
