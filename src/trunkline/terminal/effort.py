"""How much a model is asked to think. Nothing else stands here: ``trunkline --help`` imports it."""

from __future__ import annotations

from typing import Literal, get_args

Effort = Literal["low", "medium", "high"]
EFFORTS: tuple[Effort, ...] = get_args(Effort)
