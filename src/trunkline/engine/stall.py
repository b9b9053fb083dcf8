"""Tells an engine that works slowly from one that has stopped working. Pure: time is passed in."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class NextToken(msgspec.Struct, frozen=True):
    """How far a slot's reply has come."""

    n_decoded: int = 0


class Slot(msgspec.Struct, frozen=True):
    """One row of llama.cpp's ``GET /slots``."""

    id: int
    n_ctx: int
    is_processing: bool
    id_task: int = -1
    n_prompt_tokens_processed: int = 0
    next_token: tuple[NextToken, ...] = ()

    @property
    def progress(self) -> tuple[int, int, int]:
        """Changes whenever the slot has done something."""
        decoded = sum(token.n_decoded for token in self.next_token)
        return (self.id_task, self.n_prompt_tokens_processed, decoded)


class StallDetector:
    """Remembers since when each busy slot has made no progress. Times are in seconds, monotonic."""

    def __init__(self, *, stall_s: float, now: float) -> None:
        self._stall_s = stall_s
        self._answered_at = now
        self._since: dict[int, tuple[tuple[int, int, int], float]] = {}

    def stalled(self, slots: Sequence[Slot] | None, *, now: float) -> bool:
        """Takes a look at the slots, None if the engine's loop did not answer, and judges.

        The loop answers between two batches, so a missing answer is no sickness by itself.
        """
        if slots is None:
            return now - self._answered_at >= self._stall_s
        self._answered_at = now
        self._since = {slot.id: self._seen(slot, now) for slot in slots if slot.is_processing}
        return any(now - since >= self._stall_s for _, since in self._since.values())

    def _seen(self, slot: Slot, now: float) -> tuple[tuple[int, int, int], float]:
        before = self._since.get(slot.id)
        if before is not None and before[0] == slot.progress:
            return before
        return (slot.progress, now)
